use super::*;

#[test]
fn projections_include_exclude_and_compute() {
    let input =
        bson!([{ "_id": 1, "a": 1, "b": { "c": 2, "d": 3 }, "l": [{ "c": 1, "d": 2 }, 5] }]);
    let project = |specification: Bson| run(input.clone(), bson!([{ "$project": specification }]));
    assert_eq!(project(bson!({ "a": 1 })), bson!([{ "_id": 1, "a": 1 }]));
    assert_eq!(project(bson!({ "a": 1, "_id": 0 })), bson!([{ "a": 1 }]));
    assert_eq!(project(bson!({ "_id": 1 })), bson!([{ "_id": 1 }]));
    assert_eq!(
        project(bson!({ "b.c": 1, "l.d": true })),
        bson!([{ "_id": 1, "b": { "c": 2 }, "l": [{ "d": 2 }] }])
    );
    assert_eq!(
        project(bson!({ "b": { "c": 1 } })),
        bson!([{ "_id": 1, "b": { "c": 2 } }])
    );
    assert_eq!(
        project(bson!({ "b.c": 0, "l.c": 0, "a": 0 })),
        bson!([{ "_id": 1, "b": { "d": 3 }, "l": [{ "d": 2 }, 5] }])
    );
    assert_eq!(
        project(bson!({ "_id": 0 })),
        bson!([{ "a": 1, "b": { "c": 2, "d": 3 }, "l": [{ "c": 1, "d": 2 }, 5] }])
    );
    assert_eq!(
        project(bson!({ "x": "$a", "b.c": "$a", "y": "text", "n": "$none", "a": 1 })),
        bson!([{ "_id": 1, "a": 1, "b": { "c": 1 }, "x": 1, "y": "text" }])
    );
    assert_eq!(
        project(bson!({ "_id": "$a", "l.e": "$a" })),
        bson!([{ "l": [{ "e": 1 }, { "e": 1 }], "_id": 1 }])
    );
    assert_eq!(
        project(bson!({ "a": 1, "q.r": 1 })),
        bson!([{ "_id": 1, "a": 1 }])
    );
    assert_eq!(
        project(bson!({ "q.r": { "$literal": 1 }, "_id": 0 })),
        bson!([{ "q": { "r": 1 } }])
    );
}

#[test]
fn bad_projections_are_refused() {
    for (specification, code) in [
        (bson!({}), 51272),
        (bson!({ "a": 1, "b": 0 }), 31254),
        (bson!({ "a": 0, "b": 1 }), 31253),
        (bson!({ "a": 0, "b": "$x" }), 31252),
        (bson!({ "a": 1, "a.b": 1 }), 31249),
        (bson!({ "a.b": 1, "a": 1 }), 31250),
        (bson!({ "a": {} }), 51270),
        (bson!({ "a.": 1 }), 40353),
        (bson!({ "$a": 1 }), 16410),
        (bson!(1), 15969),
    ] {
        refuses(bson!({ "$project": specification }), code);
    }
    refuses(bson!({ "$unset": 1 }), 31002);
    refuses(bson!({ "$unset": [] }), 31119);
    refuses(bson!({ "$unset": [1] }), 31120);
    refuses(bson!({ "$addFields": 1 }), 40272);
}

#[test]
fn fields_are_added_and_removed() {
    let input = bson!([{ "_id": 1, "a": 1, "b": { "c": 2 }, "l": [{ "c": 1 }, 5] }]);
    assert_eq!(
        run(
            input.clone(),
            bson!([{ "$addFields": { "a": 5, "b.d": "$a", "l.x": 0, "n.m": "$b.c", "z": "$$REMOVE" } }])
        ),
        bson!([{ "_id": 1, "a": 5, "b": { "c": 2, "d": 1 }, "l": [{ "c": 1, "x": 0 }, { "x": 0 }], "n": { "m": 2 } }])
    );
    // Values see the document before the stage; a missing one removes the field.
    assert_eq!(
        run(
            bson!([{ "a": 1, "b": 2 }]),
            bson!([{ "$set": { "a": "$b", "b": "$a" } }, { "$set": { "a": "$none" } }])
        ),
        bson!([{ "b": 1 }])
    );
    assert_eq!(
        run(input.clone(), bson!([{ "$unset": ["b.c", "l.c", "_id"] }])),
        bson!([{ "a": 1, "b": {}, "l": [{}, 5] }])
    );
    assert_eq!(
        run(input, bson!([{ "$unset": "l" }, { "$unset": "b" }])),
        bson!([{ "_id": 1, "a": 1 }])
    );
}

