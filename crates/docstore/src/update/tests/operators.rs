use bson::{Bson, bson, doc};

use super::{check, code, parse, try_apply};
use crate::update::ApplyContext;

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

#[test]
fn set_writes_and_tells_whether_it_changed() {
    check(
        doc! {"$set": {"a": 1}},
        doc! {"_id": 1},
        doc! {"_id": 1, "a": 1},
    );
    check(doc! {"$set": {"a": 1}}, doc! {"a": 1}, doc! {"a": 1});
    check(doc! {"$set": {"a": 1.0}}, doc! {"a": 1}, doc! {"a": 1.0});
    check(
        doc! {"$set": {"a.b.c": 1}},
        doc! {"a": {"x": 1}},
        doc! {"a": {"x": 1, "b": {"c": 1}}},
    );
    check(
        doc! {"$set": {"a.1": 9}},
        doc! {"a": [1, 2]},
        doc! {"a": [1, 9]},
    );
    check(
        doc! {"$set": {"a.3": 9}},
        doc! {"a": [1]},
        doc! {"a": [1, null, null, 9]},
    );
    check(
        doc! {"$set": {"a.2.b": 9}},
        doc! {"a": [1]},
        doc! {"a": [1, null, {"b": 9}]},
    );
    check(doc! {"$set": {"a.0": 9}}, doc! {}, doc! {"a": {"0": 9}});
    check(doc! {"$set": {}}, doc! {"a": 1}, doc! {"a": 1});
    check(
        doc! {"$set": {"b": 1, "a10": 1, "a.10": 1, "a.9": 1}},
        doc! {},
        doc! {"a": {"9": 1, "10": 1}, "a10": 1, "b": 1},
    );
    check(
        doc! {"$set": {"a": {"b": 1, "c": 2}}},
        doc! {"a": {"c": 2, "b": 1}},
        doc! {"a": {"b": 1, "c": 2}},
    );
    assert_eq!(code(doc! {"$set": {"a.b": 1}}, doc! {"a": 5}), 28);
    assert_eq!(code(doc! {"$set": {"a.b": 1}}, doc! {"a": null}), 28);
    assert_eq!(code(doc! {"$set": {"a.b": 1}}, doc! {"a": [1]}), 28);
    assert_eq!(code(doc! {"$set": {"a.2000000": 1}}, doc! {"a": []}), 2);
}

#[test]
fn unset_removes_or_nulls_elements() {
    check(
        doc! {"$unset": {"a": ""}},
        doc! {"a": 1, "b": 2},
        doc! {"b": 2},
    );
    check(
        doc! {"$unset": {"a.b": 1}},
        doc! {"a": {"b": 1}},
        doc! {"a": {}},
    );
    check(
        doc! {"$unset": {"a.1": 1}},
        doc! {"a": [1, 2]},
        doc! {"a": [1, null]},
    );
    check(
        doc! {"$unset": {"x": 1, "a.b": 1, "a.7": 1}},
        doc! {"a": [1]},
        doc! {"a": [1]},
    );
}

#[test]
fn arithmetic_promotes_types() {
    check(doc! {"$inc": {"a": 2}}, doc! {"a": 1}, doc! {"a": 3});
    check(doc! {"$inc": {"a": 2}}, doc! {}, doc! {"a": 2});
    check(doc! {"$inc": {"a": 0}}, doc! {"a": 1}, doc! {"a": 1});
    check(
        doc! {"$inc": {"a": 1}},
        doc! {"a": i32::MAX},
        doc! {"a": 2_147_483_648_i64},
    );
    check(
        doc! {"$inc": {"a": 1_i64}},
        doc! {"a": 1},
        doc! {"a": 2_i64},
    );
    check(doc! {"$inc": {"a": 1}}, doc! {"a": 1.5}, doc! {"a": 2.5});
    check(
        doc! {"$inc": {"a": decimal("0.1")}},
        doc! {"a": 1},
        doc! {"a": decimal("1.1")},
    );
    check(doc! {"$mul": {"a": 3}}, doc! {"a": 2}, doc! {"a": 6});
    check(doc! {"$mul": {"a": 3.0}}, doc! {"a": 2}, doc! {"a": 6.0});
    check(doc! {"$mul": {"a": 3_i64}}, doc! {}, doc! {"a": 0_i64});
    check(
        doc! {"$mul": {"a": decimal("3")}},
        doc! {},
        doc! {"a": decimal("0")},
    );
    assert_eq!(code(doc! {"$inc": {"a": 1}}, doc! {"a": i64::MAX}), 2);
    assert_eq!(code(doc! {"$mul": {"a": 2}}, doc! {"a": i64::MAX}), 2);
    assert_eq!(code(doc! {"$inc": {"a": "x"}}, doc! {}), 14);
    assert_eq!(code(doc! {"$inc": {"a": 1}}, doc! {"a": "x"}), 14);
    assert_eq!(code(doc! {"$mul": {"a": 1}}, doc! {"a": null}), 14);
}

