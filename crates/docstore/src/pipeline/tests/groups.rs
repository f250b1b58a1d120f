use super::*;

fn sales() -> Bson {
    bson!([
        { "_id": 1, "k": "a", "n": 1, "o": { "x": 1 } },
        { "_id": 2, "k": "b", "n": 2.5 },
        { "_id": 3, "k": "a", "n": 3, "o": { "y": 2 } },
        { "_id": 4, "n": "text" },
        { "_id": 5, "k": Bson::Null },
    ])
}

#[track_caller]
fn accumulates(accumulator: Bson, a: Bson, none: Bson) {
    let output = run(
        sales(),
        bson!([
            { "$group": { "_id": "$k", "v": accumulator.clone() } }, { "$match": { "_id": { "$ne": "b" } } },
        ]),
    );
    assert_eq!(
        output,
        bson!([{ "_id": "a", "v": a }, { "_id": Bson::Null, "v": none }]),
        "{accumulator}"
    );
}

#[test]
fn accumulators() {
    accumulates(bson!({ "$sum": "$n" }), bson!(4), bson!(0));
    accumulates(bson!({ "$sum": 1 }), bson!(2), bson!(2));
    accumulates(bson!({ "$count": {} }), bson!(2), bson!(2));
    accumulates(bson!({ "$avg": "$n" }), bson!(2.0), Bson::Null);
    accumulates(bson!({ "$min": "$n" }), bson!(1), bson!("text"));
    accumulates(bson!({ "$max": "$n" }), bson!(3), bson!("text"));
    accumulates(bson!({ "$push": "$n" }), bson!([1, 3]), bson!(["text"]));
    accumulates(
        bson!({ "$addToSet": "$k" }),
        bson!(["a"]),
        bson!([Bson::Null]),
    );
    accumulates(bson!({ "$first": "$n" }), bson!(1), bson!("text"));
    accumulates(bson!({ "$last": "$n" }), bson!(3), Bson::Null);
    accumulates(
        bson!({ "$firstN": { "input": "$_id", "n": 1 } }),
        bson!([1]),
        bson!([4]),
    );
    accumulates(
        bson!({ "$lastN": { "input": "$_id", "n": 5 } }),
        bson!([1, 3]),
        bson!([4, 5]),
    );
    accumulates(
        bson!({ "$minN": { "input": "$n", "n": 2 } }),
        bson!([1, 3]),
        bson!(["text"]),
    );
    accumulates(
        bson!({ "$maxN": { "input": "$_id", "n": 1 } }),
        bson!([3]),
        bson!([5]),
    );
    accumulates(
        bson!({ "$top": { "sortBy": { "_id": -1 }, "output": "$_id" } }),
        bson!(3),
        bson!(5),
    );
    accumulates(
        bson!({ "$bottom": { "sortBy": { "_id": -1 }, "output": ["$_id"] } }),
        bson!([1]),
        bson!([4]),
    );
    accumulates(
        bson!({ "$topN": { "n": 2, "sortBy": { "_id": -1 }, "output": "$_id" } }),
        bson!([3, 1]),
        bson!([5, 4]),
    );
    accumulates(
        bson!({ "$bottomN": { "n": 1, "sortBy": { "_id": 1 }, "output": "$_id" } }),
        bson!([3]),
        bson!([5]),
    );
    accumulates(
        bson!({ "$mergeObjects": "$o" }),
        bson!({ "x": 1, "y": 2 }),
        bson!({}),
    );
    accumulates(bson!({ "$stdDevPop": "$n" }), bson!(1.0), Bson::Null);
    accumulates(
        bson!({ "$stdDevSamp": "$_id" }),
        bson!(std::f64::consts::SQRT_2),
        bson!(std::f64::consts::FRAC_1_SQRT_2),
    );
    accumulates(
        bson!({ "$median": { "input": "$_id", "method": "approximate" } }),
        bson!(1.0),
        bson!(4.0),
    );
}

