use bson::{Bson, Document, bson, doc};
use proptest::prelude::*;

use super::Schema;
use crate::{query::Filter, value::arbitrary};

/// Each document that should be valid, then each that should not.
fn check(schema: Document, yes: &[Document], no: &[Document]) {
    let parsed = Schema::parse(&schema).expect("a valid schema");
    let filter = Filter::parse(&doc! {"$jsonSchema": schema.clone()}, &Document::new());
    let filter = filter.expect("a valid filter");
    for (docs, expected) in [(yes, true), (no, false)] {
        for doc in docs {
            assert_eq!(parsed.is_valid(doc), expected, "{schema} {doc}");
            assert_eq!(filter.matches(doc).expect("evaluation"), expected);
            let rules = parsed
                .explain(doc)
                .get_array("schemaRulesNotSatisfied")
                .map(Vec::len);
            assert_eq!(rules.expect("rules") == 0, expected, "{schema} {doc}");
        }
    }
}

fn property(rules: Document, yes: &[Bson], no: &[Bson]) {
    let in_doc = |values: &[Bson]| -> Vec<Document> {
        values
            .iter()
            .map(|value| doc! {"a": value.clone()})
            .collect()
    };
    let mut valid = in_doc(yes);
    valid.push(doc! {});
    check(doc! {"properties": {"a": rules}}, &valid, &in_doc(no));
}

fn code(schema: Document) -> i32 {
    Schema::parse(&schema).expect_err("an invalid schema").code
}

#[test]
fn types() {
    property(
        doc! {"bsonType": "int"},
        &[bson!(1)],
        &[bson!(1.0), bson!(1_i64), bson!("1")],
    );
    property(
        doc! {"bsonType": ["int", "null"]},
        &[bson!(1), Bson::Null],
        &[bson!("1")],
    );
    property(
        doc! {"type": "number"},
        &[bson!(1), bson!(1.5)],
        &[bson!("1")],
    );
    property(
        doc! {"type": ["boolean", "object"]},
        &[bson!(true), bson!({})],
        &[bson!([])],
    );
    check(doc! {"bsonType": "object"}, &[doc! {}], &[]);
    check(doc! {"bsonType": "string"}, &[], &[doc! {}]);
}

#[test]
fn values() {
    property(
        doc! {"enum": [1, {"x": 1, "y": 2}]},
        &[bson!(1.0), bson!({"y": 2, "x": 1})],
        &[bson!(2)],
    );
    property(
        doc! {"minimum": 3},
        &[bson!(3), bson!(4.5), bson!("x")],
        &[bson!(2), bson!(f64::NAN)],
    );
    property(
        doc! {"minimum": 3, "exclusiveMinimum": true},
        &[bson!(4)],
        &[bson!(3)],
    );
    property(doc! {"maximum": 3}, &[bson!(3)], &[bson!(3.5)]);
    property(
        doc! {"maximum": 3, "exclusiveMaximum": true},
        &[bson!(2)],
        &[bson!(3.0)],
    );
    property(
        doc! {"multipleOf": 3},
        &[bson!(9), bson!(0), bson!(-6.0), bson!("x")],
        &[bson!(10), bson!(3.5)],
    );
    property(
        doc! {"multipleOf": 0.1},
        &[bson!(0.3), bson!(7)],
        &[bson!(0.35)],
    );
    property(
        doc! {"minLength": 2, "maxLength": 3},
        &[bson!("éé"), bson!(1)],
        &[bson!("é"), bson!("abcd")],
    );
    property(
        doc! {"pattern": "^x"},
        &[bson!("xy"), bson!(1)],
        &[bson!("y")],
    );
}

