use super::*;

fn shop() -> Memory {
    Memory {
        collections: HashMap::from([
            (
                "items",
                vec![
                    doc! { "_id": 1, "sku": "a", "stock": 5 },
                    doc! { "_id": 2, "sku": ["b", "c"], "stock": 1 },
                    doc! { "_id": 3, "stock": 0 },
                ],
            ),
            (
                "people",
                vec![
                    doc! { "_id": "ann", "boss": "bob" },
                    doc! { "_id": "bob", "boss": "cat" },
                    doc! { "_id": "cat", "boss": "ann" },
                ],
            ),
        ]),
    }
}

#[track_caller]
fn joined(document: Document, stage: Bson) -> Bson {
    let output = try_run(vec![document], bson!([stage]), &shop()).expect("a result");
    output[0].get("j").cloned().unwrap_or(Bson::Null)
}

fn ids(found: &Bson) -> Vec<i32> {
    let items = found.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item.as_document()?.get_i32("_id").ok())
        .collect()
}

#[test]
fn equality_lookups() {
    let lookup = bson!({ "$lookup": { "from": "items", "localField": "x.k", "foreignField": "sku", "as": "j" } });
    for (document, expected) in [
        (doc! { "x": { "k": "a" } }, vec![1]),
        (doc! { "x": { "k": "b" } }, vec![2]),
        (doc! { "x": { "k": ["a", "c"] } }, vec![1, 2]),
        (doc! { "x": [{ "k": "a" }, { "k": "b" }] }, vec![1, 2]),
        (doc! { "x": { "k": Bson::Null } }, vec![3]),
        (doc! {}, vec![3]),
        (doc! { "x": { "k": "zzz" } }, vec![]),
        (
            doc! { "x": { "k": Bson::RegularExpression(bson::Regex {
            pattern: "a".try_into().expect("a pattern"), options: "".try_into().expect("options") }) } },
            vec![],
        ),
    ] {
        assert_eq!(
            ids(&joined(document.clone(), lookup.clone())),
            expected,
            "{document}"
        );
    }
}

#[test]
fn pipeline_lookups_see_let_variables() {
    let pipeline = bson!([
        { "$match": { "$expr": { "$gte": ["$stock", "$$least"] } } }, { "$project": { "stock": 1 } },
    ]);
    let lookup = bson!({ "$lookup": { "from": "items", "let": { "least": "$n" }, "pipeline": pipeline.clone(), "as": "j" } });
    assert_eq!(ids(&joined(doc! { "n": 1 }, lookup.clone())), [1, 2]);
    assert_eq!(ids(&joined(doc! { "n": 9 }, lookup)), [0; 0]);
    let both = bson!({ "$lookup": {
        "from": "items", "localField": "k", "foreignField": "sku", "let": { "least": "$n" }, "pipeline": pipeline, "as": "j" } });
    assert_eq!(
        joined(doc! { "k": ["a", "b"], "n": 2 }, both),
        bson!([{ "_id": 1, "stock": 5 }])
    );
    let documents =
        bson!({ "$lookup": { "pipeline": [{ "$documents": [{ "_id": 7 }] }], "as": "j" } });
    assert_eq!(ids(&joined(doc! {}, documents)), [7]);
    // Inner lookups see the outer one's variables.
    let nested = bson!({ "$lookup": { "from": "items", "let": { "a": "$n" }, "as": "j", "pipeline": [
        { "$match": { "_id": 1 } },
        { "$lookup": { "from": "items", "as": "in", "pipeline": [{ "$match": { "$expr": { "$eq": ["$_id", "$$a"] } } }] } },
        { "$project": { "_id": { "$first": "$in._id" } } } ] } });
    assert_eq!(ids(&joined(doc! { "n": 2 }, nested)), [2]);
}

#[test]
fn bad_lookups_are_refused() {
    for (lookup, code) in [
        (bson!(1), 9),
        (bson!({ "from": "c" }), 9),
        (bson!({ "from": "c", "as": "j" }), 9),
        (bson!({ "from": "c", "as": "j", "localField": "a" }), 9),
        (
            bson!({ "from": 1, "as": "j", "localField": "a", "foreignField": "b" }),
            9,
        ),
        (bson!({ "from": "c", "as": "j", "pipeline": [], "x": 1 }), 9),
        (
            bson!({ "from": "c", "as": "j", "pipeline": [{ "$out": "x" }] }),
            51047,
        ),
        (
            bson!({ "from": "c", "as": "j", "pipeline": [{ "$nope": 1 }] }),
            40324,
        ),
        (bson!({ "from": "c", "as": "j", "pipeline": 1 }), 14),
        (bson!({ "as": "j", "pipeline": [] }), 9),
    ] {
        refuses(bson!({ "$lookup": lookup }), code);
    }
    let mut deep = bson!([]);
    for _ in 0..25 {
        deep = bson!([{ "$lookup": { "from": "c", "as": "j", "pipeline": deep } }]);
    }
    assert_eq!(parse_error(deep).code, 5_858_200);
}

