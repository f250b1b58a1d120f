use super::*;

fn root() -> Document {
    doc! { "d": date("2024-02-29T23:30:15.250Z"), "sunday": date("2023-01-01T00:00:00Z") }
}

#[test]
fn parts() {
    for (operator, utc, berlin) in [
        ("$year", 2024, 2024),
        ("$month", 2, 3),
        ("$dayOfMonth", 29, 1),
        ("$hour", 23, 0),
        ("$minute", 30, 30),
        ("$second", 15, 15),
        ("$millisecond", 250, 250),
        ("$dayOfWeek", 5, 6),
        ("$dayOfYear", 60, 61),
        ("$week", 8, 8),
        ("$isoWeek", 9, 9),
        ("$isoDayOfWeek", 4, 5),
    ] {
        gives(root(), doc! { operator: "$d" }, utc);
        gives(
            root(),
            doc! { operator: { "date": "$d", "timezone": "Europe/Berlin" } },
            berlin,
        );
    }
    gives(root(), doc! { "$isoWeekYear": "$sunday" }, 2022_i64);
    gives(root(), doc! { "$isoWeek": "$sunday" }, 52);
    gives(root(), doc! { "$week": "$sunday" }, 1);
    gives(
        root(),
        doc! { "$hour": { "date": "$d", "timezone": "-03:30" } },
        20,
    );
    gives(root(), doc! { "$year": "$x" }, Bson::Null);
    gives(
        root(),
        doc! { "$year": { "date": "$d", "timezone": "$x" } },
        Bson::Null,
    );
    fails(root(), doc! { "$year": "text" }, 16006);
    fails(
        root(),
        doc! { "$year": { "date": "$d", "timezone": "Nowhere/City" } },
        40485,
    );
    fails(
        root(),
        doc! { "$year": { "date": "$d", "timezone": 1 } },
        40517,
    );
    fails(root(), doc! { "$year": { "timezone": "UTC" } }, 40539);
    fails(root(), doc! { "$year": ["$d", "$d"] }, 40536);
    let stamp = Bson::Timestamp(bson::Timestamp {
        time: 86400,
        increment: 7,
    });
    gives(doc! { "t": stamp.clone() }, doc! { "$dayOfMonth": "$t" }, 2);
    gives(
        doc! { "t": stamp.clone() },
        doc! { "$tsSecond": "$t" },
        86400_i64,
    );
    gives(doc! { "t": stamp }, doc! { "$tsIncrement": "$t" }, 7_i64);
    fails(root(), doc! { "$tsSecond": "$d" }, 5_687_301);
}

#[test]
fn formatting() {
    let format = |format: &str| doc! { "$dateToString": { "date": "$d", "format": format } };
    gives(
        root(),
        doc! { "$dateToString": { "date": "$d" } },
        "2024-02-29T23:30:15.250Z",
    );
    gives(
        root(),
        format("%Y-%m-%d %H:%M:%S.%L %j %u %w %U %V %G %%"),
        "2024-02-29 23:30:15.250 060 4 5 08 09 2024 %",
    );
    gives(root(), format("%b %B %z %Z"), "Feb February +0000 +0");
    gives(
        root(),
        doc! { "$dateToString": { "date": "$d", "format": "%H:%M %z", "timezone": "America/New_York" } },
        "18:30 -0500",
    );
    gives(
        root(),
        doc! { "$dateToString": { "date": "$d", "timezone": "+01:00" } },
        "2024-03-01T00:30:15.250",
    );
    gives(
        root(),
        doc! { "$dateToString": { "date": "$x", "onNull": "none" } },
        "none",
    );
    gives(
        root(),
        doc! { "$dateToString": { "date": "$x" } },
        Bson::Null,
    );
    fails(root(), format("%q"), 18536);
    fails(root(), format("%"), 18535);
    fails(root(), doc! { "$dateToString": { "format": "%Y" } }, 18628);
    fails(
        root(),
        doc! { "$dateToString": { "date": "$d", "format": 1 } },
        18533,
    );
}