#[test]
fn equal_numbers_are_one_group() {
    let input = bson!([{ "k": 1 }, { "k": 1.0 }, { "k": 1_i64 }, { "k": { "a": 1 } }, { "k": { "a": 1.0 } }, { "k": [] }]);
    assert_eq!(
        run(
            input,
            bson!([{ "$group": { "_id": "$k", "n": { "$sum": 1 } } }])
        ),
        bson!([{ "_id": 1, "n": 3 }, { "_id": { "a": 1 }, "n": 2 }, { "_id": [], "n": 1 }])
    );
    assert_eq!(
        run(
            sales(),
            bson!([{ "$group": { "_id": { "k": "$k" }, "n": { "$sum": 1 } } }, { "$limit": 1 }])
        ),
        bson!([{ "_id": { "k": "a" }, "n": 2 }])
    );
    assert_eq!(
        run(
            bson!([]),
            bson!([{ "$group": { "_id": Bson::Null, "n": { "$sum": 1 } } }])
        ),
        bson!([])
    );
}

#[test]
fn bad_groups_are_refused() {
    for (group, code) in [
        (bson!(1), 15947),
        (bson!({ "n": { "$sum": 1 } }), 15955),
        (bson!({ "_id": 1, "n": 1 }), 40234),
        (bson!({ "_id": 1, "n": {} }), 40238),
        (bson!({ "_id": 1, "n": { "$sum": 1, "$avg": 1 } }), 40238),
        (bson!({ "_id": 1, "n": { "$nope": 1 } }), 15952),
        (bson!({ "_id": 1, "n": { "$sum": [1, 2] } }), 40237),
        (bson!({ "_id": 1, "a.b": { "$sum": 1 } }), 40235),
        (bson!({ "_id": 1, "$a": { "$sum": 1 } }), 40236),
        (bson!({ "_id": 1, "n": { "$count": 1 } }), 14),
        (bson!({ "_id": 1, "n": { "$accumulator": {} } }), 115),
        (
            bson!({ "_id": 1, "n": { "$topN": { "n": 1, "output": 1 } } }),
            5_788_002,
        ),
        (
            bson!({ "_id": 1, "n": { "$firstN": { "input": 1 } } }),
            5_787_906,
        ),
    ] {
        refuses(bson!({ "$group": group }), code);
    }
}

#[test]
fn buckets() {
    let input = bson!([{ "n": 1 }, { "n": 5 }, { "n": 9 }, { "n": 12 }, {}]);
    assert_eq!(
        run(
            input.clone(),
            bson!([{ "$bucket": { "groupBy": "$n", "boundaries": [0, 5, 10], "default": "rest" } }])
        ),
        bson!([{ "_id": 0, "count": 1 }, { "_id": 5, "count": 2 }, { "_id": "rest", "count": 2 }])
    );
    let failed = try_run(
        vec![doc! { "n": 50 }],
        bson!([{ "$bucket": { "groupBy": "$n", "boundaries": [0, 5] } }]),
        &Memory::default(),
    );
    assert_eq!(failed.expect_err("out of range").code, 40066);
    assert_eq!(
        run(
            bson!([{ "n": 1 }, { "n": 2 }, { "n": 2 }, { "n": 3 }, { "n": 4 }]),
            bson!([
                { "$bucketAuto": { "groupBy": "$n", "buckets": 2, "output": { "s": { "$sum": "$n" } } } }
            ])
        ),
        bson!([{ "_id": { "min": 1, "max": 3 }, "s": 5 }, { "_id": { "min": 3, "max": 4 }, "s": 7 }])
    );
    assert_eq!(
        run(
            bson!([{ "t": "x" }, { "t": "y" }, { "t": "y" }]),
            bson!([{ "$sortByCount": "$t" }])
        ),
        bson!([{ "_id": "y", "count": 2 }, { "_id": "x", "count": 1 }])
    );
    for (stage, code) in [
        (bson!({ "$bucket": 1 }), 40201),
        (bson!({ "$bucket": { "groupBy": "$n" } }), 40198),
        (
            bson!({ "$bucket": { "groupBy": 1, "boundaries": [0, 5] } }),
            40202,
        ),
        (
            bson!({ "$bucket": { "groupBy": "$n", "boundaries": 1 } }),
            40200,
        ),
        (
            bson!({ "$bucket": { "groupBy": "$n", "boundaries": [0] } }),
            40192,
        ),
        (
            bson!({ "$bucket": { "groupBy": "$n", "boundaries": [0, "a"] } }),
            40193,
        ),
        (
            bson!({ "$bucket": { "groupBy": "$n", "boundaries": [5, 0] } }),
            40194,
        ),
        (
            bson!({ "$bucket": { "groupBy": "$n", "boundaries": [0, 5], "default": 1 } }),
            40199,
        ),
        (
            bson!({ "$bucketAuto": { "groupBy": "$n", "buckets": 0 } }),
            40243,
        ),
        (
            bson!({ "$bucketAuto": { "groupBy": "$n", "buckets": 2, "granularity": "R7" } }),
            40257,
        ),
        (
            bson!({ "$bucketAuto": { "groupBy": "$n", "buckets": 2, "granularity": 5 } }),
            40261,
        ),
        (bson!({ "$sortByCount": "x" }), 40148),
    ] {
        refuses(stage, code);
    }
}