#[test]
fn unwinding() {
    let input = bson!([
        { "_id": 1, "a": [1, 2] }, { "_id": 2, "a": [] }, { "_id": 3 }, { "_id": 4, "a": Bson::Null }, { "_id": 5, "a": 9 },
    ]);
    assert_eq!(
        run(input.clone(), bson!([{ "$unwind": "$a" }])),
        bson!([{ "_id": 1, "a": 1 }, { "_id": 1, "a": 2 }, { "_id": 5, "a": 9 }])
    );
    assert_eq!(
        run(
            input,
            bson!([{ "$unwind": { "path": "$a", "includeArrayIndex": "i", "preserveNullAndEmptyArrays": true } }])
        ),
        bson!([
            { "_id": 1, "a": 1, "i": 0_i64 }, { "_id": 1, "a": 2, "i": 1_i64 }, { "_id": 2, "i": Bson::Null },
            { "_id": 3, "i": Bson::Null }, { "_id": 4, "a": Bson::Null, "i": Bson::Null }, { "_id": 5, "a": 9, "i": Bson::Null },
        ])
    );
    assert_eq!(
        run(
            bson!([{ "a": { "b": [1], "c": 2 } }]),
            bson!([{ "$unwind": "$a.b" }])
        ),
        bson!([{ "a": { "b": 1, "c": 2 } }])
    );
    for (argument, code) in [
        (bson!("a"), 28818),
        (bson!(1), 15981),
        (bson!({}), 28812),
        (bson!({ "path": 1 }), 28808),
        (bson!({ "path": "$a", "x": 1 }), 28811),
        (bson!({ "path": "$a", "includeArrayIndex": "$i" }), 28822),
        (bson!({ "path": "$a", "includeArrayIndex": "" }), 28810),
        (
            bson!({ "path": "$a", "preserveNullAndEmptyArrays": 1 }),
            28809,
        ),
    ] {
        refuses(bson!({ "$unwind": argument }), code);
    }
}