#[test]
fn reading_text() {
    let parse = |text: &str| doc! { "$dateFromString": { "dateString": text } };
    for text in [
        "2017-02-08T12:10:40.787Z",
        "2017-02-08 12:10:40.787",
        "2017-02-08T14:10:40.787+0200",
        "20170208T121040.787Z",
    ] {
        gives(doc! {}, parse(text), date("2017-02-08T12:10:40.787Z"));
    }
    gives(doc! {}, parse("2017-02-08"), date("2017-02-08T00:00:00Z"));
    gives(
        doc! {},
        doc! { "$dateFromString": { "dateString": "2017-07-08T12:00:00", "timezone": "Europe/Berlin" } },
        date("2017-07-08T10:00:00Z"),
    );
    gives(
        doc! {},
        doc! { "$dateFromString": { "dateString": "06-15-2018 08:30", "format": "%m-%d-%Y %H:%M" } },
        date("2018-06-15T08:30:00Z"),
    );
    gives(
        doc! {},
        doc! { "$dateFromString": { "dateString": "2018 16 3", "format": "%G %V %u" } },
        date("2018-04-18T00:00:00Z"),
    );
    gives(
        doc! {},
        doc! { "$dateFromString": { "dateString": "x", "onError": "bad" } },
        "bad",
    );
    gives(
        doc! {},
        doc! { "$dateFromString": { "dateString": 1, "onError": "bad" } },
        "bad",
    );
    gives(
        doc! {},
        doc! { "$dateFromString": { "dateString": "$x", "onNull": 0 } },
        0,
    );
    for text in [
        "",
        "x",
        "2017-13-01",
        "2017-02-30",
        "2017-02-08T25:00",
        "2017-02-08T12:00Q",
    ] {
        fails(doc! {}, parse(text), 241);
    }
    fails(
        doc! {},
        doc! { "$dateFromString": { "dateString": "2017-02-08T12:00:00Z", "timezone": "UTC" } },
        241,
    );
    fails(
        doc! {},
        doc! { "$dateFromString": { "dateString": "x", "format": "%Q" } },
        18536,
    );
    fails(
        doc! {},
        doc! { "$dateFromString": { "dateString": 5 } },
        241,
    );
}

#[test]
fn to_and_from_parts() {
    gives(
        root(),
        doc! { "$dateToParts": { "date": "$d" } },
        doc! { "year": 2024, "month": 2, "day": 29, "hour": 23, "minute": 30, "second": 15, "millisecond": 250 },
    );
    gives(
        root(),
        doc! { "$dateToParts": { "date": "$sunday", "iso8601": true } },
        doc! { "isoWeekYear": 2022, "isoWeek": 52, "isoDayOfWeek": 7, "hour": 0, "minute": 0, "second": 0, "millisecond": 0 },
    );
    gives(
        root(),
        doc! { "$dateFromParts": { "year": 2024, "month": 14, "day": 0 } },
        date("2025-01-31T00:00:00Z"),
    );
    gives(
        root(),
        doc! { "$dateFromParts": { "isoWeekYear": 2022, "isoWeek": 52, "isoDayOfWeek": 7 } },
        date("2023-01-01T00:00:00Z"),
    );
    gives(
        root(),
        doc! { "$dateFromParts": { "year": 2024, "hour": 12, "timezone": "America/New_York" } },
        date("2024-01-01T17:00:00Z"),
    );
    gives(
        root(),
        doc! { "$dateFromParts": { "year": "$x" } },
        Bson::Null,
    );
    fails(root(), doc! { "$dateFromParts": { "month": 1 } }, 40516);
    fails(root(), doc! { "$dateFromParts": { "year": "x" } }, 40515);
    fails(
        root(),
        doc! { "$dateFromParts": { "year": 2024, "isoWeek": 1 } },
        40525,
    );
    fails(root(), doc! { "$dateFromParts": { "year": 0 } }, 40523);
}

