use super::*;

#[test]
fn comparisons_put_missing_before_null() {
    let root = doc! { "a": 5, "n": Bson::Null };
    gives(root.clone(), doc! { "$eq": ["$a", 5.0] }, true);
    gives(root.clone(), doc! { "$eq": ["$n", "$x"] }, false);
    gives(root.clone(), doc! { "$lt": ["$x", "$n"] }, true);
    gives(root.clone(), doc! { "$eq": ["$x", "$y"] }, true);
    gives(root.clone(), doc! { "$gt": ["$a", "$x"] }, true);
    gives(root.clone(), doc! { "$cmp": [1, 2] }, -1);
    gives(root.clone(), doc! { "$cmp": ["a", 2] }, 1);
    gives(root.clone(), doc! { "$ne": [1, 1_i64] }, false);
    gives(root.clone(), doc! { "$gte": [[1, 2], [1]] }, true);
    gives(
        root.clone(),
        doc! { "$lte": [{ "a": 1 }, { "a": 2 }] },
        true,
    );
    fails(root, doc! { "$eq": [1] }, 16020);
}

#[test]
fn logic_stops_early() {
    gives(doc! {}, doc! { "$and": [] }, true);
    gives(doc! {}, doc! { "$or": [] }, false);
    gives(
        doc! {},
        doc! { "$and": [1, false, { "$divide": [1, 0] }] },
        false,
    );
    gives(
        doc! {},
        doc! { "$or": [0, "x", { "$divide": [1, 0] }] },
        true,
    );
    gives(doc! {}, doc! { "$not": [[false]] }, false);
    gives(doc! {}, doc! { "$not": "$x" }, true);
}

#[test]
fn conditions_evaluate_one_branch() {
    let divide = doc! { "$divide": [1, 0] };
    gives(doc! {}, doc! { "$cond": [true, 1, divide.clone()] }, 1);
    gives(
        doc! {},
        doc! { "$cond": { "if": 0, "then": divide.clone(), "else": 2 } },
        2,
    );
    fails(doc! {}, doc! { "$cond": { "if": 0, "then": 1 } }, 17082);
    fails(
        doc! {},
        doc! { "$cond": { "if": 0, "then": 1, "else": 2, "x": 3 } },
        17083,
    );
    fails(doc! {}, doc! { "$cond": [1, 2] }, 16020);
    gives(
        doc! {},
        doc! { "$ifNull": ["$x", Bson::Null, 3, divide.clone()] },
        3,
    );
    gives(doc! {}, doc! { "$ifNull": ["$x", Bson::Null] }, Bson::Null);
    missing(doc! {}, doc! { "$ifNull": ["$x", "$y"] });
    fails(doc! {}, doc! { "$ifNull": ["$x"] }, 1_257_300);
    let branches = bson!([{ "case": false, "then": divide }, { "case": 1, "then": "yes" }]);
    gives(doc! {}, doc! { "$switch": { "branches": branches } }, "yes");
    let never = bson!([{ "case": false, "then": 1 }]);
    gives(
        doc! {},
        doc! { "$switch": { "branches": never.clone(), "default": 9 } },
        9,
    );
    fails(doc! {}, doc! { "$switch": { "branches": never } }, 40066);
    fails(doc! {}, doc! { "$switch": { "branches": [] } }, 40068);
    fails(
        doc! {},
        doc! { "$switch": { "branches": [{ "case": 1 }] } },
        40065,
    );
}

#[test]
fn variables_are_bound_and_shadowed() {
    let root = doc! { "a": 2, "list": [1, 2, 3], "s": "x" };
    gives(
        root.clone(),
        doc! { "$let": { "vars": { "x": "$a", "y": 3 }, "in": { "$multiply": ["$$x", "$$y"] } } },
        6,
    );
    // Definitions see the outer scope only.
    gives(
        root.clone(),
        doc! { "$let": { "vars": { "x": 1 }, "in": {
        "$let": { "vars": { "x": 5, "y": "$$x" }, "in": ["$$x", "$$y"] } } } },
        bson!([5, 1]),
    );
    gives(
        root.clone(),
        doc! { "$let": { "vars": { "CURRENT": { "a": 9 } }, "in": "$a" } },
        9,
    );
    missing(
        root.clone(),
        doc! { "$let": { "vars": { "x": "$none" }, "in": "$$x" } },
    );
    gives(
        root.clone(),
        doc! { "$map": { "input": "$list", "in": { "$add": ["$$this", "$a"] } } },
        bson!([3, 4, 5]),
    );
    gives(
        root.clone(),
        doc! { "$map": { "input": "$list", "as": "n", "in": "$$n.x" } },
        bson!([Bson::Null, Bson::Null, Bson::Null]),
    );
    gives(
        root.clone(),
        doc! { "$map": { "input": "$none", "in": 1 } },
        Bson::Null,
    );
    gives(
        root.clone(),
        doc! { "$filter": { "input": "$list", "as": "n", "cond": { "$gt": ["$$n", 1] } } },
        bson!([2, 3]),
    );
    gives(
        root.clone(),
        doc! { "$filter": { "input": "$list", "cond": true, "limit": 1 } },
        bson!([1]),
    );
    gives(
        root.clone(),
        doc! { "$reduce": { "input": "$list", "initialValue": 10, "in": { "$subtract": ["$$value", "$$this"] } } },
        4,
    );
    gives(
        root.clone(),
        doc! { "$reduce": { "input": Bson::Null, "initialValue": 10, "in": 1 } },
        Bson::Null,
    );
    fails(
        root.clone(),
        doc! { "$map": { "input": "$s", "in": 1 } },
        16883,
    );
    fails(
        root.clone(),
        doc! { "$filter": { "input": "$s", "cond": 1 } },
        28651,
    );
    fails(
        root.clone(),
        doc! { "$filter": { "input": "$list", "cond": 1, "limit": 0 } },
        327_392,
    );
    fails(
        root.clone(),
        doc! { "$reduce": { "input": "$s", "initialValue": 0, "in": 1 } },
        40080,
    );
    fails(
        root.clone(),
        doc! { "$let": { "vars": { "X": 1 }, "in": 1 } },
        9,
    );
    fails(root.clone(), doc! { "$map": { "in": 1 } }, 16880);
    fails(
        root,
        doc! { "$function": { "body": "", "args": [], "lang": "js" } },
        115,
    );
}

#[test]
fn random_numbers_are_fractions() {
    for _ in 0..100 {
        match eval(&doc! {}, &bson!({ "$rand": {} })) {
            Ok(Some(Bson::Double(n))) => assert!((0.0..1.0).contains(&n)),
            other => panic!("{other:?}"),
        }
    }
    fails(doc! {}, doc! { "$rand": 1 }, 3_040_501);
}