#[test]
fn min_and_max_use_the_canonical_order() {
    check(doc! {"$min": {"a": 1}}, doc! {"a": 2}, doc! {"a": 1});
    check(doc! {"$min": {"a": 3}}, doc! {"a": 2}, doc! {"a": 2});
    check(doc! {"$min": {"a": "x"}}, doc! {"a": 2}, doc! {"a": 2});
    check(doc! {"$max": {"a": "x"}}, doc! {"a": 2}, doc! {"a": "x"});
    check(doc! {"$max": {"a": 1}}, doc! {}, doc! {"a": 1});
    check(doc! {"$max": {"a": 2.0}}, doc! {"a": 2}, doc! {"a": 2});
}

#[test]
fn rename_moves() {
    check(
        doc! {"$rename": {"a": "b"}},
        doc! {"a": 1, "b": 2, "c": 3},
        doc! {"b": 1, "c": 3},
    );
    check(
        doc! {"$rename": {"a": "x.y"}},
        doc! {"a": 1},
        doc! {"x": {"y": 1}},
    );
    check(doc! {"$rename": {"n": "m"}}, doc! {"m": 1}, doc! {"m": 1});
    for bad in [
        doc! {"$rename": {"a": 1}},
        doc! {"$rename": {"a": "a"}},
        doc! {"$rename": {"a": "a.b"}},
        doc! {"$rename": {"a.$": "b"}},
        doc! {"$rename": {"l.0": "b"}},
        doc! {"$rename": {"a": "l.0"}},
    ] {
        assert_eq!(code(doc! {"$rename": {"a.x": "b"}}, doc! {"a": 1}), 28);
        assert_eq!(
            code(doc! {"$rename": {"b": "a.x"}}, doc! {"a": 1, "b": 1}),
            28
        );
        assert_eq!(code(bad, doc! {"a": 1, "l": [1]}), 2);
    }
    assert_eq!(
        code(
            doc! {"$rename": {"a": "b"}, "$set": {"b": 1}},
            doc! {"a": 1}
        ),
        40
    );
}

#[test]
fn set_on_insert_counts_for_inserts_only() {
    let update = parse(doc! {"$setOnInsert": {"a": 1}, "$set": {"b": 2}}, &[]).expect("valid");
    let mut doc = doc! {};
    let inserting = ApplyContext {
        inserting: true,
        position: None,
    };
    assert!(update.apply(&mut doc, inserting).expect("applies"));
    assert_eq!(doc, doc! {"a": 1, "b": 2});
    let mut doc = doc! {};
    update
        .apply(&mut doc, ApplyContext::default())
        .expect("applies");
    assert_eq!(doc, doc! {"b": 2});
}

#[test]
fn current_date_writes_now() {
    let before = bson::DateTime::now();
    let update =
        doc! {"$currentDate": {"d": true, "e": {"$type": "date"}, "t": {"$type": "timestamp"}}};
    let (doc, changed) = try_apply(update, doc! {"d": 1}).expect("applies");
    assert!(changed);
    assert!(*doc.get_datetime("d").expect("a date") >= before);
    assert!(doc.get_datetime("e").is_ok());
    let seconds = doc.get_timestamp("t").expect("a timestamp").time;
    assert!(i64::from(seconds) >= before.timestamp_millis() / 1000);
    for bad in [bson!(1), bson!({"$type": "x"}), bson!({"x": 1})] {
        assert_eq!(code(doc! {"$currentDate": {"d": bad}}, doc! {}), 2);
    }
}

