//! Random BSON for property tests, biased towards values that collide.

use bson::{
    Binary, Bson, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, oid::ObjectId,
    spec::BinarySubtype,
};
use proptest::{collection::vec, prelude::*, test_runner::RngSeed};

/// So many cases, the same ones in every run.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(20_261_120),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn long() -> impl Strategy<Value = i64> {
    prop_oneof![
        -3..4_i64,
        any::<i64>(),
        (0..63_u32, -2..3_i64).prop_map(|(bits, off)| (1_i64 << bits).wrapping_add(off)),
        (0..63_u32, -2..3_i64).prop_map(|(bits, off)| (-1_i64 << bits).wrapping_add(off)),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        long().prop_map(|n| n as f64),
        (-20..20_i32).prop_map(|n| f64::from(n) / 10.0),
        Just(f64::NAN),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(f64::from_bits(1)),
        Just(-f64::from_bits(1)),
        Just(f64::MAX),
    ]
}

pub(crate) fn decimal() -> impl Strategy<Value = Decimal128> {
    prop_oneof![
        (any::<bool>(), 0..10_000_u128, -4..4_i32).prop_map(|(s, c, e)| text(s, c, e)),
        (any::<bool>(), 0..10_u128.pow(34), -6176..6112_i32).prop_map(|(s, c, e)| text(s, c, e)),
        (any::<bool>(), 0..10_u128.pow(34), -40..10_i32).prop_map(|(s, c, e)| text(s, c, e)),
        double().prop_map(|d| format!("{d:.16e}")
            .parse()
            .unwrap_or_else(|_| text(false, 1, -7))),
        long().prop_map(|n| n.to_string().parse().expect("an integer")),
        any::<[u8; 16]>().prop_map(Decimal128::from_bytes),
        Just("NaN".parse().expect("NaN")),
        Just("-Infinity".parse().expect("infinity")),
        Just("Infinity".parse().expect("infinity")),
    ]
}

fn text(negative: bool, coefficient: u128, exponent: i32) -> Decimal128 {
    super::Decimal::Finite {
        negative,
        coefficient,
        exponent,
    }
    .to_bson()
}

/// A number of any type.
pub(crate) fn number() -> impl Strategy<Value = Bson> {
    prop_oneof![
        any::<i32>().prop_map(Bson::Int32),
        (-3..4_i32).prop_map(Bson::Int32),
        long().prop_map(Bson::Int64),
        double().prop_map(Bson::Double),
        decimal().prop_map(Bson::Decimal128),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof!["[ab\0]{0,4}", ".{0,6}"]
}

/// Any value without children.
pub(crate) fn scalar() -> impl Strategy<Value = Bson> {
    prop_oneof![
        6 => number(),
        4 => string().prop_map(Bson::String),
        1 => string().prop_map(Bson::Symbol),
        1 => string().prop_map(Bson::JavaScriptCode),
        2 => any::<bool>().prop_map(Bson::Boolean),
        2 => Just(Bson::Null),
        1 => Just(Bson::Undefined),
        1 => Just(Bson::MinKey),
        1 => Just(Bson::MaxKey),
        1 => any::<[u8; 12]>().prop_map(|b| Bson::ObjectId(ObjectId::from_bytes(b))),
        1 => any::<i64>().prop_map(|ms| Bson::DateTime(bson::DateTime::from_millis(ms))),
        1 => any::<(u32, u32)>()
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        1 => (0..3_u8, vec(any::<u8>(), 0..3)).prop_map(|(subtype, bytes)| Bson::Binary(Binary {
            subtype: BinarySubtype::from(if subtype == 2 { 5 } else { subtype }),
            bytes,
        })),
        1 => ("[ab]{0,3}", "[im]{0,1}").prop_map(|(pattern, options)| {
            Bson::RegularExpression(Regex {
                pattern: pattern.try_into().expect("no NUL"),
                options: options.try_into().expect("no NUL"),
            })
        }),
        1 => string().prop_map(|code| Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope {
            code,
            scope: bson::doc! {"a": 1},
        })),
    ]
}

/// Any value, nested.
pub(crate) fn value() -> impl Strategy<Value = Bson> {
    scalar().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Bson::Array),
            fields(inner).prop_map(Bson::Document),
        ]
    })
}

fn fields(value: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
    vec(("[abc01]{1,2}", value), 0..4).prop_map(Document::from_iter)
}

/// A document of any values with few field names.
pub(crate) fn document() -> impl Strategy<Value = Document> {
    fields(value())
}
