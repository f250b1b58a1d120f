//! Every stage, accumulator and window function that MongoDB 7.0 has: what it gives, or that it is
//! refused by name.

use super::*;

fn answers(pipeline: Bson) -> Bson {
    let source = Memory {
        collections: HashMap::from([("other", vec![doc! { "_id": 1, "n": 1, "up": 2 }])]),
    };
    let input = vec![doc! { "_id": 1, "n": 1 }, doc! { "_id": 2, "n": 3 }];
    match try_run(input, pipeline.clone(), &source) {
        Ok(output) => Bson::Array(output.into_iter().map(Bson::Document).collect()),
        Err(error) => panic!("{pipeline}: {error}"),
    }
}

#[test]
fn every_stage_answers_or_is_refused_by_name() {
    for (stage, expected) in [
        (
            bson!({ "$addFields": { "a": 1 } }),
            bson!([{ "_id": 1, "n": 1, "a": 1 }, { "_id": 2, "n": 3, "a": 1 }]),
        ),
        (
            bson!({ "$bucket": { "groupBy": "$n", "boundaries": [0, 2, 4] } }),
            bson!([{ "_id": 0, "count": 1 }, { "_id": 2, "count": 1 }]),
        ),
        (
            bson!({ "$bucketAuto": { "groupBy": "$n", "buckets": 1 } }),
            bson!([{ "_id": { "min": 1, "max": 3 }, "count": 2 }]),
        ),
        (bson!({ "$count": "c" }), bson!([{ "c": 2 }])),
        (bson!({ "$documents": [{ "a": 1 }] }), bson!([{ "a": 1 }])),
        (
            bson!({ "$facet": { "f": [{ "$count": "c" }] } }),
            bson!([{ "f": [{ "c": 2 }] }]),
        ),
        (
            bson!({ "$graphLookup": { "from": "other", "startWith": "$n", "connectFromField": "up", "connectToField": "n", "as": "g" } }),
            bson!([{ "_id": 1, "n": 1, "g": [{ "_id": 1, "n": 1, "up": 2 }] }, { "_id": 2, "n": 3, "g": [] }]),
        ),
        (
            bson!({ "$group": { "_id": null, "s": { "$sum": "$n" } } }),
            bson!([{ "_id": null, "s": 4 }]),
        ),
        (bson!({ "$limit": 1 }), bson!([{ "_id": 1, "n": 1 }])),
        (
            bson!({ "$lookup": { "from": "other", "localField": "n", "foreignField": "n", "as": "l" } }),
            bson!([{ "_id": 1, "n": 1, "l": [{ "_id": 1, "n": 1, "up": 2 }] }, { "_id": 2, "n": 3, "l": [] }]),
        ),
        (
            bson!({ "$match": { "n": 3 } }),
            bson!([{ "_id": 2, "n": 3 }]),
        ),
        (
            bson!({ "$project": { "_id": 0, "n": 1 } }),
            bson!([{ "n": 1 }, { "n": 3 }]),
        ),
        (
            bson!({ "$redact": { "$cond": [{ "$eq": ["$n", 1] }, "$$KEEP", "$$PRUNE"] } }),
            bson!([{ "_id": 1, "n": 1 }]),
        ),
        (
            bson!({ "$replaceRoot": { "newRoot": { "a": "$n" } } }),
            bson!([{ "a": 1 }, { "a": 3 }]),
        ),
        (
            bson!({ "$replaceWith": { "a": "$n" } }),
            bson!([{ "a": 1 }, { "a": 3 }]),
        ),
        (
            bson!({ "$set": { "n": 0 } }),
            bson!([{ "_id": 1, "n": 0 }, { "_id": 2, "n": 0 }]),
        ),
        (
            bson!({ "$setWindowFields": { "sortBy": { "n": 1 }, "output": { "r": { "$rank": {} } } } }),
            bson!([{ "_id": 1, "n": 1, "r": 1_i64 }, { "_id": 2, "n": 3, "r": 2_i64 }]),
        ),
        (bson!({ "$skip": 1 }), bson!([{ "_id": 2, "n": 3 }])),
        (
            bson!({ "$sort": { "n": -1 } }),
            bson!([{ "_id": 2, "n": 3 }, { "_id": 1, "n": 1 }]),
        ),
        (
            bson!({ "$sortByCount": { "$gt": ["$n", 0] } }),
            bson!([{ "_id": true, "count": 2 }]),
        ),
        (
            bson!({ "$unionWith": "other" }),
            bson!([{ "_id": 1, "n": 1 }, { "_id": 2, "n": 3 }, { "_id": 1, "n": 1, "up": 2 }]),
        ),
        (
            bson!({ "$unset": "n" }),
            bson!([{ "_id": 1 }, { "_id": 2 }]),
        ),
        (
            bson!({ "$unwind": "$n" }),
            bson!([{ "_id": 1, "n": 1 }, { "_id": 2, "n": 3 }]),
        ),
    ] {
        assert_eq!(answers(bson!([stage.clone()])), expected, "{stage}");
    }
    let Bson::Array(sample) = answers(bson!([{ "$sample": { "size": 1 } }])) else {
        panic!("an array");
    };
    assert_eq!(sample.len(), 1);
    // Those that the command layer carries out.
    for stage in [
        bson!({ "$collStats": {} }),
        bson!({ "$indexStats": {} }),
        bson!({ "$currentOp": {} }),
        bson!({ "$listLocalSessions": {} }),
    ] {
        let pipeline = Pipeline::parse(std::slice::from_ref(&stage), &vars()).expect("a pipeline");
        assert!(pipeline.special().is_some(), "{stage}");
    }
    let parsed = |stage: Bson| Pipeline::parse(&[stage], &vars()).expect("a pipeline");
    assert!(parsed(bson!({ "$out": "c" })).sink().is_some());
    assert!(parsed(bson!({ "$merge": "c" })).sink().is_some());
    assert!(
        parsed(bson!({ "$changeStream": {} }))
            .change_stream()
            .is_some()
    );
    for name in [
        "$changeStreamSplitLargeEvent",
        "$densify",
        "$fill",
        "$geoNear",
        "$listSampledQueries",
        "$listSearchIndexes",
        "$listSessions",
        "$planCacheStats",
        "$querySettings",
        "$search",
        "$searchMeta",
        "$shardedDataDistribution",
        "$vectorSearch",
        "$listCatalog",
        "$queue",
        "$score",
        "$_internalInhibitOptimization",
    ] {
        let error = parse_error(bson!([{ name: {} }]));
        assert_eq!(error.code, 40324, "{error}");
        assert!(error.message.contains(name), "{error}");
    }
}