#[test]
fn push_inserts_sorts_and_slices() {
    check(
        doc! {"$push": {"a": 3}},
        doc! {"a": [1]},
        doc! {"a": [1, 3]},
    );
    check(doc! {"$push": {"a": 3}}, doc! {}, doc! {"a": [3]});
    check(
        doc! {"$push": {"a": [1]}},
        doc! {"a": []},
        doc! {"a": [[1]]},
    );
    check(
        doc! {"$push": {"a": {"$each": [3, 4]}}},
        doc! {"a": [1]},
        doc! {"a": [1, 3, 4]},
    );
    check(
        doc! {"$push": {"a": {"$each": [9], "$position": 1}}},
        doc! {"a": [1, 2]},
        doc! {"a": [1, 9, 2]},
    );
    check(
        doc! {"$push": {"a": {"$each": [9], "$position": -1}}},
        doc! {"a": [1, 2]},
        doc! {"a": [1, 9, 2]},
    );
    check(
        doc! {"$push": {"a": {"$each": [9], "$position": 99}}},
        doc! {"a": [1]},
        doc! {"a": [1, 9]},
    );
    check(
        doc! {"$push": {"a": {"$each": [2, 4], "$sort": -1, "$slice": 3}}},
        doc! {"a": [1, 3]},
        doc! {"a": [4, 3, 2]},
    );
    check(
        doc! {"$push": {"a": {"$each": [5], "$slice": -2}}},
        doc! {"a": [1, 3]},
        doc! {"a": [3, 5]},
    );
    check(
        doc! {"$push": {"a": {"$each": [], "$slice": 0}}},
        doc! {"a": [1]},
        doc! {"a": []},
    );
    check(
        doc! {"$push": {"a": {"$each": [{"n": 1, "m": 2}], "$sort": {"n": 1, "m": -1}}}},
        doc! {"a": [{"n": 2}, {"n": 1, "m": 1}, 7]},
        doc! {"a": [7, {"n": 1, "m": 2}, {"n": 1, "m": 1}, {"n": 2}]},
    );
    assert_eq!(code(doc! {"$push": {"a": 1}}, doc! {"a": 5}), 2);
    for clauses in [
        doc! {"$each": 1},
        doc! {"$each": [], "$slice": "x"},
        doc! {"$each": [], "$sort": 2},
        doc! {"$each": [], "$sort": {"a": 0}},
        doc! {"$each": [], "$sort": {}},
        doc! {"$each": [], "$position": 1.5},
        doc! {"$each": [], "$nope": 1},
    ] {
        assert_eq!(code(doc! {"$push": {"a": clauses}}, doc! {}), 2);
    }
}

#[test]
fn add_to_set_adds_what_is_not_there() {
    check(
        doc! {"$addToSet": {"a": 1}},
        doc! {"a": [1.0]},
        doc! {"a": [1.0]},
    );
    check(doc! {"$addToSet": {"a": 2}}, doc! {}, doc! {"a": [2]});
    check(
        doc! {"$addToSet": {"a": {"$each": [1, 2, 2]}}},
        doc! {"a": [1]},
        doc! {"a": [1, 2]},
    );
    check(
        doc! {"$addToSet": {"a": {"x": 1, "y": 2}}},
        doc! {"a": [{"y": 2, "x": 1}]},
        doc! {"a": [{"y": 2, "x": 1}, {"x": 1, "y": 2}]},
    );
    assert_eq!(code(doc! {"$addToSet": {"a": 1}}, doc! {"a": 1}), 2);
    assert_eq!(code(doc! {"$addToSet": {"a": {"$each": 1}}}, doc! {}), 14);
    assert_eq!(
        code(doc! {"$addToSet": {"a": {"$each": [], "x": 1}}}, doc! {}),
        2
    );
}

