use std::cmp::Ordering;

use bson::{Bson, Decimal128, Document, bson, doc};
use proptest::prelude::*;

use super::*;

fn key(value: &Bson) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(value, false, &mut out);
    out
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

fn assert_ascending(values: &[Bson]) {
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate() {
            assert_eq!(compare(a, b), i.cmp(&j), "{a:?} and {b:?}");
            assert_eq!(key(a).cmp(&key(b)), i.cmp(&j), "keys of {a:?} and {b:?}");
        }
    }
}

#[test]
fn types_come_in_canonical_order() {
    assert_ascending(&[
        Bson::MinKey,
        Bson::Undefined,
        Bson::Null,
        bson!(f64::NAN),
        bson!(-1),
        bson!("a"),
        bson!({}),
        bson!([]),
        Bson::Binary(bson::Binary {
            subtype: 0.into(),
            bytes: vec![],
        }),
        Bson::ObjectId(bson::oid::ObjectId::from_bytes([0; 12])),
        bson!(false),
        bson!(true),
        Bson::DateTime(bson::DateTime::from_millis(-5)),
        Bson::DateTime(bson::DateTime::from_millis(5)),
        Bson::Timestamp(bson::Timestamp {
            time: 1,
            increment: 2,
        }),
        Bson::JavaScriptCode("a".into()),
        Bson::MaxKey,
    ]);
}

#[test]
fn numbers_compare_exactly_across_types() {
    assert_ascending(&[
        bson!(f64::NAN),
        bson!(f64::NEG_INFINITY),
        decimal("-1E+6000"),
        bson!(f64::MIN),
        bson!(i64::MIN),
        bson!(i64::MIN + 1),
        bson!(-1.5),
        decimal("-1E-6000"),
        bson!(0),
        decimal("1E-6000"),
        bson!(f64::from_bits(1)),
        decimal("0.1"),
        bson!(0.1),
        bson!(9_007_199_254_740_992.0),
        bson!(9_007_199_254_740_993_i64),
        decimal("9007199254740993.5"),
        bson!(i64::MAX - 1),
        bson!(i64::MAX),
        decimal("9223372036854775807.5"),
        bson!(9_223_372_036_854_775_808.0),
        decimal("9223372036854775808.000000000000001"),
        bson!(f64::MAX),
        decimal("1E+309"),
        bson!(f64::INFINITY),
    ]);
}