#[test]
fn adding() {
    let add = |unit: &str, amount: i64| doc! { "$dateAdd": { "startDate": "$d", "unit": unit, "amount": amount } };
    gives(root(), add("year", 1), date("2025-02-28T23:30:15.250Z"));
    gives(root(), add("quarter", -1), date("2023-11-29T23:30:15.250Z"));
    gives(root(), add("month", 12), date("2025-02-28T23:30:15.250Z"));
    gives(root(), add("week", 1), date("2024-03-07T23:30:15.250Z"));
    gives(root(), add("hour", 1), date("2024-03-01T00:30:15.250Z"));
    gives(
        root(),
        doc! { "$dateSubtract": { "startDate": "$d", "unit": "day", "amount": 60 } },
        date("2023-12-31T23:30:15.250Z"),
    );
    // A day across the change to summer time has 23 hours.
    gives(
        doc! {},
        doc! { "$dateAdd": { "startDate": date("2024-03-30T12:00:00Z"), "unit": "day", "amount": 1, "timezone": "Europe/Berlin" } },
        date("2024-03-31T11:00:00Z"),
    );
    gives(
        root(),
        doc! { "$dateAdd": { "startDate": "$x", "unit": "day", "amount": 1 } },
        Bson::Null,
    );
    fails(root(), add("eon", 1), 9);
    fails(root(), add("year", i64::MAX), 15);
    fails(
        root(),
        doc! { "$dateAdd": { "startDate": "$d", "unit": "day", "amount": 1.5 } },
        5_166_405,
    );
    fails(
        root(),
        doc! { "$dateAdd": { "startDate": 1, "unit": "day", "amount": 1 } },
        5_166_403,
    );
}

#[test]
fn differences() {
    let between = |from: &str, to: &str, unit: &str| {
        doc! { "$dateDiff": { "startDate": date(from), "endDate": date(to), "unit": unit } }
    };
    for (from, to, unit, expected) in [
        ("2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z", "year", 1),
        ("2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z", "hour", 1),
        ("2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z", "quarter", 3),
        ("2024-03-01T00:00:00Z", "2024-01-31T00:00:00Z", "month", -2),
        ("2024-01-06T00:00:00Z", "2024-01-07T00:00:00Z", "week", 1),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:01:30Z", "minute", 1),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:01:30Z", "second", 90),
        (
            "2024-01-01T00:00:00Z",
            "2024-01-02T00:00:00Z",
            "millisecond",
            86_400_000,
        ),
    ] {
        gives(doc! {}, between(from, to, unit), i64::from(expected));
    }
    gives(
        doc! {},
        doc! { "$dateDiff": {
        "startDate": date("2024-01-06T00:00:00Z"), "endDate": date("2024-01-07T00:00:00Z"),
        "unit": "week", "startOfWeek": "Monday" } },
        0_i64,
    );
    fails(
        root(),
        doc! { "$dateDiff": { "startDate": 1, "endDate": "$d", "unit": "day" } },
        5_166_307,
    );
}

#[test]
fn truncating() {
    let trunc = |unit: &str| doc! { "$dateTrunc": { "date": "$d", "unit": unit } };
    gives(root(), trunc("year"), date("2024-01-01T00:00:00Z"));
    gives(root(), trunc("quarter"), date("2024-01-01T00:00:00Z"));
    gives(root(), trunc("month"), date("2024-02-01T00:00:00Z"));
    gives(root(), trunc("week"), date("2024-02-25T00:00:00Z"));
    gives(root(), trunc("day"), date("2024-02-29T00:00:00Z"));
    gives(root(), trunc("hour"), date("2024-02-29T23:00:00Z"));
    gives(root(), trunc("second"), date("2024-02-29T23:30:15Z"));
    gives(
        root(),
        doc! { "$dateTrunc": { "date": "$d", "unit": "week", "startOfWeek": "monday" } },
        date("2024-02-26T00:00:00Z"),
    );
    gives(
        root(),
        doc! { "$dateTrunc": { "date": "$d", "unit": "day", "timezone": "Europe/Berlin" } },
        date("2024-02-29T23:00:00Z"),
    );
    gives(
        root(),
        doc! { "$dateTrunc": { "date": "$d", "unit": "minute", "binSize": 20 } },
        date("2024-02-29T23:20:00Z"),
    );
    fails(
        root(),
        doc! { "$dateTrunc": { "date": "$d", "unit": "day", "binSize": 0 } },
        5_439_018,
    );
    fails(
        root(),
        doc! { "$dateTrunc": { "date": 1, "unit": "day" } },
        5_439_012,
    );
}
