//! Every expression operator that MongoDB 7.0 has: what it gives, or that it is refused by name.

use bson::{Decimal128, Timestamp, oid::ObjectId};

use super::*;
use crate::expr::operators;

/// Operators with an example and its value.
fn answered() -> Vec<(Bson, Bson)> {
    let date = DateTime::from_millis(1_700_000_000_123);
    let id = "65546c000000000000000000";
    let decimal = |text: &str| Bson::Decimal128(text.parse::<Decimal128>().expect("a decimal"));
    vec![
        (bson!({ "$abs": -2 }), bson!(2)),
        (bson!({ "$acos": 1 }), bson!(0.0)),
        (bson!({ "$acosh": 1 }), bson!(0.0)),
        (bson!({ "$add": [1, 2] }), bson!(3)),
        (bson!({ "$allElementsTrue": [[1, true]] }), bson!(true)),
        (bson!({ "$and": [1, 0] }), bson!(false)),
        (bson!({ "$anyElementTrue": [[0, false]] }), bson!(false)),
        (bson!({ "$arrayElemAt": [[1, 2], -1] }), bson!(2)),
        (bson!({ "$arrayToObject": [[["a", 1]]] }), bson!({ "a": 1 })),
        (bson!({ "$asin": 0 }), bson!(0.0)),
        (bson!({ "$asinh": 0 }), bson!(0.0)),
        (bson!({ "$atan": 0 }), bson!(0.0)),
        (bson!({ "$atan2": [0, 1] }), bson!(0.0)),
        (bson!({ "$atanh": 0 }), bson!(0.0)),
        (bson!({ "$avg": [1, 2] }), bson!(1.5)),
        (bson!({ "$binarySize": "abc" }), bson!(3)),
        (bson!({ "$bitAnd": [6, 3] }), bson!(2)),
        (bson!({ "$bitNot": 0 }), bson!(-1)),
        (bson!({ "$bitOr": [6, 3] }), bson!(7)),
        (bson!({ "$bitXor": [6, 3] }), bson!(5)),
        (bson!({ "$bsonSize": {} }), bson!(5)),
        (bson!({ "$ceil": 1.2 }), bson!(2.0)),
        (bson!({ "$cmp": [1, 2] }), bson!(-1)),
        (bson!({ "$concat": ["a", "b"] }), bson!("ab")),
        (bson!({ "$concatArrays": [[1], [2]] }), bson!([1, 2])),
        (bson!({ "$cond": [true, 1, 2] }), bson!(1)),
        (bson!({ "$const": 1 }), bson!(1)),
        (
            bson!({ "$convert": { "input": "1", "to": "int" } }),
            bson!(1),
        ),
        (bson!({ "$cos": 0 }), bson!(1.0)),
        (bson!({ "$cosh": 0 }), bson!(1.0)),
        (
            bson!({ "$dateAdd": { "startDate": date, "unit": "second", "amount": 1 } }),
            bson!(DateTime::from_millis(1_700_000_001_123)),
        ),
        (
            bson!({ "$dateDiff": { "startDate": DateTime::from_millis(0), "endDate": date, "unit": "day" } }),
            bson!(19_675_i64),
        ),
        (
            bson!({ "$dateFromParts": { "year": 1970, "second": 1 } }),
            bson!(DateTime::from_millis(1000)),
        ),
        (
            bson!({ "$dateFromString": { "dateString": "1970-01-01T00:00:01Z" } }),
            bson!(DateTime::from_millis(1000)),
        ),
        (
            bson!({ "$dateSubtract": { "startDate": date, "unit": "second", "amount": 1 } }),
            bson!(DateTime::from_millis(1_699_999_999_123)),
        ),
        (
            bson!({ "$dateToParts": { "date": date } }),
            bson!({ "year": 2023, "month": 11, "day": 14, "hour": 22, "minute": 13, "second": 20, "millisecond": 123 }),
        ),
        (
            bson!({ "$dateToString": { "date": date, "format": "%Y-%j" } }),
            bson!("2023-318"),
        ),
        (
            bson!({ "$dateTrunc": { "date": date, "unit": "year" } }),
            bson!(DateTime::from_millis(1_672_531_200_000)),
        ),
        (bson!({ "$dayOfMonth": date }), bson!(14)),
        (bson!({ "$dayOfWeek": date }), bson!(3)),
        (bson!({ "$dayOfYear": date }), bson!(318)),
        (bson!({ "$degreesToRadians": 0 }), bson!(0.0)),
        (bson!({ "$divide": [1, 2] }), bson!(0.5)),
        (bson!({ "$eq": [1, 1.0] }), bson!(true)),
        (bson!({ "$exp": 0 }), bson!(1.0)),
        (
            bson!({ "$filter": { "input": [1, 2], "cond": { "$gt": ["$$this", 1] } } }),
            bson!([2]),
        ),
        (bson!({ "$first": [[1, 2]] }), bson!(1)),
        (
            bson!({ "$firstN": { "input": [1, 2], "n": 1 } }),
            bson!([1]),
        ),
        (bson!({ "$floor": 1.2 }), bson!(1.0)),
        (
            bson!({ "$getField": { "field": { "$literal": "$x" }, "input": { "$literal": { "$x": 1 } } } }),
            bson!(1),
        ),
        (bson!({ "$gt": [2, 1] }), bson!(true)),
        (bson!({ "$gte": [2, 2] }), bson!(true)),
        (bson!({ "$hour": date }), bson!(22)),
        (bson!({ "$ifNull": [null, 1] }), bson!(1)),
        (bson!({ "$in": [1, [1]] }), bson!(true)),
        (bson!({ "$indexOfArray": [[5, 6], 6] }), bson!(1)),
        (bson!({ "$indexOfBytes": ["éa", "a"] }), bson!(2)),
        (bson!({ "$indexOfCP": ["éa", "a"] }), bson!(1)),
        (bson!({ "$isArray": [[1]] }), bson!(true)),
        (bson!({ "$isNumber": 1 }), bson!(true)),
        (bson!({ "$isoDayOfWeek": date }), bson!(2)),
        (bson!({ "$isoWeek": date }), bson!(46)),
        (bson!({ "$isoWeekYear": date }), bson!(2023_i64)),
        (bson!({ "$last": [[1, 2]] }), bson!(2)),
        (bson!({ "$lastN": { "input": [1, 2], "n": 1 } }), bson!([2])),
        (
            bson!({ "$let": { "vars": { "a": 1 }, "in": "$$a" } }),
            bson!(1),
        ),
        (bson!({ "$literal": "$a" }), bson!("$a")),
        (bson!({ "$ln": 1 }), bson!(0.0)),
        (bson!({ "$log": [8, 2] }), bson!(3.0)),
        (bson!({ "$log10": 100 }), bson!(2.0)),
        (bson!({ "$lt": [1, 2] }), bson!(true)),
        (bson!({ "$lte": [1, 1] }), bson!(true)),
        (bson!({ "$ltrim": { "input": " a " } }), bson!("a ")),
        (
            bson!({ "$map": { "input": [1], "in": { "$add": ["$$this", 1] } } }),
            bson!([2]),
        ),
        (bson!({ "$max": [1, 2] }), bson!(2)),
        (bson!({ "$maxN": { "input": [1, 2], "n": 1 } }), bson!([2])),
        (
            bson!({ "$median": { "input": [1, 2, 3], "method": "approximate" } }),
            bson!(2.0),
        ),
        (
            bson!({ "$mergeObjects": [{ "a": 1 }, { "b": 2 }] }),
            bson!({ "a": 1, "b": 2 }),
        ),
        (bson!({ "$millisecond": date }), bson!(123)),
        (bson!({ "$min": [1, 2] }), bson!(1)),
        (bson!({ "$minN": { "input": [1, 2], "n": 1 } }), bson!([1])),
        (bson!({ "$minute": date }), bson!(13)),
        (bson!({ "$mod": [7, 4] }), bson!(3)),
        (bson!({ "$month": date }), bson!(11)),
        (bson!({ "$multiply": [2, 3] }), bson!(6)),
        (bson!({ "$ne": [1, 2] }), bson!(true)),
        (bson!({ "$not": [0] }), bson!(true)),
        (
            bson!({ "$objectToArray": { "a": 1 } }),
            bson!([{ "k": "a", "v": 1 }]),
        ),
        (bson!({ "$or": [0, 1] }), bson!(true)),
        (
            bson!({ "$percentile": { "input": [1, 2], "p": [1.0], "method": "approximate" } }),
            bson!([2.0]),
        ),
        (bson!({ "$pow": [2, 3] }), bson!(8)),
        (bson!({ "$radiansToDegrees": 0 }), bson!(0.0)),
        (bson!({ "$range": [0, 2] }), bson!([0, 1])),
        (
            bson!({ "$reduce": { "input": [1, 2], "initialValue": 0, "in": { "$add": ["$$value", "$$this"] } } }),
            bson!(3),
        ),
        (
            bson!({ "$regexFind": { "input": "ab", "regex": "b" } }),
            bson!({ "match": "b", "idx": 1, "captures": [] }),
        ),
        (
            bson!({ "$regexFindAll": { "input": "ab", "regex": "b" } }),
            bson!([{ "match": "b", "idx": 1, "captures": [] }]),
        ),
        (
            bson!({ "$regexMatch": { "input": "ab", "regex": "b" } }),
            bson!(true),
        ),
        (
            bson!({ "$replaceAll": { "input": "aa", "find": "a", "replacement": "b" } }),
            bson!("bb"),
        ),
        (
            bson!({ "$replaceOne": { "input": "aa", "find": "a", "replacement": "b" } }),
            bson!("ba"),
        ),
        (bson!({ "$reverseArray": [[1, 2]] }), bson!([2, 1])),
        (bson!({ "$round": [1.25, 1] }), bson!(1.2)),
        (bson!({ "$rtrim": { "input": " a " } }), bson!(" a")),
        (bson!({ "$second": date }), bson!(20)),
        (bson!({ "$setDifference": [[1, 2], [2]] }), bson!([1])),
        (bson!({ "$setEquals": [[1], [1, 1]] }), bson!(true)),
        (
            bson!({ "$setField": { "field": "a", "input": {}, "value": 1 } }),
            bson!({ "a": 1 }),
        ),
        (bson!({ "$setIntersection": [[1, 2], [2]] }), bson!([2])),
        (bson!({ "$setIsSubset": [[1], [1, 2]] }), bson!(true)),
        (bson!({ "$setUnion": [[1], [1]] }), bson!([1])),
        (bson!({ "$sin": 0 }), bson!(0.0)),
        (bson!({ "$sinh": 0 }), bson!(0.0)),
        (bson!({ "$size": [[1]] }), bson!(1)),
        (bson!({ "$slice": [[1, 2], 1] }), bson!([1])),
        (
            bson!({ "$sortArray": { "input": [2, 1], "sortBy": 1 } }),
            bson!([1, 2]),
        ),
        (bson!({ "$split": ["a-b", "-"] }), bson!(["a", "b"])),
        (bson!({ "$sqrt": 4 }), bson!(2.0)),
        (bson!({ "$stdDevPop": [1, 3] }), bson!(1.0)),
        (bson!({ "$stdDevSamp": [1, 1] }), bson!(0.0)),
        (bson!({ "$strLenBytes": "é" }), bson!(2)),
        (bson!({ "$strLenCP": "é" }), bson!(1)),
        (bson!({ "$strcasecmp": ["a", "A"] }), bson!(0)),
        (bson!({ "$substr": ["abc", 1, 1] }), bson!("b")),
        (bson!({ "$substrBytes": ["abc", 1, 1] }), bson!("b")),
        (bson!({ "$substrCP": ["abc", 1, 1] }), bson!("b")),
        (bson!({ "$subtract": [3, 1] }), bson!(2)),
        (bson!({ "$sum": [1, 2] }), bson!(3)),
        (
            bson!({ "$switch": { "branches": [{ "case": true, "then": 1 }] } }),
            bson!(1),
        ),
        (bson!({ "$tan": 0 }), bson!(0.0)),
        (bson!({ "$tanh": 0 }), bson!(0.0)),
        (bson!({ "$toBool": 1 }), bson!(true)),
        (bson!({ "$toDate": 0_i64 }), bson!(DateTime::from_millis(0))),
        (bson!({ "$toDecimal": 1 }), decimal("1")),
        (bson!({ "$toDouble": 1 }), bson!(1.0)),
        (bson!({ "$toInt": "1" }), bson!(1)),
        (bson!({ "$toLong": "1" }), bson!(1_i64)),
        (bson!({ "$toLower": "A" }), bson!("a")),
        (
            bson!({ "$toObjectId": id }),
            Bson::ObjectId(ObjectId::parse_str(id).expect("an id")),
        ),
        (bson!({ "$toString": 1 }), bson!("1")),
        (
            bson!({ "$toString": { "$toUUID": "0e3b9063-8abd-4eb3-9f9f-f4c59fd30a60" } }),
            bson!("0e3b9063-8abd-4eb3-9f9f-f4c59fd30a60"),
        ),
        (
            bson!({ "$type": { "$toUUID": "0e3b9063-8abd-4eb3-9f9f-f4c59fd30a60" } }),
            bson!("binData"),
        ),
        (bson!({ "$toUpper": "a" }), bson!("A")),
        (bson!({ "$trim": { "input": " a " } }), bson!("a")),
        (bson!({ "$trunc": 1.9 }), bson!(1.0)),
        (
            bson!({ "$tsIncrement": Bson::Timestamp(Timestamp { time: 1, increment: 2 }) }),
            bson!(2_i64),
        ),
        (
            bson!({ "$tsSecond": Bson::Timestamp(Timestamp { time: 1, increment: 2 }) }),
            bson!(1_i64),
        ),
        (bson!({ "$type": 1 }), bson!("int")),
        (
            bson!({ "$unsetField": { "field": "a", "input": { "a": 1, "b": 2 } } }),
            bson!({ "b": 2 }),
        ),
        (bson!({ "$week": date }), bson!(46)),
        (bson!({ "$year": date }), bson!(2023)),
        (bson!({ "$zip": { "inputs": [[1], [2]] } }), bson!([[1, 2]])),
    ]
}

