use super::*;

#[test]
fn paths_go_through_documents_and_arrays() {
    let root =
        doc! { "a": { "b": 1 }, "list": [{ "b": 1 }, { "c": 2 }, 5, [{ "b": 9 }], { "b": [3] }] };
    gives(root.clone(), "$a.b", 1);
    gives(root.clone(), "$list.b", bson!([1, [3]]));
    gives(root.clone(), "$list.x", bson!([]));
    missing(root.clone(), "$a.x");
    missing(root.clone(), "$a.b.c");
    missing(root.clone(), "$x.y");
    // A number is a name, not a position.
    gives(root, "$list.0", bson!([]));
}

#[test]
fn variables() {
    let root = doc! { "a": { "b": 1 } };
    gives(root.clone(), "$$ROOT", root.clone());
    gives(root.clone(), "$$CURRENT.a.b", 1);
    gives(root.clone(), "$$ROOT.a", doc! { "b": 1 });
    gives(root.clone(), "$$u.v", 7);
    gives(root.clone(), "$$NOW", DateTime::from_millis(0));
    missing(root.clone(), "$$REMOVE");
    fails(root.clone(), "$$nope", 17276);
    fails(root.clone(), "$$CLUSTER_TIME", 51144);
    fails(root, "$$Upper", 9);
}

#[test]
fn bad_paths_are_refused() {
    for (path, code) in [
        ("$", 16872),
        ("$a..b", 15998),
        ("$a.", 40353),
        ("$a.$b", 16410),
        ("$$", 9),
        ("$.a", 15998),
    ] {
        fails(doc! {}, path, code);
    }
}

#[test]
fn objects_and_arrays_of_expressions() {
    let root = doc! { "a": 1 };
    gives(
        root.clone(),
        doc! { "x": "$a", "y": "$missing", "z": ["$a", "$missing", "text"] },
        doc! { "x": 1, "z": [1, Bson::Null, "text"] },
    );
    gives(root.clone(), doc! { "$literal": "$a" }, "$a");
    let inside = bson!([{ "$literal": "$a" }, [{ "$literal": 1 }], { "b": { "$literal": 2 } }]);
    gives(root.clone(), inside, bson!(["$a", [1], { "b": 2 }]));
    gives(root.clone(), doc! {}, doc! {});
    fails(root.clone(), doc! { "$add": [1], "$multiply": [1] }, 15983);
    fails(root.clone(), doc! { "a.b": "$a" }, 16412);
    fails(root.clone(), doc! { "a": 1, "$b": 1 }, 16410);
    fails(root.clone(), doc! { "$noSuchOperator": 1 }, 168);
    fails(root.clone(), doc! { "$not": [1, 2] }, 16020);
    fails(root, doc! { "$round": [1, 2, 3] }, 28667);
}

#[test]
fn nesting_is_bounded() {
    let mut deep = bson!("$a");
    for _ in 0..99 {
        deep = bson!([deep]);
    }
    assert!(Expr::parse(&deep).is_ok());
    for _ in 0..5 {
        deep = bson!([deep]);
    }
    assert_eq!(Expr::parse(&deep).expect_err("too deep").code, 15);
    let mut calls = bson!(true);
    for _ in 0..200 {
        calls = bson!({ "$not": [calls] });
    }
    assert_eq!(Expr::parse(&calls).expect_err("too deep").code, 15);
}
