use bson::{Bson, Document, bson, doc};

use crate::query::{Bound, Filter};

fn bounds(filter: Document, path: &str) -> Vec<Bound> {
    Filter::parse(&filter, &Document::new())
        .expect("a valid filter")
        .bounds(path)
}

fn range(lower: Option<(Bson, bool)>, upper: Option<(Bson, bool)>) -> Bound {
    Bound::Range { lower, upper }
}

#[test]
fn conjunctions_bound_paths() {
    assert_eq!(bounds(doc! {"a": 1, "b": 2}, "a"), [Bound::Eq(bson!(1))]);
    assert_eq!(
        bounds(doc! {"$and": [{"a": 1}, {"b": 2}]}, "b"),
        [Bound::Eq(bson!(2))]
    );
    assert_eq!(
        bounds(doc! {"a": {"$gt": 1, "$lte": 5}}, "a"),
        [
            range(Some((bson!(1), false)), None),
            range(None, Some((bson!(5), true)))
        ]
    );
    assert_eq!(
        bounds(doc! {"a": {"$in": [2, 1, 2]}}, "a"),
        [Bound::In(vec![bson!(1), bson!(2)])]
    );
    assert_eq!(
        bounds(doc! {"a.b": {"$exists": true}}, "a.b"),
        [Bound::Exists]
    );
    assert_eq!(
        bounds(doc! {"a": {"$elemMatch": {"$gte": 1, "$lt": 5}}}, "a"),
        [range(Some((bson!(1), true)), Some((bson!(5), false)))]
    );
    assert_eq!(
        bounds(doc! {"a": {"$gte": null}}, "a"),
        [Bound::Eq(Bson::Null)]
    );
}

#[test]
fn nothing_is_bounded_by_what_may_match_otherwise() {
    for filter in [
        doc! {},
        doc! {"$or": [{"a": 1}, {"b": 1}]},
        doc! {"$nor": [{"a": 1}]},
        doc! {"a": {"$ne": 1}},
        doc! {"a": {"$exists": false}},
        doc! {"a": {"$in": [1, [2]]}},
        doc! {"a": [1]},
        doc! {"a": {"$regex": "^x"}},
        doc! {"a": {"$lt": Bson::MaxKey}},
        doc! {"a": {"$elemMatch": {"b": 1}}},
        doc! {"a": {"$elemMatch": {"$elemMatch": {"$gt": 1}}}},
    ] {
        assert_eq!(bounds(filter.clone(), "a"), [], "{filter}");
    }
}

#[test]
fn upserts_start_from_equalities() {
    let fields = |filter: Document| {
        Filter::parse(&filter, &Document::new())
            .expect("a valid filter")
            .upsert_fields()
    };
    let fixed = fields(doc! {
        "a": 1, "b": {"$eq": 2}, "c": {"$gt": 3}, "$and": [{"d.e": 4}],
        "f": {"$in": [5]}, "g": {"$all": [6]}, "$or": [{"h": 7}],
        "i": {"$in": [1, 2]}, "j": {"$elemMatch": {"$eq": 1}},
    });
    let expected = [("a", 1), ("b", 2), ("d.e", 4), ("f", 5), ("g", 6), ("h", 7)];
    let expected: Vec<(String, Bson)> = expected
        .iter()
        .map(|(path, n)| ((*path).to_owned(), bson!(*n)))
        .collect();
    assert_eq!(fixed.expect("no conflict"), expected);
    for twice in [
        doc! {"a": 1, "$and": [{"a": 2}]},
        doc! {"a": {"$all": [1, 2]}},
        doc! {"a": 1, "a.b": 2},
    ] {
        assert_eq!(
            fields(twice.clone()).expect_err("fixed twice").code,
            54,
            "{twice}"
        );
    }
}

#[test]
fn only_the_empty_filter_is_empty() {
    let is_empty = |filter: Document| {
        Filter::parse(&filter, &Document::new())
            .expect("a valid filter")
            .is_empty()
    };
    assert!(is_empty(doc! {}));
    assert!(is_empty(doc! {"$comment": "all"}));
    assert!(!is_empty(doc! {"a": 1}));
}