#[test]
fn order_skip_limit_count_and_sample() {
    let input = bson!([{ "_id": 1, "a": [3, 9] }, { "_id": 2, "a": 5 }, { "_id": 3 }, { "_id": 4, "a": 5 }]);
    let ids = |pipeline: Bson| {
        let Bson::Array(output) = run(input.clone(), pipeline) else {
            return Vec::new();
        };
        output
            .iter()
            .filter_map(|d| d.as_document()?.get_i32("_id").ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(bson!([{ "$sort": { "a": 1 } }])), [3, 1, 2, 4]);
    assert_eq!(
        ids(bson!([{ "$sort": { "a": -1, "_id": -1 } }])),
        [1, 4, 2, 3]
    );
    assert_eq!(
        ids(bson!([{ "$sort": { "a": 1 } }, { "$limit": 2 }])),
        [3, 1]
    );
    assert_eq!(ids(bson!([{ "$skip": 1 }, { "$limit": 2 }])), [2, 3]);
    assert_eq!(
        run(
            input.clone(),
            bson!([{ "$match": { "a": 5 } }, { "$count": "n" }])
        ),
        bson!([{ "n": 2 }])
    );
    assert_eq!(
        run(
            input.clone(),
            bson!([{ "$match": { "a": 99 } }, { "$count": "n" }])
        ),
        bson!([])
    );
    let mut sampled = ids(bson!([{ "$sample": { "size": 10 } }]));
    sampled.sort_unstable();
    assert_eq!(sampled, [1, 2, 3, 4]);
    assert_eq!(ids(bson!([{ "$sample": { "size": 2 } }])).len(), 2);
    for (stage, code) in [
        (bson!({ "$sort": {} }), 15976),
        (bson!({ "$sort": 1 }), 15973),
        (bson!({ "$limit": 0 }), 15958),
        (bson!({ "$limit": "x" }), 5_107_201),
        (bson!({ "$skip": -1 }), 5_107_200),
        (bson!({ "$count": "" }), 40157),
        (bson!({ "$count": "$a" }), 40158),
        (bson!({ "$count": "a.b" }), 40160),
        (bson!({ "$count": 1 }), 40156),
        (bson!({ "$sample": {} }), 28749),
        (bson!({ "$sample": { "size": -1 } }), 28747),
        (bson!({ "$match": 1 }), 15959),
    ] {
        refuses(stage, code);
    }
}

#[test]
fn roots_are_replaced_and_redacted() {
    let input = bson!([{ "a": { "x": 1 }, "level": 1, "in": [{ "level": 5, "s": 1 }, { "level": 1, "t": 2 }, 7] }]);
    assert_eq!(
        run(
            input.clone(),
            bson!([{ "$replaceRoot": { "newRoot": "$a" } }])
        ),
        bson!([{ "x": 1 }])
    );
    assert_eq!(
        run(input.clone(), bson!([{ "$replaceWith": { "y": "$a.x" } }])),
        bson!([{ "y": 1 }])
    );
    let failed = try_run(
        vec![doc! { "a": 1 }],
        bson!([{ "$replaceWith": "$a" }]),
        &Memory::default(),
    );
    assert_eq!(failed.expect_err("no document").code, 40228);
    refuses(bson!({ "$replaceRoot": 1 }), 40229);
    refuses(bson!({ "$replaceRoot": { "x": 1 } }), 40230);
    refuses(bson!({ "$replaceRoot": {} }), 40231);
    let secret = bson!({ "$cond": [{ "$lte": ["$level", 2] }, "$$DESCEND", "$$PRUNE"] });
    assert_eq!(
        run(
            input,
            bson!([{ "$redact": secret }, { "$project": { "in": 1 } }])
        ),
        bson!([{ "in": [{ "level": 1, "t": 2 }, 7] }])
    );
}

#[test]
fn stages_stand_where_they_may() {
    assert_eq!(parse_error(bson!([1])).code, 14);
    assert_eq!(parse_error(bson!([{}])).code, 40323);
    assert_eq!(
        parse_error(bson!([{ "$limit": 1, "$skip": 1 }])).code,
        40323
    );
    let unknown = parse_error(bson!([{ "$nope": 1 }]));
    assert_eq!(unknown.code, 40324);
    assert_eq!(unknown.message, "Unrecognized pipeline stage name: '$nope'");
    refuses(bson!({ "$densify": {} }), 40324);
    assert_eq!(
        parse_error(bson!([{ "$out": "x" }, { "$limit": 1 }])).code,
        40601
    );
    assert_eq!(
        parse_error(bson!([{ "$limit": 1 }, { "$changeStream": {} }])).code,
        40602
    );
    assert_eq!(
        parse_error(bson!([{ "$limit": 1 }, { "$documents": [] }])).code,
        40602
    );
}

#[test]
fn leading_stages_are_pushed_down() {
    let parse = |pipeline: Bson| Pipeline::parse(&stages(pipeline), &vars()).expect("a pipeline");
    let mut pipeline = parse(bson!([
        { "$match": { "a": 1 } }, { "$match": {} }, { "$match": { "b": 2 } }, { "$sort": { "c": 1 } },
        { "$skip": 2 }, { "$limit": 10 }, { "$skip": 3 }, { "$limit": 5 }, { "$project": { "a": 1 } },
    ]));
    assert_eq!(
        pipeline.take_pushdown(),
        (
            doc! { "$and": [{ "a": 1 }, { "b": 2 }] },
            Some(doc! { "c": 1 }),
            5,
            Some(5)
        )
    );
    assert!(!pipeline.is_empty());
    assert_eq!(pipeline.take_pushdown(), (doc! {}, None, 0, None));
    let mut stream = parse(
        bson!([{ "$changeStream": { "fullDocument": "updateLookup" } }, { "$match": { "a": 1 } }]),
    );
    assert_eq!(stream.take_pushdown(), (doc! {}, None, 0, None));
    assert_eq!(
        stream.change_stream(),
        Some(&doc! { "fullDocument": "updateLookup" })
    );
    assert!(!stream.is_empty());
    let special = parse(bson!([{ "$indexStats": {} }]));
    assert_eq!(special.special(), Some(("$indexStats", &bson!({}))));
    assert!(parse(bson!([{ "$documents": [] }])).starts_with_documents());
}

#[test]
fn streaming_stages_read_no_more_than_they_need() {
    let vars = vars();
    let list = stages(
        bson!([{ "$match": { "a": { "$gte": 0 } } }, { "$addFields": { "b": 1 } }, { "$limit": 2 }]),
    );
    let pipeline = Pipeline::parse(&list, &vars).expect("a pipeline");
    let read = std::cell::Cell::new(0);
    let input = Box::new((0..1000).map(|n| {
        read.set(read.get() + 1);
        Ok(doc! { "a": n })
    }));
    let source = Memory::default();
    let memory = megabyte();
    let output: Vec<_> = pipeline.run(input, "db", &source, &vars, &memory).collect();
    assert_eq!((output.len(), read.get()), (2, 2));
}

#[test]
fn memory_is_bounded_and_errors_come_through() {
    let many: Vec<Document> = (0..20_000)
        .map(|n| doc! { "n": n, "text": "x".repeat(100) })
        .collect();
    for stage in [
        bson!({ "$sort": { "n": 1 } }),
        bson!({ "$group": { "_id": "$n" } }),
        bson!({ "$group": { "_id": 1, "all": { "$push": "$$ROOT" } } }),
        bson!({ "$facet": { "a": [{ "$limit": 1 }] } }),
        bson!({ "$bucketAuto": { "groupBy": "$n", "buckets": 2 } }),
    ] {
        let error = try_run(many.clone(), bson!([stage.clone()]), &Memory::default());
        assert_eq!(error.expect_err("too much").code, 292, "{stage}");
    }
    let top = try_run(
        many,
        bson!([{ "$sort": { "n": -1 } }, { "$limit": 1 }]),
        &Memory::default(),
    );
    assert_eq!(
        top.expect("little memory")[0].get("n"),
        Some(&Bson::Int32(19_999))
    );
    let failed = try_run(
        vec![doc! {}],
        bson!([{ "$addFields": { "a": { "$divide": [1, 0] } } }, { "$skip": 1 }]),
        &Memory::default(),
    );
    assert_eq!(failed.expect_err("division by zero").code, 2);
}

#[test]
fn sinks_are_parsed() {
    let sink = |stage: Bson| {
        let pipeline = Pipeline::parse(&[stage], &vars()).expect("a pipeline");
        format!("{:?}", pipeline.sink())
    };
    assert_eq!(
        sink(bson!({ "$out": "c" })),
        r#"Some(Out { database: "", collection: "c" })"#
    );
    assert_eq!(
        sink(bson!({ "$out": { "db": "d", "coll": "c" } })),
        r#"Some(Out { database: "d", collection: "c" })"#
    );
    let merge = sink(bson!({ "$merge": "c" }));
    assert!(
        merge.contains(r#"on: ["_id"]"#)
            && merge.contains(r#"String("merge")"#)
            && merge.contains(r#""insert""#),
        "{merge}"
    );
    for (argument, code) in [
        (bson!(1), 51182),
        (bson!({}), 40414),
        (bson!({ "into": "c", "x": 1 }), 40415),
        (bson!({ "into": "c", "whenMatched": "x" }), 2),
        (bson!({ "into": "c", "whenNotMatched": "x" }), 2),
        (
            bson!({ "into": "c", "whenMatched": [{ "$match": {} }] }),
            72,
        ),
        (bson!({ "into": "c", "on": [] }), 51187),
        (bson!({ "into": "c", "on": ["a", "a"] }), 31465),
        (bson!({ "into": "c", "let": { "x": 1 } }), 51199),
    ] {
        refuses(bson!({ "$merge": argument }), code);
    }
    refuses(bson!({ "$out": 1 }), 16990);
    refuses(bson!({ "$out": "a$b" }), 73);
}
