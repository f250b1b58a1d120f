use bson::{Bson, Document, bson, doc};

use super::{check, code, filter, matches, regex};
use crate::query::Filter;

#[test]
fn equality_compares_numbers_by_value_and_looks_into_arrays() {
    check(
        doc! {"a": 1},
        &[
            doc! {"a": 1},
            doc! {"a": 1.0},
            doc! {"a": 1_i64},
            doc! {"a": [3, 1]},
        ],
        &[
            doc! {"a": 2},
            doc! {"a": "1"},
            doc! {"a": [[1]]},
            doc! {"b": 1},
            doc! {"a": true},
        ],
    );
    check(
        doc! {"a": [1, 2]},
        &[doc! {"a": [1, 2]}, doc! {"a": [[1, 2], 5]}],
        &[doc! {"a": [2, 1]}, doc! {"a": 1}, doc! {"a": [1, 2, 3]}],
    );
    check(
        doc! {"a": {"b": 1, "c": 2}},
        &[doc! {"a": {"b": 1, "c": 2}}],
        &[doc! {"a": {"c": 2, "b": 1}}, doc! {"a": {"b": 1}}],
    );
    check(
        doc! {"a": f64::NAN},
        &[doc! {"a": f64::NAN}],
        &[doc! {"a": 0}],
    );
    check(doc! {}, &[doc! {}, doc! {"a": 1}], &[]);
}

#[test]
fn null_stands_for_missing() {
    check(
        doc! {"a": null},
        &[doc! {}, doc! {"a": null}, doc! {"a": [null]}],
        &[doc! {"a": 1}, doc! {"a": []}, doc! {"a": [1]}],
    );
    check(
        doc! {"a.b": null},
        &[
            doc! {},
            doc! {"a": 1},
            doc! {"a": {}},
            doc! {"a": [{"b": 1}, {}]},
        ],
        &[doc! {"a": [1]}, doc! {"a": []}, doc! {"a": [{"b": 1}]}],
    );
    check(
        doc! {"a": {"$ne": null}},
        &[doc! {"a": 1}, doc! {"a": []}],
        &[doc! {}, doc! {"a": null}, doc! {"a": [1, null]}],
    );
    check(
        doc! {"a": {"$gte": null}},
        &[doc! {}, doc! {"a": null}],
        &[doc! {"a": 0}],
    );
    check(
        doc! {"a": {"$gt": null}},
        &[],
        &[doc! {}, doc! {"a": null}, doc! {"a": 0}],
    );
    check(
        doc! {"a": {"$in": [null, 3]}},
        &[doc! {}, doc! {"a": 3}],
        &[doc! {"a": 4}],
    );
}