#[test]
fn facets() {
    assert_eq!(
        run(
            sales(),
            bson!([{ "$facet": {
            "ids": [{ "$match": { "k": "a" } }, { "$project": { "_id": 1 } }], "n": [{ "$count": "n" }] } }])
        ),
        bson!([{ "ids": [{ "_id": 1 }, { "_id": 3 }], "n": [{ "n": 5 }] }])
    );
    refuses(bson!({ "$facet": {} }), 40169);
    refuses(bson!({ "$facet": { "a": 1 } }), 40170);
    refuses(bson!({ "$facet": { "a": [{ "$out": "x" }] } }), 40600);
    refuses(
        bson!({ "$facet": { "a": [{ "$facet": { "b": [] } }] } }),
        40600,
    );
}

#[test]
fn buckets_end_at_preferred_numbers() {
    let numbers: Vec<Document> = (0..100).map(|n| doc! { "n": n }).collect();
    let buckets = |granularity: &str, count: i32| -> Vec<(f64, f64, i32)> {
        let stage = bson!([{ "$bucketAuto": { "groupBy": "$n", "buckets": count, "granularity": granularity } }]);
        let number = |document: &Document, name: &str| match document.get(name) {
            Some(Bson::Double(n)) => *n,
            other => panic!("{other:?}"),
        };
        try_run(numbers.clone(), stage, &Memory::default())
            .expect("buckets")
            .iter()
            .map(|bucket| {
                let id = bucket.get_document("_id").expect("an _id");
                (
                    number(id, "min"),
                    number(id, "max"),
                    bucket.get_i32("count").expect("a count"),
                )
            })
            .collect()
    };
    assert_eq!(
        buckets("R5", 5),
        [(0.0, 25.0, 25), (25.0, 63.0, 38), (63.0, 100.0, 37)]
    );
    assert_eq!(
        buckets("POWERSOF2", 5),
        [(0.0, 32.0, 32), (32.0, 64.0, 32), (64.0, 128.0, 36)]
    );
    assert_eq!(
        buckets("1-2-5", 5),
        [(0.0, 20.0, 20), (20.0, 50.0, 30), (50.0, 100.0, 50)]
    );
    assert_eq!(
        buckets("E24", 5),
        [
            (0.0, 20.0, 20),
            (20.0, 43.0, 23),
            (43.0, 68.0, 25),
            (68.0, 91.0, 23),
            (91.0, 100.0, 9)
        ]
    );
    for series in [
        "R10", "R20", "R40", "R80", "E6", "E12", "E48", "E96", "E192",
    ] {
        let found = buckets(series, 5);
        assert_eq!(found.iter().map(|bucket| bucket.2).sum::<i32>(), 100);
        assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }
    for bad in [bson!("a"), bson!(-1), bson!(f64::NAN), Bson::Null] {
        let stage =
            bson!([{ "$bucketAuto": { "groupBy": "$n", "buckets": 2, "granularity": "R5" } }]);
        let input = vec![doc! { "n": bad }];
        assert!(try_run(input, stage, &Memory::default()).is_err());
    }
}