#[test]
fn every_accumulator_answers_or_is_refused_by_name() {
    let grouped = |accumulator: &Bson| {
        let group = bson!([{ "$group": { "_id": null, "v": accumulator.clone() } }]);
        match answers(group) {
            Bson::Array(mut groups) => match groups.remove(0) {
                Bson::Document(mut group) => group.remove("v").expect("a value"),
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        }
    };
    let by_n = |output: &str| bson!({ "sortBy": { "n": -1 }, "output": output });
    let n_of = |n: i32| bson!({ "input": "$n", "n": n });
    for (accumulator, expected) in [
        (bson!({ "$addToSet": "$n" }), bson!([1, 3])),
        (bson!({ "$avg": "$n" }), bson!(2.0)),
        (bson!({ "$bottom": by_n("$_id") }), bson!(1)),
        (
            bson!({ "$bottomN": { "sortBy": { "n": -1 }, "output": "$_id", "n": 1 } }),
            bson!([1]),
        ),
        (bson!({ "$count": {} }), bson!(2)),
        (bson!({ "$first": "$n" }), bson!(1)),
        (bson!({ "$firstN": n_of(1) }), bson!([1])),
        (bson!({ "$last": "$n" }), bson!(3)),
        (bson!({ "$lastN": n_of(1) }), bson!([3])),
        (bson!({ "$max": "$n" }), bson!(3)),
        (bson!({ "$maxN": n_of(1) }), bson!([3])),
        (
            bson!({ "$median": { "input": "$n", "method": "approximate" } }),
            bson!(1.0),
        ),
        (
            bson!({ "$mergeObjects": "$$ROOT" }),
            bson!({ "_id": 2, "n": 3 }),
        ),
        (bson!({ "$min": "$n" }), bson!(1)),
        (bson!({ "$minN": n_of(1) }), bson!([1])),
        (
            bson!({ "$percentile": { "input": "$n", "p": [1.0], "method": "approximate" } }),
            bson!([3.0]),
        ),
        (bson!({ "$push": "$n" }), bson!([1, 3])),
        (bson!({ "$stdDevPop": "$n" }), bson!(1.0)),
        (bson!({ "$stdDevSamp": "$n" }), bson!(2_f64.sqrt())),
        (bson!({ "$sum": "$n" }), bson!(4)),
        (bson!({ "$top": by_n("$_id") }), bson!(2)),
        (
            bson!({ "$topN": { "sortBy": { "n": -1 }, "output": "$_id", "n": 1 } }),
            bson!([2]),
        ),
    ] {
        assert_eq!(grouped(&accumulator), expected, "{accumulator}");
    }
    for name in [
        "$accumulator",
        "$derivative",
        "$locf",
        "$rank",
        "$covariancePop",
        "$concatArrays",
        "$setUnion",
    ] {
        let error = parse_error(bson!([{ "$group": { "_id": null, "v": { name: "$n" } } }]));
        assert!(error.message.contains(name), "{error}");
    }
}

#[test]
fn every_window_function_answers_or_is_refused_by_name() {
    let windowed = |function: &Bson| {
        let Bson::Document(mut output) = function.clone() else {
            panic!("{function}");
        };
        if output.contains_key("$derivative") {
            output.insert("window", doc! { "documents": [-1, 0] });
        }
        let stage = bson!([
            { "$setWindowFields": { "sortBy": { "n": 1 }, "output": { "v": output } } },
            { "$group": { "_id": null, "all": { "$push": "$v" } } },
        ]);
        match answers(stage) {
            Bson::Array(mut groups) => match groups.remove(0) {
                Bson::Document(mut group) => group.remove("all").expect("values"),
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        }
    };
    for (function, expected) in [
        (bson!({ "$covariancePop": ["$n", "$n"] }), bson!([1.0, 1.0])),
        (
            bson!({ "$covarianceSamp": ["$n", "$n"] }),
            bson!([2.0, 2.0]),
        ),
        (bson!({ "$denseRank": {} }), bson!([1_i64, 2_i64])),
        (
            bson!({ "$derivative": { "input": "$_id" } }),
            bson!([null, 0.5]),
        ),
        (bson!({ "$documentNumber": {} }), bson!([1_i64, 2_i64])),
        (
            bson!({ "$expMovingAvg": { "input": "$n", "alpha": 0.5 } }),
            bson!([1, 2.0]),
        ),
        (bson!({ "$integral": { "input": "$n" } }), bson!([4.0, 4.0])),
        (bson!({ "$linearFill": "$n" }), bson!([1, 3])),
        (bson!({ "$locf": "$n" }), bson!([1, 3])),
        (bson!({ "$rank": {} }), bson!([1_i64, 2_i64])),
        (
            bson!({ "$shift": { "output": "$n", "by": 1 } }),
            bson!([3, null]),
        ),
        (bson!({ "$sum": "$n" }), bson!([4, 4])),
        (bson!({ "$push": "$n" }), bson!([[1, 3], [1, 3]])),
        (
            bson!({ "$top": { "sortBy": { "n": -1 }, "output": "$n" } }),
            bson!([3, 3]),
        ),
        (
            bson!({ "$median": { "input": "$n", "method": "approximate" } }),
            bson!([1.0, 1.0]),
        ),
    ] {
        assert_eq!(windowed(&function), expected, "{function}");
    }
    for name in ["$minMaxScaler", "$mergeRanks", "$accumulator", "$function"] {
        let stage = bson!([{ "$setWindowFields": { "sortBy": { "n": 1 }, "output": { "v": { name: "$n" } } } }]);
        let error = parse_error(stage);
        assert!(error.message.contains(name), "{error}");
    }
}