#[test]
fn pull_takes_out_values_and_matches() {
    check(
        doc! {"$pull": {"a": 1}},
        doc! {"a": [1, 2, 1.0]},
        doc! {"a": [2]},
    );
    check(
        doc! {"$pull": {"a": {"$gte": 2}}},
        doc! {"a": [1, 2, 3]},
        doc! {"a": [1]},
    );
    check(
        doc! {"$pull": {"a": {"$in": [1, 3]}}},
        doc! {"a": [1, 2, 3]},
        doc! {"a": [2]},
    );
    check(
        doc! {"$pull": {"a": {"b": 1, "c": {"$gt": 1}}}},
        doc! {"a": [{"b": 1, "c": 2, "d": 3}, {"b": 1, "c": 1}, 5]},
        doc! {"a": [{"b": 1, "c": 1}, 5]},
    );
    check(
        doc! {"$pull": {"a": {"$elemMatch": {"b": 1}}}},
        doc! {"a": [[{"b": 1}], [{"b": 2}]]},
        doc! {"a": [[{"b": 2}]]},
    );
    check(
        doc! {"$pull": {"a": {"$or": [{"b": 1}, {"b": 2}]}}},
        doc! {"a": [{"b": 2}]},
        doc! {"a": []},
    );
    check(
        doc! {"$pull": {"a": [1]}},
        doc! {"a": [[1], 1]},
        doc! {"a": [1]},
    );
    check(doc! {"$pull": {"x.y": 1}}, doc! {"a": 1}, doc! {"a": 1});
    check(
        doc! {"$pullAll": {"a": [1, "x"]}},
        doc! {"a": [1, "x", 2]},
        doc! {"a": [2]},
    );
    assert_eq!(code(doc! {"$pull": {"a": 1}}, doc! {"a": 1}), 2);
    assert_eq!(code(doc! {"$pullAll": {"a": 1}}, doc! {}), 2);
    assert_eq!(code(doc! {"$pull": {"a": {"$nope": 1}}}, doc! {"a": []}), 2);
}

#[test]
fn pop_takes_an_end() {
    check(doc! {"$pop": {"a": 1}}, doc! {"a": [1, 2]}, doc! {"a": [1]});
    check(
        doc! {"$pop": {"a": -1}},
        doc! {"a": [1, 2]},
        doc! {"a": [2]},
    );
    check(doc! {"$pop": {"a": 1}}, doc! {"a": []}, doc! {"a": []});
    check(doc! {"$pop": {"x": 1}}, doc! {}, doc! {});
    assert_eq!(code(doc! {"$pop": {"a": 2}}, doc! {}), 9);
    assert_eq!(code(doc! {"$pop": {"a": "x"}}, doc! {}), 9);
    assert_eq!(code(doc! {"$pop": {"a": 1}}, doc! {"a": 5}), 14);
}

#[test]
fn bit_works_on_integers() {
    check(
        doc! {"$bit": {"a": {"and": 10}}},
        doc! {"a": 13},
        doc! {"a": 8},
    );
    check(
        doc! {"$bit": {"a": {"or": 3, "xor": 1}}},
        doc! {"a": 4},
        doc! {"a": 6},
    );
    check(
        doc! {"$bit": {"a": {"or": 1_i64}}},
        doc! {"a": 2},
        doc! {"a": 3_i64},
    );
    check(doc! {"$bit": {"a": {"or": 1}}}, doc! {}, doc! {"a": 1});
    for bad in [bson!(1), bson!({}), bson!({"nand": 1}), bson!({"and": 1.5})] {
        assert_eq!(code(doc! {"$bit": {"a": bad}}, doc! {}), 2);
    }
    assert_eq!(code(doc! {"$bit": {"a": {"or": 1}}}, doc! {"a": 1.5}), 2);
}

#[test]
fn malformed_updates_are_refused() {
    assert_eq!(code(doc! {"$nope": {"a": 1}}, doc! {}), 9);
    assert_eq!(code(doc! {"$nope": 1}, doc! {}), 9);
    assert_eq!(code(doc! {"$set": 1}, doc! {}), 9);
    assert_eq!(code(doc! {"$set": {"a": 1}, "b": 1}, doc! {}), 9);
    assert_eq!(code(doc! {"$set": {"": 1}}, doc! {}), 56);
    assert_eq!(code(doc! {"$set": {"a..b": 1}}, doc! {}), 56);
    assert_eq!(code(doc! {"$set": {"$x": 1}}, doc! {}), 52);
}
