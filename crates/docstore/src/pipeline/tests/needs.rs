//! What a pipeline reads of its input, and pipelines that only count.

use super::*;

fn needs(pipeline: Bson) -> Option<Vec<String>> {
    let pipeline = Pipeline::parse(&stages(pipeline), &vars()).expect("a pipeline");
    pipeline.needed_fields()
}

fn fields(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn only_fields_that_matter_are_needed() {
    for (pipeline, expected) in [
        (bson!([{ "$count": "n" }]), fields(&[])),
        (
            bson!([{ "$group": { "_id": "$a.b", "s": { "$sum": { "$add": ["$c", "$$ROOT.d.e", 1] } } } }]),
            fields(&["a", "c", "d"]),
        ),
        (
            bson!([
                { "$match": { "m.n": 1, "$or": [{ "o": 1 }, { "p": 2 }] } }, { "$sort": { "s.t": 1 } },
                { "$unwind": "$u.v" }, { "$skip": 1 }, { "$limit": 2 },
                { "$group": { "_id": null, "top": { "$top": { "sortBy": { "x.y": 1 }, "output": "$z" } } } },
            ]),
            fields(&["m", "o", "p", "s", "u", "x", "z"]),
        ),
        (bson!([{ "$sortByCount": "$a" }]), fields(&["a"])),
        (
            bson!([{ "$bucket": { "groupBy": "$a", "boundaries": [0, 1], "default": "x", "output": { "l": { "$push": "$b" } } } }]),
            fields(&["a", "b"]),
        ),
        (
            bson!([{ "$group": { "_id": { "$let": { "vars": { "v": "$a" }, "in": "$$v.b" } } } }]),
            fields(&["a"]),
        ),
        (
            bson!([
                { "$lookup": { "from": "o", "localField": "l.m", "foreignField": "_id", "as": "f.g" } },
                { "$group": { "_id": "$f.h", "n": { "$sum": "$k" } } },
            ]),
            fields(&["f", "k", "l"]),
        ),
        // Any field may be read.
        (
            bson!([
                { "$lookup": { "from": "o", "let": { "v": "$a" }, "pipeline": [{ "$match": { "$expr": { "$eq": ["$b", "$$v"] } } }], "as": "f" } },
                { "$count": "n" },
            ]),
            None,
        ),
        (
            bson!([{ "$lookup": { "from": "o", "localField": "l", "foreignField": "_id", "as": "f" } }]),
            None,
        ),
        (
            bson!([{ "$group": { "_id": null, "all": { "$push": "$$ROOT" } } }]),
            None,
        ),
        (bson!([{ "$group": { "_id": { "$getField": "a" } } }]), None),
        (
            bson!([{ "$match": { "$expr": { "$eq": ["$a", 1] } } }, { "$count": "n" }]),
            None,
        ),
        (bson!([{ "$match": { "a": 1 } }]), None),
        (
            bson!([{ "$addFields": { "a": 1 } }, { "$count": "n" }]),
            None,
        ),
    ] {
        assert_eq!(needs(pipeline.clone()), expected, "{pipeline}");
    }
}

#[test]
fn counts_are_known_for_what_they_are() {
    let count = |pipeline: Bson, n: u64| {
        let pipeline = Pipeline::parse(&stages(pipeline), &vars()).expect("a pipeline");
        pipeline.as_count().map(|result| result(n))
    };
    let by_driver = bson!([{ "$group": { "_id": 1, "n": { "$sum": 1 } } }]);
    assert_eq!(
        count(by_driver.clone(), 5),
        Some(Some(doc! { "_id": 1, "n": 5 }))
    );
    assert_eq!(count(by_driver.clone(), 0), Some(None));
    assert_eq!(
        count(by_driver, 3_000_000_000),
        Some(Some(doc! { "_id": 1, "n": 3_000_000_000_i64 }))
    );
    assert_eq!(
        count(bson!([{ "$count": "c" }]), 2),
        Some(Some(doc! { "c": 2 }))
    );
    for other in [
        bson!([{ "$group": { "_id": "$a", "n": { "$sum": 1 } } }]),
        bson!([{ "$group": { "_id": 1, "n": { "$sum": 2 } } }]),
        bson!([{ "$group": { "_id": 1, "n": { "$sum": 1 }, "m": { "$sum": 1 } } }]),
        bson!([{ "$unwind": "$a" }, { "$count": "n" }]),
    ] {
        assert_eq!(count(other.clone(), 1), None, "{other}");
    }
}
