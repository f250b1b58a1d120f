use super::*;

#[test]
fn merging_and_fields() {
    let root =
        doc! { "o": { "a": 1, "$b": 2, "c.d": 3 }, "list": [{ "x": 1 }, Bson::Null, { "x": 2 }] };
    gives(
        root.clone(),
        doc! { "$mergeObjects": ["$o", { "a": 9 }, "$none"] },
        doc! { "a": 9, "$b": 2, "c.d": 3 },
    );
    gives(
        root.clone(),
        doc! { "$mergeObjects": "$list" },
        doc! { "x": 2 },
    );
    gives(
        root.clone(),
        doc! { "$mergeObjects": [Bson::Null] },
        doc! {},
    );
    fails(root.clone(), doc! { "$mergeObjects": [1] }, 40400);
    gives(
        root.clone(),
        doc! { "$getField": { "field": "c.d", "input": "$o" } },
        3,
    );
    gives(
        root.clone(),
        doc! { "$getField": { "field": { "$literal": "$b" }, "input": "$o" } },
        2,
    );
    gives(
        root.clone(),
        doc! { "$getField": "list" },
        root.get("list").cloned().unwrap_or_default(),
    );
    missing(
        root.clone(),
        doc! { "$getField": { "field": "z", "input": "$o" } },
    );
    gives(
        root.clone(),
        doc! { "$getField": { "field": "z", "input": Bson::Null } },
        Bson::Null,
    );
    fails(
        root.clone(),
        doc! { "$getField": { "field": 1, "input": "$o" } },
        3_041_704,
    );
    gives(
        root.clone(),
        doc! { "$setField": { "field": "c.d", "input": "$o", "value": 4 } },
        doc! { "a": 1, "$b": 2, "c.d": 4 },
    );
    gives(
        root.clone(),
        doc! { "$unsetField": { "field": "a", "input": { "a": 1, "b": 2 } } },
        doc! { "b": 2 },
    );
    gives(
        root.clone(),
        doc! { "$setField": { "field": "a", "input": "$none", "value": 4 } },
        Bson::Null,
    );
    fails(
        root,
        doc! { "$setField": { "field": "a", "input": 1, "value": 4 } },
        4_161_105,
    );
}

#[test]
fn pairs() {
    let pairs = bson!([{ "k": "a", "v": 1 }, { "k": "b", "v": [2] }]);
    gives(
        doc! { "o": { "a": 1, "b": [2] } },
        doc! { "$objectToArray": "$o" },
        pairs.clone(),
    );
    gives(
        doc! {},
        doc! { "$arrayToObject": { "$literal": pairs } },
        doc! { "a": 1, "b": [2] },
    );
    gives(
        doc! {},
        doc! { "$arrayToObject": [[["a", 1], ["a", 2]]] },
        doc! { "a": 2 },
    );
    gives(doc! {}, doc! { "$objectToArray": "$x" }, Bson::Null);
    gives(doc! {}, doc! { "$arrayToObject": "$x" }, Bson::Null);
    fails(doc! {}, doc! { "$objectToArray": 1 }, 40390);
    fails(doc! {}, doc! { "$arrayToObject": 1 }, 40386);
    fails(doc! {}, doc! { "$arrayToObject": [[["a"]]] }, 40397);
    fails(doc! {}, doc! { "$arrayToObject": [[[1, 2]]] }, 40395);
    fails(doc! {}, doc! { "$arrayToObject": [[{ "k": "a" }]] }, 40392);
    fails(
        doc! {},
        doc! { "$arrayToObject": [[{ "k": "a", "v": 1 }, ["b", 2]]] },
        40396,
    );
}

#[test]
fn sizes() {
    gives(doc! {}, doc! { "$binarySize": "é" }, 2);
    gives(doc! {}, doc! { "$binarySize": "$x" }, Bson::Null);
    gives(doc! {}, doc! { "$bsonSize": {} }, 5);
    fails(doc! {}, doc! { "$binarySize": 1 }, 51276);
    fails(doc! {}, doc! { "$bsonSize": 1 }, 31393);
}
