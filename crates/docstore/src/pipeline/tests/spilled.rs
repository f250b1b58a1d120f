//! Stages that outgrow their memory answer as they do with enough of it.

use std::sync::Arc;

use super::*;
use crate::spill::SpillSpace;

/// 6000 documents of some hundred bytes, out of order.
fn input() -> Vec<Document> {
    (0..6000_i32)
        .map(|n| {
            let scattered = n.wrapping_mul(7919).rem_euclid(6000);
            doc! {
                "_id": n, "n": scattered, "few": scattered % 7, "half": f64::from(scattered) / 2.0,
                "text": format!("{scattered:0>120}"), "list": [n % 3, { "deep": n }],
            }
        })
        .collect()
}

fn run_both(pipeline: &Bson, limit_bytes: usize) -> (Vec<Document>, Vec<Document>, u64) {
    let source = Memory::default();
    let plenty = StageMemory {
        limit_bytes: 1 << 30,
        disk: None,
    };
    let dir = tempfile::tempdir().expect("a directory");
    let space = SpillSpace::new(dir.path(), u64::MAX);
    let little = StageMemory {
        limit_bytes,
        disk: Some(Arc::clone(&space)),
    };
    let expected = try_run_within(input(), pipeline.clone(), &source, &plenty);
    let found = try_run_within(input(), pipeline.clone(), &source, &little);
    assert_eq!(space.used_bytes(), 0, "{pipeline}: the disk is given back");
    (
        expected.unwrap_or_else(|error| panic!("{pipeline}: {error}")),
        found.unwrap_or_else(|error| panic!("{pipeline}: {error}")),
        space.files(),
    )
}

#[test]
fn ordered_stages_spill() {
    for pipeline in [
        bson!([{ "$sort": { "few": -1, "n": 1 } }]),
        bson!([{ "$sort": { "few": 1 } }]),
        bson!([{ "$sort": { "n": -1 } }, { "$limit": 4000 }]),
        bson!([{ "$facet": { "a": [{ "$sort": { "n": 1 } }, { "$limit": 2 }], "b": [{ "$count": "n" }] } }]),
        bson!([{ "$bucketAuto": { "groupBy": "$n", "buckets": 7, "output": { "n": { "$sum": "$n" }, "first": { "$first": "$text" } } } }]),
        bson!([{ "$sortByCount": "$n" }, { "$sort": { "_id": 1 } }]),
        bson!([{ "$setWindowFields": {
            "partitionBy": "$few", "sortBy": { "n": 1 },
            "output": {
                "rank": { "$rank": {} }, "before": { "$shift": { "output": "$text", "by": -1 } },
                "sum": { "$sum": "$n", "window": { "documents": [-3, 3] } },
                "near": { "$avg": "$half", "window": { "range": [-20, 20] } },
                "all": { "$sum": "$n" },
            },
        } }]),
    ] {
        let (expected, found, files) = run_both(&pipeline, 100_000);
        assert!(files > 0, "{pipeline} did not spill");
        assert_eq!(found, expected, "{pipeline}");
    }
}

#[test]
fn groups_spill_whatever_they_compute() {
    let by_n = bson!([
        { "$group": {
            "_id": { "$mod": ["$n", 3000] },
            "sum": { "$sum": "$half" }, "avg": { "$avg": "$n" }, "min": { "$min": "$text" },
            "max": { "$max": "$n" }, "first": { "$first": "$_id" }, "last": { "$last": "$_id" },
            "push": { "$push": "$$ROOT" }, "set": { "$addToSet": "$few" },
            "firstN": { "$firstN": { "input": "$n", "n": 1 } },
            "lastN": { "$lastN": { "input": "$n", "n": 1 } },
            "minN": { "$minN": { "input": "$n", "n": 2 } },
            "maxN": { "$maxN": { "input": "$n", "n": 1 } },
            "top": { "$top": { "sortBy": { "n": -1 }, "output": "$_id" } },
            "bottomN": { "$bottomN": { "sortBy": { "n": 1 }, "output": "$_id", "n": 2 } },
            "merged": { "$mergeObjects": { "n": "$n" } }, "spread": { "$stdDevPop": "$n" },
            "median": { "$median": { "input": "$n", "method": "approximate" } },
            "count": { "$count": {} },
        } },
        { "$sort": { "_id": 1 } },
    ]);
    let few = bson!([
        { "$group": { "_id": "$few", "all": { "$push": "$$ROOT" }, "texts": { "$addToSet": "$text" } } },
        { "$sort": { "_id": 1 } },
    ]);
    for pipeline in [by_n, few] {
        let (expected, found, files) = run_both(&pipeline, 400_000);
        assert!(files > 0, "{pipeline} did not spill");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn samples_spill_and_stay_samples() {
    let (_, found, files) = run_both(&bson!([{ "$sample": { "size": 5000 } }]), 100_000);
    assert!(files > 0);
    let mut ids: Vec<i32> = found.iter().filter_map(|d| d.get_i32("_id").ok()).collect();
    assert!(!ids.is_sorted(), "in random order");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5000, "each at most once");
}

#[test]
fn what_one_answer_must_hold_does_not_spill() {
    let dir = tempfile::tempdir().expect("a directory");
    let memory = StageMemory {
        limit_bytes: 100_000,
        disk: Some(SpillSpace::new(dir.path(), u64::MAX)),
    };
    for (pipeline, code) in [
        (
            bson!([{ "$group": { "_id": null, "all": { "$push": "$$ROOT" } } }]),
            146,
        ),
        (bson!([{ "$facet": { "all": [] } }]), 4_031_700),
    ] {
        let error = try_run_within(input(), pipeline.clone(), &Memory::default(), &memory);
        assert_eq!(error.expect_err("too large").code, code, "{pipeline}");
    }
}