#[test]
fn equal_numbers_give_equal_keys() {
    let groups = [
        vec![
            bson!(0),
            bson!(0_i64),
            bson!(0.0),
            bson!(-0.0),
            decimal("0"),
            decimal("-0E+5"),
        ],
        vec![
            bson!(7),
            bson!(7_i64),
            bson!(7.0),
            decimal("7"),
            decimal("7.000"),
            decimal("70E-1"),
        ],
        vec![bson!(-2.5), decimal("-2.50")],
        vec![bson!(f64::NAN), bson!(-f64::NAN), decimal("NaN")],
        vec![bson!(f64::INFINITY), decimal("Infinity")],
        vec![
            bson!(i64::MIN),
            bson!(i64::MIN as f64),
            decimal("-9223372036854775808"),
        ],
        vec![decimal("1.0E+40"), decimal("10E+39")],
        vec![bson!("a"), Bson::Symbol("a".into())],
    ];
    for group in groups {
        for a in &group {
            for b in &group {
                assert_eq!(compare(a, b), Ordering::Equal, "{a:?} {b:?}");
                assert_eq!(key(a), key(b), "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn documents_compare_by_type_then_name_then_value() {
    assert_ascending(&[
        bson!({}),
        bson!({"b": 1}),
        bson!({"b": 1, "c": 1}),
        bson!({"b": 2}),
        bson!({"c": 0}),
        bson!({"a": "text"}),
    ]);
    assert_ascending(&[
        bson!([]),
        bson!([1]),
        bson!([1, 1]),
        bson!([1, "a"]),
        bson!([2]),
    ]);
    assert_ascending(&[
        bson!("a"),
        bson!("a\0"),
        bson!("a\0b"),
        bson!("ab"),
        bson!("b"),
    ]);
}

#[test]
fn identity_is_finer_than_equality() {
    assert!(!identical(&bson!(1), &bson!(1.0)));
    assert!(!identical(&bson!(0.0), &bson!(-0.0)));
    assert!(identical(&bson!(f64::NAN), &bson!(f64::NAN)));
    assert!(!identical(
        &bson!({"a": 1, "b": 1}),
        &bson!({"b": 1, "a": 1})
    ));
    assert!(!identical(&decimal("1.0"), &decimal("1.00")));
}

fn reached(doc: &Document, path: &str) -> Vec<Option<Bson>> {
    let mut out = Vec::new();
    walk_path(doc, path, &mut |value| out.push(value.cloned()));
    out
}

#[test]
fn paths_fan_out_as_queries_do() {
    let doc =
        doc! {"a": [{"b": 1}, {"c": 2}, 5, [{"b": 9}]], "s": 3, "o": {"p": {"q": 4}}, "e": []};
    assert_eq!(reached(&doc, "a.b"), [Some(bson!(1)), None]);
    assert_eq!(reached(&doc, "a.0.b"), [None, Some(bson!(1)), None]);
    assert_eq!(reached(&doc, "a.3.b"), [None, None, Some(bson!(9))]);
    assert_eq!(reached(&doc, "a.2"), [None, None, Some(bson!(5))]);
    assert_eq!(reached(&doc, "s.x"), [None]);
    assert_eq!(reached(&doc, "o.p.q"), [Some(bson!(4))]);
    assert_eq!(reached(&doc, "e.x"), []);
    assert_eq!(reached(&doc, "e"), [Some(bson!([]))]);
    assert_eq!(reached(&doc, "none.at.all"), [None]);
}

#[test]
fn plain_addresses_get_and_set() {
    let mut doc = doc! {"a": [{"b": 1}], "s": 3};
    assert_eq!(get_path(&doc, "a.0.b"), Some(&bson!(1)));
    assert_eq!(get_path(&doc, "a.00.b"), None);
    assert_eq!(get_path(&doc, "a.b"), None);
    assert!(set_path(&mut doc, "a.0.b", bson!(2)));
    assert!(set_path(&mut doc, "n.m", bson!(1)));
    assert!(!set_path(&mut doc, "s.x", bson!(1)));
    assert!(!set_path(&mut doc, "a.7", bson!(1)));
    assert_eq!(doc, doc! {"a": [{"b": 2}], "s": 3, "n": {"m": 1}});
}

#[test]
fn decimal_arithmetic_rounds_to_34_digits() {
    let number = |text: &str| Decimal::from_bson(&text.parse::<Decimal128>().expect("a decimal"));
    let cases = [
        ("1.10", "2.2", "3.30", "2.420"),
        ("1E+6111", "1E+6111", "2E+6111", "Infinity"),
        (
            "9999999999999999999999999999999999",
            "1",
            "1.000000000000000000000000000000000E+34",
            "9999999999999999999999999999999999",
        ),
        (
            "1E+40",
            "-1E-40",
            "1.000000000000000000000000000000000E+40",
            "-1",
        ),
        ("Infinity", "-Infinity", "NaN", "-Infinity"),
        ("5", "-5", "0", "-25"),
        ("-5", "3", "-2", "-15"),
        ("0", "Infinity", "Infinity", "NaN"),
        (
            "1E-6176",
            "1E-1",
            "0.1000000000000000000000000000000000",
            "0E-6176",
        ),
    ];
    for (a, b, sum, product) in cases {
        assert_eq!(
            number(a).plus(number(b)).to_bson().to_string(),
            sum,
            "{a} + {b}"
        );
        assert_eq!(
            number(a).times(number(b)).to_bson().to_string(),
            product,
            "{a} * {b}"
        );
    }
    assert_eq!(
        Decimal::from_f64_15_digits(0.1).to_bson().to_string(),
        "0.100000000000000"
    );
    assert_eq!(number("12E+2").to_i64_exact(), Some(1200));
    assert_eq!(number("12.5").to_i64_exact(), None);
}

#[test]
fn integer_arithmetic_widens_and_refuses_overflow() {
    let add = |a: Bson, b: Bson| {
        Number::from_bson(&a)
            .zip(Number::from_bson(&b))
            .and_then(|(a, b)| a.checked_add(b))
            .map(Number::to_bson)
    };
    assert!(matches!(
        add(bson!(i32::MAX), bson!(1)),
        Some(Bson::Int64(2_147_483_648))
    ));
    assert!(matches!(add(bson!(1_i64), bson!(1)), Some(Bson::Int64(2))));
    assert!(matches!(add(bson!(1), bson!(1.5)), Some(Bson::Double(_))));
    assert!(add(bson!(i64::MAX), bson!(1)).is_none());
}

#[test]
fn type_sets_take_names_and_numbers() {
    let set = TypeSet::parse(&bson!(["number", 2, "minKey"]), "$type").expect("types");
    assert!(set.contains(&bson!(1.5)) && set.contains(&bson!("x")) && set.contains(&Bson::MinKey));
    assert!(!set.contains(&Bson::Null));
    assert_eq!(
        TypeSet::parse(&bson!("what"), "$type")
            .expect_err("unknown")
            .code,
        2
    );
    assert_eq!(
        TypeSet::parse(&bson!(99), "$type")
            .expect_err("unknown")
            .code,
        2
    );
    assert_eq!(
        TypeSet::parse(&bson!(true), "$type")
            .expect_err("not a type")
            .code,
        14
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let mut doc = doc! {};
        for level in 0..depth {
            doc = if level % 2 == 0 {
                doc! {"a": doc}
            } else {
                doc! {"a": [doc]}
            };
        }
        doc
    };
    assert!(check_depth(&nested(100)).is_ok());
    assert_eq!(check_depth(&nested(200)).expect_err("too deep").code, 15);
}

proptest! {
    #![proptest_config(arbitrary::config(2000))]

    #[test]
    fn keys_order_as_values_do(a in arbitrary::value(), b in arbitrary::value()) {
        prop_assert_eq!(key(&a).cmp(&key(&b)), compare(&a, &b));
        let mut keys = (Vec::new(), Vec::new());
        encode_key(&a, true, &mut keys.0);
        encode_key(&b, true, &mut keys.1);
        prop_assert_eq!(keys.0.cmp(&keys.1), compare(&b, &a));
    }

    #[test]
    fn number_keys_order_as_numbers_do(a in arbitrary::number(), b in arbitrary::number()) {
        prop_assert_eq!(key(&a).cmp(&key(&b)), compare(&a, &b));
    }

    #[test]
    fn order_is_transitive(mut v in prop::collection::vec(arbitrary::number(), 3)) {
        v.sort_by(compare);
        prop_assert!(compare(&v[0], &v[2]).is_le());
    }

    #[test]
    fn compound_keys_order_by_parts(
        a in arbitrary::scalar(), b in arbitrary::scalar(), c in arbitrary::scalar(), d in arbitrary::scalar()
    ) {
        let mut keys = (key(&a), key(&c));
        encode_key(&b, true, &mut keys.0);
        encode_key(&d, true, &mut keys.1);
        prop_assert_eq!(keys.0.cmp(&keys.1), compare(&a, &c).then_with(|| compare(&d, &b)));
    }

    #[test]
    fn decimals_survive_decoding(value in arbitrary::decimal()) {
        let text = Decimal::from_bson(&value).to_bson().to_string();
        prop_assert_eq!(text, value.to_string());
    }

    #[test]
    fn identical_values_are_equal(a in arbitrary::value()) {
        prop_assert!(identical(&a, &a.clone()));
        prop_assert_eq!(compare(&a, &a), Ordering::Equal);
    }
}
