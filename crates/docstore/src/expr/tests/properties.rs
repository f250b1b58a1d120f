use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    expr::{
        decimal,
        number::{Number, Sum},
        operators::{self, Shape},
        sort_key::SortPattern,
    },
    value::arbitrary::{document, number, value},
};

const LAZY: [&str; 16] = [
    "$and",
    "$or",
    "$cond",
    "$ifNull",
    "$switch",
    "$let",
    "$map",
    "$filter",
    "$reduce",
    "$sortArray",
    "$getField",
    "$convert",
    "$regexMatch",
    "$regexFind",
    "$regexFindAll",
    "$rand",
];

/// An argument that is a constant, a path, or a list of them.
fn argument() -> impl Strategy<Value = Bson> {
    prop_oneof![
        value().prop_map(|value| bson!({ "$literal": value })),
        value(),
        Just(bson!("$a")),
        Just(bson!("$b.c")),
        Just(bson!("text")),
        (-5..400_i32).prop_map(Bson::Int32),
        Just(bson!("day")),
        Just(bson!("Europe/Berlin")),
    ]
}

/// A call of any operator with arguments that have its shape.
fn call() -> impl Strategy<Value = Bson> {
    let table = 0..operators::TABLE.len();
    let eager =
        (table, vec(argument(), 0..5), any::<u16>()).prop_map(|(index, arguments, mask)| {
            let operator = &operators::TABLE[index];
            let argument = match &operator.shape {
                Shape::Named(named) => {
                    let given =
                        named.fields.iter().enumerate().filter(|(field, _)| {
                            *field < named.required || mask & (1 << field) != 0
                        });
                    let fields = given.map(|(field, name)| {
                        let value = arguments.get(field % arguments.len().max(1)).cloned();
                        (
                            (*name).to_owned(),
                            value.unwrap_or(Bson::Int32(field as i32)),
                        )
                    });
                    Bson::Document(fields.collect())
                }
                Shape::Count(least, most) => {
                    let wanted = arguments.len().clamp(*least, *most);
                    let padded = arguments.into_iter().chain(std::iter::repeat(bson!("$a")));
                    Bson::Array(padded.take(wanted).collect())
                }
                Shape::DatePart => arguments.into_iter().next().unwrap_or(bson!("$a")),
                Shape::Any => Bson::Array(arguments),
            };
            bson!({ operator.name: argument })
        });
    let lazy = (
        0..LAZY.len(),
        prop_oneof![
        vec(argument(), 0..4).prop_map(Bson::Array),
        (argument(), argument(), argument()).prop_map(|(input, inner, other)| bson!({
            "input": input.clone(), "in": inner.clone(), "cond": inner.clone(), "to": other.clone(),
            "initialValue": other.clone(), "regex": inner, "field": other,
        })),
        (argument(), argument()).prop_map(|(input, to)| bson!({ "input": input, "to": to })),
        (argument(), argument()).prop_map(|(input, to)| bson!({ "input": input, "in": to })),
        (argument(), argument()).prop_map(|(input, to)| bson!({ "input": input, "regex": to })),
        argument(),
    ],
    )
        .prop_map(|(index, argument)| bson!({ LAZY[index]: argument }));
    prop_oneof![4 => eager, 1 => lazy]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_call_panics(call in call(), a in value(), c in value()) {
        let root = doc! { "a": a, "b": [{ "c": c }, 1] };
        if let Err(error) = eval(&root, &call) {
            prop_assert_ne!(error.code, 1, "{}: {}", call, error);
        }
    }

    #[test]
    fn no_document_panics_the_parser(expression in document()) {
        // An answer or an error: both are fine.
        let _ = eval(&doc! { "a": 1 }, &Bson::Document(expression));
    }

    #[test]
    fn decimals_survive_a_round_trip(text in "-?[0-9]{1,34}E-?[0-9]{1,3}") {
        let there = decimal::parse(&text).expect("a number");
        let back = decimal::from_bson(&decimal::to_bson(there));
        prop_assert_eq!(there.to_string(), back.to_string());
    }

    #[test]
    fn whole_sums_are_exact(numbers in vec(any::<i64>(), 0..20)) {
        let mut sum = Sum::default();
        let mut exact: i128 = 0;
        for number in &numbers {
            sum.add(Number::Long(*number));
            exact += i128::from(*number);
        }
        match sum.total() {
            Number::Long(n) => prop_assert_eq!(i128::from(n), exact),
            Number::Int(n) => prop_assert_eq!((i128::from(n), numbers.len()), (exact, 0)),
            Number::Double(n) => prop_assert!(i64::try_from(exact).is_err() && n == exact as f64),
            Number::Decimal(_) => prop_assert!(false, "no decimal was added"),
        }
    }

    #[test]
    fn addition_commutes(a in number(), b in number()) {
        let one = eval(&doc! { "a": a.clone(), "b": b.clone() }, &bson!({ "$add": ["$a", "$b"] }));
        let two = eval(&doc! { "a": b, "b": a }, &bson!({ "$add": ["$a", "$b"] }));
        let (one, two) = (one.expect("a number"), two.expect("a number"));
        let text = |value: &Option<Bson>| format!("{:?}", value.as_ref().map(Bson::to_string));
        prop_assert_eq!(text(&one), text(&two));
    }

    #[test]
    fn sort_keys_exist_for_every_document(root in document()) {
        let pattern = SortPattern::parse(&doc! { "a.b": 1, "c": -1 }).expect("a sort");
        match pattern.key(&root) {
            Ok(key) => prop_assert_eq!(key.len(), 2),
            Err(error) => prop_assert_eq!(error.code, 2),
        }
    }
}