#[test]
fn ranges_stay_within_their_type() {
    check(
        doc! {"a": {"$gt": 3}},
        &[doc! {"a": 4}, doc! {"a": 3.5}, doc! {"a": [1, 9]}],
        &[
            doc! {"a": 3},
            doc! {"a": "9"},
            doc! {"a": null},
            doc! {},
            doc! {"a": f64::NAN},
        ],
    );
    check(
        doc! {"a": {"$lt": 3}},
        &[doc! {"a": 2}],
        &[doc! {"a": f64::NAN}, doc! {"a": null}],
    );
    check(
        doc! {"a": {"$gte": f64::NAN}},
        &[doc! {"a": f64::NAN}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a": {"$gt": 3, "$lt": 5}},
        &[doc! {"a": 4}, doc! {"a": [1, 9]}],
        &[doc! {"a": 6}],
    );
    check(
        doc! {"a": {"$lt": "b"}},
        &[doc! {"a": "a"}],
        &[doc! {"a": 1}, doc! {"a": "b"}],
    );
    check(
        doc! {"a": {"$gte": [1, 2]}},
        &[doc! {"a": [1, 2]}, doc! {"a": [2]}],
        &[doc! {"a": [1]}],
    );
    check(
        doc! {"a": {"$lte": Bson::MaxKey}},
        &[doc! {"a": 1}, doc! {"a": "x"}, doc! {}],
        &[],
    );
    check(
        doc! {"a": {"$gt": Bson::MinKey}},
        &[doc! {"a": 1}, doc! {}],
        &[doc! {"a": Bson::MinKey}],
    );
    assert_eq!(code(doc! {"a": {"$gt": regex("x", "")}}), 2);
    assert_eq!(code(doc! {"a": {"$lt": Bson::Undefined}}), 2);
}

#[test]
fn membership_takes_values_and_patterns() {
    check(
        doc! {"a": {"$in": [1, "x", regex("^y", "")]}},
        &[
            doc! {"a": 1.0},
            doc! {"a": "x"},
            doc! {"a": "yes"},
            doc! {"a": [9, "x"]},
        ],
        &[doc! {"a": 2}, doc! {"a": "no"}, doc! {}],
    );
    check(
        doc! {"a": {"$nin": [1, 2]}},
        &[doc! {}, doc! {"a": 3}],
        &[doc! {"a": [3, 2]}],
    );
    check(doc! {"a": {"$in": []}}, &[], &[doc! {}, doc! {"a": 1}]);
    check(
        doc! {"a": {"$in": [[1]]}},
        &[doc! {"a": [1]}, doc! {"a": [[1]]}],
        &[doc! {"a": 1}],
    );
    assert_eq!(code(doc! {"a": {"$in": 1}}), 2);
    assert_eq!(code(doc! {"a": {"$in": [{"$gt": 1}]}}), 2);
    assert_eq!(code(doc! {"a": {"$nin": null}}), 2);
}

#[test]
fn logic_combines() {
    check(
        doc! {"$or": [{"a": 1}, {"b": 2}], "c": 3},
        &[doc! {"a": 1, "c": 3}, doc! {"b": 2, "c": 3}],
        &[doc! {"a": 1}, doc! {"c": 3}],
    );
    check(
        doc! {"$nor": [{"a": 1}, {"b": 2}]},
        &[doc! {}],
        &[doc! {"a": 1}, doc! {"b": 2}],
    );
    check(
        doc! {"$and": [{"a": 1}, {"a": 2}]},
        &[doc! {"a": [1, 2]}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a": {"$not": {"$gt": 3}}},
        &[doc! {}, doc! {"a": "x"}],
        &[doc! {"a": [1, 4]}],
    );
    check(
        doc! {"a": {"$not": regex("x", "")}},
        &[doc! {"a": "y"}, doc! {}],
        &[doc! {"a": "x"}],
    );
    check(doc! {"$alwaysFalse": 1}, &[], &[doc! {}]);
    check(doc! {"$alwaysTrue": 1, "$comment": "why"}, &[doc! {}], &[]);
    check(doc! {"$sampleRate": 1.0}, &[doc! {}], &[]);
    check(doc! {"$sampleRate": 0}, &[], &[doc! {}]);
    for bad in [
        doc! {"$or": []},
        doc! {"$or": 1},
        doc! {"$and": [1]},
        doc! {"a": {"$not": {}}},
        doc! {"a": {"$not": 1}},
        doc! {"$sampleRate": 2},
        doc! {"$nothing": 1},
        doc! {"a": {"$gt": 1, "b": 2}},
        doc! {"a": {"$nothing": 1}},
    ] {
        assert_eq!(code(bad.clone()), 2, "{bad}");
    }
}

#[test]
fn existence_and_types() {
    check(
        doc! {"a": {"$exists": true}},
        &[doc! {"a": null}, doc! {"a": []}],
        &[doc! {}],
    );
    check(doc! {"a": {"$exists": 0}}, &[doc! {}], &[doc! {"a": null}]);
    check(
        doc! {"a.b": {"$exists": false}},
        &[doc! {"a": [1]}, doc! {"a": []}],
        &[doc! {"a": {"b": 1}}],
    );
    check(
        doc! {"a": {"$type": "number"}},
        &[doc! {"a": 1}, doc! {"a": 1.5}, doc! {"a": ["x", 1]}],
        &[doc! {"a": "x"}, doc! {}],
    );
    check(
        doc! {"a": {"$type": "array"}},
        &[doc! {"a": []}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a": {"$type": [2, "null"]}},
        &[doc! {"a": "x"}, doc! {"a": null}],
        &[doc! {}],
    );
    assert_eq!(code(doc! {"a": {"$type": "nope"}}), 2);
    assert_eq!(code(doc! {"a": {"$type": []}}), 9);
}

#[test]
fn remainders() {
    check(
        doc! {"a": {"$mod": [4, 1]}},
        &[
            doc! {"a": 5},
            doc! {"a": 5.9},
            doc! {"a": 9_i64},
            doc! {"a": [2, 1]},
        ],
        &[
            doc! {"a": 4},
            doc! {"a": "5"},
            doc! {"a": f64::INFINITY},
            doc! {"a": -5},
            doc! {},
        ],
    );
    check(doc! {"a": {"$mod": [-1, 0]}}, &[doc! {"a": i64::MIN}], &[]);
    for bad in [
        bson!([4]),
        bson!([4, 1, 2]),
        bson!([0, 1]),
        bson!(["x", 1]),
        bson!([1, "x"]),
        bson!(4),
    ] {
        assert_eq!(code(doc! {"a": {"$mod": bad}}), 2);
    }
}

#[test]
fn references_are_values() {
    let reference = doc! {"$ref": "c", "$id": 1};
    check(
        doc! {"a": reference.clone()},
        &[doc! {"a": reference}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"a.$id": 1},
        &[doc! {"a": {"$ref": "c", "$id": 1}}],
        &[doc! {"a": {"$ref": "c", "$id": 2}}],
    );
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    for (condition, expected) in [
        (doc! {"a": {"$near": [1, 1]}}, 291),
        (doc! {"a": {"$geoWithin": {}}}, 2),
        (doc! {"$text": {"$search": "x"}}, 27),
        (doc! {"$where": "true"}, 2),
        (doc! {"a": {"$where": "true"}}, 2),
        (doc! {"$jsonSchema": 1}, 14),
    ] {
        let error = Filter::parse(&condition, &Document::new()).expect_err("refused");
        assert_eq!(error.code, expected, "{condition}");
        let operator = condition.to_string();
        let name = operator
            .split('"')
            .find(|part| part.starts_with('$'))
            .expect("an operator");
        assert!(
            error.message.contains(name),
            "{} names {name}",
            error.message
        );
    }
}

#[test]
fn deep_filters_work_or_are_refused() {
    let nested = |depth: usize| {
        let mut condition = doc! {"a": 1};
        for _ in 0..depth {
            condition = doc! {"$and": [condition]};
        }
        condition
    };
    assert!(matches(&nested(100), &doc! {"a": 1}));
    assert_eq!(code(nested(400)), 2);
    let mut value = bson!(1);
    for _ in 0..100 {
        value = bson!({"a": [value]});
    }
    assert!(matches(&doc! {"v": value.clone()}, &doc! {"v": value}));
    let long = vec!["a"; 100].join(".");
    assert!(!matches(&doc! {long: 1}, &doc! {"a": {"a": [{"a": 1}]}}));
}

#[test]
fn expressions_read_fields_and_variables() {
    check(
        doc! {"$expr": {"$gt": ["$a", "$b"]}},
        &[doc! {"a": 2, "b": 1}],
        &[doc! {"a": 1, "b": 2}, doc! {}],
    );
    check(
        doc! {"$expr": "$a", "b": 1},
        &[doc! {"a": true, "b": 1}],
        &[doc! {"a": 0, "b": 1}],
    );
    let with_vars = Filter::parse(&doc! {"$expr": {"$eq": ["$a", "$$v"]}}, &doc! {"v": 3});
    let with_vars = with_vars.expect("a valid filter");
    assert!(with_vars.matches(&doc! {"a": 3}).expect("evaluation"));
    assert!(!with_vars.matches(&doc! {"a": 4}).expect("evaluation"));
    let moment = bson::DateTime::from_millis(5);
    let with_now = Filter::parse(
        &doc! {"$expr": {"$eq": ["$a", "$$NOW"]}},
        &doc! {"NOW": moment},
    );
    let with_now = with_now.expect("a valid filter");
    assert!(with_now.matches(&doc! {"a": moment}).expect("evaluation"));
    let failing = filter(doc! {"$expr": {"$divide": [1, "$a"]}});
    assert!(failing.matches(&doc! {"a": 0}).is_err());
}