#[test]
fn graphs_are_followed_once() {
    let stage = |options: Document| {
        let mut graph = doc! { "from": "people", "startWith": "$who", "connectFromField": "boss", "connectToField": "_id", "as": "j" };
        graph.extend(options);
        bson!({ "$graphLookup": graph })
    };
    let names = |found: Bson| -> Vec<String> {
        let items = found.as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|item| Some(item.as_document()?.get_str("_id").ok()?.to_owned()))
            .collect()
    };
    let who = doc! { "who": "ann" };
    assert_eq!(
        names(joined(who.clone(), stage(doc! {}))),
        ["ann", "bob", "cat"]
    );
    assert_eq!(
        names(joined(who.clone(), stage(doc! { "maxDepth": 1 }))),
        ["ann", "bob"]
    );
    assert_eq!(
        names(joined(
            who.clone(),
            stage(doc! { "restrictSearchWithMatch": { "_id": { "$ne": "bob" } } })
        )),
        ["ann"]
    );
    assert_eq!(
        joined(who, stage(doc! { "maxDepth": 0, "depthField": "d" })),
        bson!([{ "_id": "ann", "boss": "bob", "d": 0_i64 }])
    );
    refuses(bson!({ "$graphLookup": { "from": "c" } }), 40105);
    refuses(bson!({ "$graphLookup": { "x": "c" } }), 40104);
}

#[test]
fn unions_and_documents() {
    let run =
        |pipeline: Bson| try_run(vec![doc! { "_id": 0 }], pipeline, &shop()).expect("a result");
    assert_eq!(run(bson!([{ "$unionWith": "items" }])).len(), 4);
    let some = bson!([{ "$unionWith": { "coll": "items", "pipeline": [{ "$match": { "stock": 5 } }, { "$project": { "_id": 1 } }] } }]);
    assert_eq!(run(some), [doc! { "_id": 0 }, doc! { "_id": 1 }]);
    assert_eq!(
        run(bson!([{ "$documents": [{ "a": { "$add": [1, 1] } }] }])),
        [doc! { "a": 2 }]
    );
    assert_eq!(
        run(bson!([{ "$unionWith": { "pipeline": [{ "$documents": [{ "_id": 9 }] }] } }])).len(),
        2
    );
    refuses(bson!({ "$unionWith": { "pipeline": [] } }), 9);
    refuses(
        bson!({ "$unionWith": { "coll": "c", "pipeline": [{ "$merge": "c" }] } }),
        31441,
    );
    let failed = try_run(vec![], bson!([{ "$documents": 1 }]), &shop());
    assert_eq!(failed.expect_err("no array").code, 5_858_203);
}

#[test]
fn references_are_followed_and_grouped_by() {
    let people = vec![
        doc! { "_id": 1, "name": "a" },
        doc! { "_id": 2, "name": "b" },
    ];
    let source = Memory {
        collections: HashMap::from([("people", people)]),
    };
    let link = |id: i32| doc! { "$ref": "people", "$id": id };
    let input = vec![
        doc! { "_id": 10, "l": link(1), "many": [link(2), link(1)] },
        doc! { "_id": 11, "l": link(2), "many": [] },
    ];
    let found = try_run(
        input.clone(),
        bson!([
            { "$lookup": { "from": "people", "localField": "l.$id", "foreignField": "_id", "as": "one" } },
            { "$lookup": { "from": "people", "localField": "many.$id", "foreignField": "_id", "as": "all" } },
            { "$lookup": {
                "from": "people", "let": { "id": "$l.$id" }, "as": "piped",
                "pipeline": [{ "$match": { "$expr": { "$eq": ["$_id", "$$id"] } } }],
            } },
            { "$project": {
                "one": "$one.name", "all": { "$size": "$all" }, "piped": "$piped.name",
                "kind": "$l.$ref", "l.$id": 1,
            } },
        ]),
        &source,
    );
    assert_eq!(
        found.expect("followed"),
        [
            doc! { "_id": 10, "l": { "$id": 1 }, "one": ["a"], "all": 2, "piped": ["a"], "kind": "people" },
            doc! { "_id": 11, "l": { "$id": 2 }, "one": ["b"], "all": 0, "piped": ["b"], "kind": "people" },
        ]
    );
    let grouped = try_run(
        input,
        bson!([
            { "$sort": { "l.$id": -1 } },
            { "$group": { "_id": "$l.$ref", "ids": { "$push": "$l.$id" } } },
        ]),
        &source,
    );
    assert_eq!(
        grouped.expect("grouped"),
        [doc! { "_id": "people", "ids": [2, 1] }]
    );
    refuses(bson!({ "$project": { "a": "$l.$other" } }), 16410);
    refuses(bson!({ "$sort": { "l.$other": 1 } }), 16410);
}