#[test]
fn objects() {
    check(
        doc! {"required": ["a", "b"]},
        &[doc! {"a": null, "b": 1}],
        &[doc! {"a": 1}],
    );
    check(
        doc! {"minProperties": 1, "maxProperties": 2},
        &[doc! {"a": 1}],
        &[doc! {}, doc! {"a": 1, "b": 1, "c": 1}],
    );
    check(
        doc! {"properties": {"a": {}}, "patternProperties": {"^x": {"bsonType": "int"}}, "additionalProperties": false},
        &[doc! {"a": 1, "xy": 1}],
        &[doc! {"b": 1}, doc! {"xy": "s"}],
    );
    check(
        doc! {"additionalProperties": {"bsonType": "int"}},
        &[doc! {"a": 1}],
        &[doc! {"a": "s"}],
    );
    check(
        doc! {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        &[doc! {}, doc! {"a": 1, "b": 1}, doc! {"c": 1, "d": 1}],
        &[doc! {"a": 1}, doc! {"c": 1}],
    );
    check(
        doc! {"properties": {"o": {"properties": {"p": {"bsonType": "int"}}, "required": ["p"]}}},
        &[doc! {"o": {"p": 1}}, doc! {"o": 5}],
        &[doc! {"o": {}}, doc! {"o": {"p": "s"}}],
    );
}

#[test]
fn arrays() {
    property(
        doc! {"items": {"bsonType": "int"}},
        &[bson!([]), bson!([1, 2]), bson!(5)],
        &[bson!([1, "s"])],
    );
    property(
        doc! {"items": [{"bsonType": "int"}, {"bsonType": "string"}], "additionalItems": false},
        &[bson!([1]), bson!([1, "s"])],
        &[bson!(["s"]), bson!([1, "s", 1])],
    );
    property(
        doc! {"items": [{}], "additionalItems": {"bsonType": "int"}},
        &[bson!(["s", 1])],
        &[bson!([1, "s"])],
    );
    property(
        doc! {"minItems": 1, "maxItems": 2},
        &[bson!([1]), bson!("x")],
        &[bson!([]), bson!([1, 2, 3])],
    );
    property(
        doc! {"uniqueItems": true},
        &[bson!([1, 2, {"a": 1}])],
        &[bson!([1, 1.0]), bson!([{"a": 1, "b": 2}, {"b": 2, "a": 1}])],
    );
}

#[test]
fn combinations() {
    let int = || doc! {"bsonType": "int"};
    let big = || doc! {"minimum": 10};
    property(
        doc! {"allOf": [int(), big()]},
        &[bson!(11)],
        &[bson!(1), bson!(11.5)],
    );
    property(
        doc! {"anyOf": [int(), doc! {"bsonType": "string"}]},
        &[bson!(1), bson!("s")],
        &[Bson::Null],
    );
    property(
        doc! {"oneOf": [int(), big()]},
        &[bson!(1), bson!(11.5)],
        &[bson!(11), bson!(1.5)],
    );
    property(doc! {"not": int()}, &[bson!("s")], &[bson!(1)]);
}

#[test]
fn invalid_schemas_are_refused() {
    for (schema, expected) in [
        (doc! {"nope": 1}, 9),
        (doc! {"format": "date"}, 9),
        (doc! {"$ref": "x"}, 9),
        (doc! {"bsonType": "int", "type": "number"}, 9),
        (doc! {"bsonType": "nope"}, 2),
        (doc! {"bsonType": 1}, 14),
        (doc! {"type": "integer"}, 9),
        (doc! {"properties": 1}, 14),
        (doc! {"properties": {"a": 1}}, 14),
        (doc! {"required": []}, 9),
        (doc! {"required": ["a", "a"]}, 9),
        (doc! {"minimum": "x"}, 14),
        (doc! {"exclusiveMinimum": true}, 9),
        (doc! {"minimum": 1, "exclusiveMinimum": 1}, 14),
        (doc! {"multipleOf": 0}, 9),
        (doc! {"minLength": -1}, 9),
        (doc! {"enum": []}, 9),
        (doc! {"enum": [1, 1.0]}, 9),
        (doc! {"pattern": "("}, 51091),
        (doc! {"anyOf": []}, 2),
        (doc! {"items": 1}, 14),
        (doc! {"uniqueItems": 1}, 14),
        (doc! {"additionalProperties": 1}, 14),
        (doc! {"dependencies": {"a": 1}}, 14),
        (doc! {"not": 1}, 14),
        (doc! {"title": 1}, 14),
    ] {
        assert_eq!(code(schema.clone()), expected, "{schema}");
    }
    let mut deep = doc! {};
    for _ in 0..300 {
        deep = doc! {"not": deep};
    }
    assert_eq!(code(deep), 9);
}

#[test]
fn explanations_have_the_form_drivers_show() {
    let schema = Schema::parse(&doc! {
        "title": "Student",
        "required": ["name", "gpa"],
        "properties": {
            "gpa": {"bsonType": "double", "description": "must be a double"},
            "year": {"minimum": 2017, "exclusiveMinimum": true},
            "tags": {"items": {"bsonType": "string"}},
        },
        "additionalProperties": false,
    })
    .expect("a valid schema");
    let explained = schema.explain(&doc! {"gpa": 3, "year": 2017, "tags": ["x", 1], "more": 1});
    let expected = doc! {
        "operatorName": "$jsonSchema",
        "title": "Student",
        "schemaRulesNotSatisfied": [
            {
                "operatorName": "required",
                "specifiedAs": {"required": ["name", "gpa"]},
                "missingProperties": ["name"],
            },
            {
                "operatorName": "properties",
                "propertiesNotSatisfied": [
                    {
                        "propertyName": "gpa",
                        "description": "must be a double",
                        "details": [{
                            "operatorName": "bsonType",
                            "specifiedAs": {"bsonType": "double"},
                            "reason": "type did not match",
                            "consideredValue": 3,
                            "consideredType": "int",
                        }],
                    },
                    {
                        "propertyName": "year",
                        "details": [{
                            "operatorName": "minimum",
                            "specifiedAs": {"minimum": 2017, "exclusiveMinimum": true},
                            "reason": "comparison failed",
                            "consideredValue": 2017,
                        }],
                    },
                    {
                        "propertyName": "tags",
                        "details": [{
                            "operatorName": "items",
                            "reason": "At least one item did not match the sub-schema",
                            "itemIndex": 1,
                            "details": [{
                                "operatorName": "bsonType",
                                "specifiedAs": {"bsonType": "string"},
                                "reason": "type did not match",
                                "consideredValue": 1,
                                "consideredType": "int",
                            }],
                        }],
                    },
                ],
            },
            {
                "operatorName": "additionalProperties",
                "specifiedAs": {"additionalProperties": false},
                "additionalProperties": ["more"],
            },
        ],
    };
    assert_eq!(explained.to_string(), expected.to_string());
}

#[test]
fn one_of_tells_which_matched() {
    let schema = Schema::parse(&doc! {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    let explained = schema
        .expect("a valid schema")
        .explain(&doc! {"a": 1, "b": 1});
    let expected = doc! {
        "operatorName": "$jsonSchema",
        "schemaRulesNotSatisfied": [{
            "operatorName": "oneOf",
            "reason": "more than one subschema matched",
            "matchingSchemaIndexes": [0, 1],
        }],
    };
    assert_eq!(explained, expected);
}

proptest! {
    #![proptest_config(arbitrary::config(1000))]

    #[test]
    fn any_bson_is_parsed_or_refused(
        keyword in "(bsonType|enum|minimum|multipleOf|pattern|properties|items|required|anyOf|dependencies|uniqueItems|additionalProperties)",
        argument in arbitrary::value(),
        doc in arbitrary::document(),
    ) {
        if let Ok(schema) = Schema::parse(&doc! {keyword: argument}) {
            let rules = schema.explain(&doc).get_array("schemaRulesNotSatisfied").map(Vec::len);
            prop_assert_eq!(schema.is_valid(&doc), rules.is_ok_and(|count| count == 0));
        }
    }

    #[test]
    fn multiples_are_what_a_product_gives(factor in -10_000..10_000_i64, divisor in 1..1000_i64, rest in 0..1000_i64) {
        let schema = Schema::parse(&doc! {"properties": {"a": {"multipleOf": divisor}}}).expect("valid");
        let value = factor * divisor + rest;
        prop_assert_eq!(schema.is_valid(&doc! {"a": value}), rest % divisor == 0);
        prop_assert_eq!(schema.is_valid(&doc! {"a": value as f64}), rest % divisor == 0);
    }
}
