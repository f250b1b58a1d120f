//! Every update operator that MongoDB 7.0 has: what it makes, or that it is refused by name.

use bson::{Document, bson, doc};

use super::parse;
use crate::update::ApplyContext;

fn made(update: Document) -> Document {
    let mut document = doc! { "_id": 1, "n": 5, "list": [1, 2, 3] };
    let context = ApplyContext {
        position: Some(1),
        inserting: true,
    };
    let parsed = parse(update.clone(), &[]).unwrap_or_else(|error| panic!("{update}: {error}"));
    parsed
        .apply(&mut document, context)
        .unwrap_or_else(|error| panic!("{update}: {error}"));
    document
}

#[test]
fn every_operator_answers_or_is_refused_by_name() {
    let list = |list: bson::Bson| doc! { "_id": 1, "n": 5, "list": list };
    for (update, expected) in [
        (
            doc! { "$set": { "a": 1 } },
            doc! { "_id": 1, "n": 5, "list": [1, 2, 3], "a": 1 },
        ),
        (
            doc! { "$setOnInsert": { "a": 1 } },
            doc! { "_id": 1, "n": 5, "list": [1, 2, 3], "a": 1 },
        ),
        (doc! { "$unset": { "list": "" } }, doc! { "_id": 1, "n": 5 }),
        (
            doc! { "$inc": { "n": 1 } },
            doc! { "_id": 1, "n": 6, "list": [1, 2, 3] },
        ),
        (
            doc! { "$mul": { "n": 2 } },
            doc! { "_id": 1, "n": 10, "list": [1, 2, 3] },
        ),
        (
            doc! { "$min": { "n": 2 } },
            doc! { "_id": 1, "n": 2, "list": [1, 2, 3] },
        ),
        (
            doc! { "$max": { "n": 9 } },
            doc! { "_id": 1, "n": 9, "list": [1, 2, 3] },
        ),
        (
            doc! { "$rename": { "n": "m" } },
            doc! { "_id": 1, "list": [1, 2, 3], "m": 5 },
        ),
        (
            doc! { "$bit": { "n": { "xor": 1 } } },
            doc! { "_id": 1, "n": 4, "list": [1, 2, 3] },
        ),
        (doc! { "$push": { "list": 4 } }, list(bson!([1, 2, 3, 4]))),
        (
            doc! { "$push": { "list": { "$each": [0, 9], "$position": 0, "$slice": 4, "$sort": -1 } } },
            list(bson!([9, 3, 2, 1])),
        ),
        (
            doc! { "$addToSet": { "list": { "$each": [3, 4] } } },
            list(bson!([1, 2, 3, 4])),
        ),
        (doc! { "$pop": { "list": 1 } }, list(bson!([1, 2]))),
        (
            doc! { "$pull": { "list": { "$gte": 2 } } },
            list(bson!([1])),
        ),
        (doc! { "$pullAll": { "list": [1, 3] } }, list(bson!([2]))),
        (doc! { "$set": { "list.$": 9 } }, list(bson!([1, 9, 3]))),
        (doc! { "$inc": { "list.$[]": 1 } }, list(bson!([2, 3, 4]))),
    ] {
        assert_eq!(made(update.clone()), expected, "{update}");
    }
    let dated = made(doc! { "$currentDate": { "at": true } });
    assert!(matches!(dated.get("at"), Some(bson::Bson::DateTime(_))));
    for name in [
        "$pushAll",
        "$isolated",
        "$atomic",
        "$v",
        "$diff",
        "$where",
        "$expr",
    ] {
        let error = parse(doc! { name: { "n": 1 } }, &[]).expect_err(name);
        assert!(error.message.contains(name), "{error}");
    }
    for modifier in ["$slices", "$unique", "$comment"] {
        let error = parse(
            doc! { "$push": { "list": { "$each": [1], modifier: 1 } } },
            &[],
        );
        let error = error.expect_err(modifier);
        assert!(error.message.contains(modifier), "{error}");
    }
}