/// Operators that are refused.
const REFUSED: [(&str, i32); 5] = [
    ("$accumulator", 115),
    ("$function", 115),
    ("$meta", 168),
    ("$toHashedIndexKey", 168),
    // Came with MongoDB 8.
    ("$serializeEJSON", 168),
];

#[test]
fn every_operator_answers_or_is_refused_by_name() {
    let mut seen = Vec::new();
    for (expression, expected) in answered() {
        let name = match &expression {
            Bson::Document(call) => call.keys().next().expect("an operator").clone(),
            other => panic!("{other} is no call"),
        };
        let found = eval(&doc! {}, &expression);
        match found {
            Ok(found) => assert_eq!(found.unwrap_or(Bson::Null), expected, "{expression}"),
            Err(error) => panic!("{expression}: {error}"),
        }
        seen.push(name);
    }
    for (name, code) in REFUSED {
        let error = eval(&doc! {}, &bson!({ name: 1 })).expect_err(name);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(name), "{error}");
    }
    // `$rand` has no one value.
    let random = eval(&doc! {}, &bson!({ "$rand": {} })).expect("a number");
    assert!(matches!(random, Some(Bson::Double(n)) if (0.0..1.0).contains(&n)));
    for name in operators::names() {
        let known = seen.iter().any(|other| other == name);
        assert!(
            // Its example is within another's.
            known || name == "$toUUID" || REFUSED.iter().any(|(other, _)| *other == name),
            "{name} has no example"
        );
    }
}
