use super::*;

#[test]
fn types_have_names() {
    gives(doc! { "a": 1_i64 }, doc! { "$type": "$a" }, "long");
    gives(doc! {}, doc! { "$type": "$a" }, "missing");
    gives(doc! {}, doc! { "$type": [[1]] }, "array");
    gives(doc! {}, doc! { "$isNumber": decimal("1") }, true);
    gives(doc! {}, doc! { "$isNumber": "1" }, false);
}

#[test]
fn numbers() {
    gives(doc! {}, doc! { "$toInt": 1.9 }, 1);
    gives(doc! {}, doc! { "$toInt": "-12" }, -12);
    gives(doc! {}, doc! { "$toInt": true }, 1);
    gives(doc! {}, doc! { "$toInt": "$x" }, Bson::Null);
    fails(doc! {}, doc! { "$toInt": 3_000_000_000_i64 }, 241);
    fails(doc! {}, doc! { "$toInt": f64::NAN }, 241);
    fails(doc! {}, doc! { "$toInt": "1.5" }, 241);
    fails(doc! {}, doc! { "$toInt": "" }, 241);
    fails(doc! {}, doc! { "$toInt": [[1]] }, 241);
    gives(doc! {}, doc! { "$toLong": decimal("12.9") }, 12_i64);
    gives(doc! {}, doc! { "$toLong": DateTime::from_millis(5) }, 5_i64);
    fails(doc! {}, doc! { "$toLong": 1e19 }, 241);
    gives(doc! {}, doc! { "$toDouble": "2.5e3" }, 2500.0);
    gives(doc! {}, doc! { "$toDouble": decimal("0.5") }, 0.5);
    fails(doc! {}, doc! { "$toDouble": decimal("1E+400") }, 241);
    fails(doc! {}, doc! { "$toDouble": " 1" }, 241);
    gives(
        doc! {},
        doc! { "$toDecimal": 5.5 },
        decimal("5.50000000000000"),
    );
    gives(doc! {}, doc! { "$toDecimal": "1.10" }, decimal("1.10"));
    gives(
        doc! {},
        doc! { "$toDecimal": i64::MAX },
        decimal("9223372036854775807"),
    );
    fails(doc! {}, doc! { "$toDecimal": "x" }, 241);
    gives(doc! {}, doc! { "$toBool": "" }, true);
    gives(doc! {}, doc! { "$toBool": 0 }, false);
}

#[test]
fn texts_dates_and_ids() {
    for (value, text) in [
        (bson!(1), "1"),
        (bson!(1.0), "1"),
        (bson!(2.5), "2.5"),
        (bson!(1e21), "1e+21"),
        (bson!(f64::INFINITY), "Infinity"),
        (bson!(true), "true"),
        (decimal("1.50"), "1.50"),
        (date("2020-01-02T03:04:05.678Z"), "2020-01-02T03:04:05.678Z"),
    ] {
        gives(doc! { "v": value }, doc! { "$toString": "$v" }, text);
    }
    fails(doc! {}, doc! { "$toString": {} }, 241);
    let hex = "5ab9cbfa31c2ab715d42129e";
    let id = bson::oid::ObjectId::parse_str(hex).expect("an id");
    gives(doc! {}, doc! { "$toObjectId": hex }, id);
    gives(doc! { "i": id }, doc! { "$toString": "$i" }, hex);
    gives(
        doc! { "i": id },
        doc! { "$toDate": "$i" },
        date("2018-03-27T04:43:38Z"),
    );
    fails(doc! {}, doc! { "$toObjectId": "x" }, 241);
    gives(
        doc! {},
        doc! { "$toDate": 1000_i64 },
        date("1970-01-01T00:00:01Z"),
    );
    gives(
        doc! {},
        doc! { "$toDate": "2018-03-03" },
        date("2018-03-03T00:00:00Z"),
    );
    fails(doc! {}, doc! { "$toDate": 1 }, 241);
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    gives(doc! {}, doc! { "$toString": { "$toUUID": uuid } }, uuid);
}

#[test]
fn convert_with_fallbacks() {
    gives(
        doc! {},
        doc! { "$convert": { "input": "7", "to": "int" } },
        7,
    );
    gives(
        doc! {},
        doc! { "$convert": { "input": "7", "to": 18 } },
        7_i64,
    );
    gives(
        doc! {},
        doc! { "$convert": { "input": "x", "to": "int", "onError": "bad" } },
        "bad",
    );
    gives(
        doc! {},
        doc! { "$convert": { "input": "$x", "to": "int", "onNull": "none" } },
        "none",
    );
    gives(
        doc! {},
        doc! { "$convert": { "input": "$x", "to": "int" } },
        Bson::Null,
    );
    gives(
        doc! {},
        doc! { "$convert": { "input": 1, "to": Bson::Null } },
        Bson::Null,
    );
    // The fallback is not touched where it is not needed.
    gives(
        doc! {},
        doc! { "$convert": { "input": 1, "to": "int", "onError": { "$divide": [1, 0] } } },
        1,
    );
    fails(
        doc! {},
        doc! { "$convert": { "input": 1, "to": "nonsense" } },
        2,
    );
    fails(doc! {}, doc! { "$convert": { "input": 1 } }, 9);
    fails(
        doc! {},
        doc! { "$convert": { "input": 1, "to": "int", "base": 2 } },
        115,
    );
}
