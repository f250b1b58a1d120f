use proptest::{collection::vec, prelude::*};

use super::*;
use crate::value::{
    arbitrary::{document, value},
    compare,
};

/// A stage that is right in its shape, with arbitrary parts.
fn stage() -> impl Strategy<Value = Bson> {
    prop_oneof![
        value().prop_map(|v| bson!({ "$addFields": { "x.y": { "$literal": v } } })),
        Just(bson!({ "$project": { "a.b": 1, "c": "$a" } })),
        Just(bson!({ "$project": { "a.b": 0 } })),
        Just(bson!({ "$unwind": { "path": "$a", "preserveNullAndEmptyArrays": true } })),
        Just(bson!({ "$unwind": "$a.b" })),
        Just(
            bson!({ "$group": { "_id": "$a", "s": { "$sum": "$b" }, "p": { "$push": "$c" }, "t": { "$addToSet": "$b" } } })
        ),
        Just(bson!({ "$sort": { "a": 1, "b": -1 } })),
        Just(bson!({ "$bucketAuto": { "groupBy": "$a", "buckets": 3 } })),
        Just(bson!({ "$facet": { "a": [{ "$sort": { "b": 1 } }] } })),
        Just(bson!({ "$redact": "$$DESCEND" })),
        Just(bson!({ "$replaceWith": { "a": "$$ROOT" } })),
        Just(
            bson!({ "$setWindowFields": { "sortBy": { "a": 1 }, "output": { "w": { "$max": "$b", "window": { "documents": [-1, 0] } } } } })
        ),
        (0..3_i32).prop_map(|n| bson!({ "$skip": n })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_pipeline_panics(input in vec(document(), 0..6), stages in vec(stage(), 0..4)) {
        if let Err(error) = try_run(input, Bson::Array(stages.clone()), &Memory::default()) {
            prop_assert_ne!(error.code, 1, "{:?}: {}", stages, error);
        }
    }

    #[test]
    fn no_argument_panics_the_parser(argument in value(), index in 0..24_usize) {
        const NAMES: [&str; 24] = [
            "$match", "$project", "$addFields", "$unset", "$group", "$bucket", "$bucketAuto",
            "$sortByCount", "$sort", "$skip", "$limit", "$unwind", "$count", "$lookup",
            "$graphLookup", "$facet", "$replaceRoot", "$redact", "$sample", "$unionWith", "$out",
            "$merge", "$setWindowFields", "$changeStream",
        ];
        // An answer or an error: both are fine.
        let _ = Pipeline::parse(&[bson!({ NAMES[index]: argument })], &vars());
    }

    #[test]
    fn groups_equal_a_plain_count(keys in vec(0..6_i32, 0..60)) {
        let input: Vec<Document> = keys.iter().enumerate()
            .map(|(n, key)| doc! { "k": *key, "n": n as i32 }).collect();
        let output = try_run(input, bson!([
            { "$group": { "_id": "$k", "count": { "$sum": 1 }, "sum": { "$sum": "$n" }, "first": { "$first": "$n" } } },
            { "$sort": { "_id": 1 } },
        ]), &Memory::default()).expect("groups");
        let mut expected = Vec::new();
        for key in 0..6 {
            let members: Vec<i32> = keys.iter().enumerate()
                .filter(|(_, k)| **k == key).map(|(n, _)| n as i32).collect();
            if let Some(first) = members.first() {
                expected.push(doc! {
                    "_id": key, "count": members.len() as i32, "sum": members.iter().sum::<i32>(), "first": *first,
                });
            }
        }
        prop_assert_eq!(output, expected);
    }

    #[test]
    fn sorts_order_scalars_and_are_stable(values in vec(value(), 0..30), limit in 1..40_i32) {
        let scalars: Vec<Bson> = values.into_iter()
            .filter(|value| !matches!(value, Bson::Array(_))).collect();
        let input: Vec<Document> = scalars.iter().enumerate()
            .map(|(n, value)| doc! { "n": n as i32, "v": value.clone() }).collect();
        let mut order: Vec<usize> = (0..scalars.len()).collect();
        order.sort_by(|a, b| compare(&scalars[*a], &scalars[*b]));
        order.truncate(limit as usize);
        let output = try_run(input, bson!([{ "$sort": { "v": 1 } }, { "$limit": limit }]), &Memory::default())
            .expect("sorted");
        let found: Vec<usize> = output.iter().filter_map(|d| Some(d.get_i32("n").ok()? as usize)).collect();
        prop_assert_eq!(found, order);
    }
}
