//! Parsing of `$jsonSchema`, keyword by keyword.

use bson::{Bson, Document};

use super::{Check, Dependency, Others, Rule, Schema};
use crate::{
    bail,
    error::Result,
    query::Pattern,
    value::{Number, TypeSet, compare, exact_i64},
};

/// How deep schemas may nest.
const MAX_DEPTH: usize = 100;

/// Keywords of draft 4 that MongoDB names as not supported.
const UNSUPPORTED: [&str; 6] = ["$ref", "$schema", "default", "definitions", "format", "id"];

pub(super) fn parse_schema(schema: &Document, depth: usize) -> Result<Schema> {
    if depth > MAX_DEPTH {
        bail!(
            FailedToParse,
            "$jsonSchema exceeds the maximum nesting depth of {MAX_DEPTH}"
        );
    }
    let mut parsed = Schema {
        title: None,
        description: None,
        rules: Vec::new(),
    };
    if schema.contains_key("type") && schema.contains_key("bsonType") {
        bail!(
            FailedToParse,
            "Cannot specify both $jsonSchema keywords 'bsonType' and 'type'"
        );
    }
    for (keyword, value) in schema {
        match keyword.as_str() {
            "title" => parsed.title = Some(string(keyword, value)?),
            "description" => parsed.description = Some(string(keyword, value)?),
            "exclusiveMinimum" | "exclusiveMaximum" => check_exclusive(keyword, value, schema)?,
            _ => parsed
                .rules
                .extend(parse_rule(keyword, value, schema, depth + 1)?),
        }
    }
    Ok(parsed)
}

fn parse_rule(
    keyword: &str,
    value: &Bson,
    schema: &Document,
    depth: usize,
) -> Result<Option<Rule>> {
    let mut modifier = None;
    let (keyword, check) = match keyword {
        "bsonType" => ("bsonType", Check::Type(bson_types(value)?)),
        "type" => ("type", Check::Type(json_types(value)?)),
        "enum" => ("enum", Check::Enum(enumeration(value)?)),
        "minimum" => {
            modifier = Some("exclusiveMinimum");
            let exclusive = schema.get_bool("exclusiveMinimum").unwrap_or(false);
            (
                "minimum",
                Check::Minimum {
                    bound: number(keyword, value)?,
                    exclusive,
                },
            )
        }
        "maximum" => {
            modifier = Some("exclusiveMaximum");
            let exclusive = schema.get_bool("exclusiveMaximum").unwrap_or(false);
            (
                "maximum",
                Check::Maximum {
                    bound: number(keyword, value)?,
                    exclusive,
                },
            )
        }
        "multipleOf" => ("multipleOf", Check::MultipleOf(divisor(value)?)),
        "minLength" => ("minLength", Check::MinLength(count(keyword, value)?)),
        "maxLength" => ("maxLength", Check::MaxLength(count(keyword, value)?)),
        "pattern" => (
            "pattern",
            Check::Pattern(Pattern::new(&string(keyword, value)?, "")?),
        ),
        "properties" => (
            "properties",
            Check::Properties(schemas_by_name(keyword, value, depth)?),
        ),
        "patternProperties" => {
            let mut parsed = Vec::new();
            for (source, schema) in schemas_by_name(keyword, value, depth)? {
                parsed.push((Pattern::new(&source, "")?, source, schema));
            }
            ("patternProperties", Check::PatternProperties(parsed))
        }
        "additionalProperties" => {
            let Some(others) = other_properties(value, schema, depth)? else {
                return Ok(None);
            };
            (
                "additionalProperties",
                Check::AdditionalProperties(Box::new(others)),
            )
        }
        "required" => ("required", Check::Required(names(keyword, value)?)),
        "minProperties" => (
            "minProperties",
            Check::MinProperties(count(keyword, value)?),
        ),
        "maxProperties" => (
            "maxProperties",
            Check::MaxProperties(count(keyword, value)?),
        ),
        "dependencies" => (
            "dependencies",
            Check::Dependencies(dependencies(value, depth)?),
        ),
        "items" => match value {
            Bson::Document(one) => ("items", Check::Items(Box::new(parse_schema(one, depth)?))),
            Bson::Array(_) => (
                "items",
                Check::ItemList(schema_list(keyword, value, depth)?),
            ),
            _ => bail!(
                TypeMismatch,
                "$jsonSchema keyword 'items' must be an array or an object"
            ),
        },
        "additionalItems" => {
            let schema_of_rest = bool_or_schema(keyword, value, depth)?;
            match (schema.get("items"), schema_of_rest) {
                (Some(Bson::Array(list)), BoolOrSchema::Forbidden) => (
                    "additionalItems",
                    Check::AdditionalItems {
                        after: list.len(),
                        schema: None,
                    },
                ),
                (Some(Bson::Array(list)), BoolOrSchema::Schema(rest)) => (
                    "additionalItems",
                    Check::AdditionalItems {
                        after: list.len(),
                        schema: Some(rest),
                    },
                ),
                // Without an item list there are no items beyond it.
                _ => return Ok(None),
            }
        }
        "minItems" => ("minItems", Check::MinItems(count(keyword, value)?)),
        "maxItems" => ("maxItems", Check::MaxItems(count(keyword, value)?)),
        "uniqueItems" => match value {
            Bson::Boolean(true) => ("uniqueItems", Check::UniqueItems),
            Bson::Boolean(false) => return Ok(None),
            _ => bail!(
                TypeMismatch,
                "$jsonSchema keyword 'uniqueItems' must be a boolean"
            ),
        },
        "allOf" => (
            "allOf",
            Check::AllOf(nonempty_schema_list(keyword, value, depth)?),
        ),
        "anyOf" => (
            "anyOf",
            Check::AnyOf(nonempty_schema_list(keyword, value, depth)?),
        ),
        "oneOf" => (
            "oneOf",
            Check::OneOf(nonempty_schema_list(keyword, value, depth)?),
        ),
        "not" => match value {
            Bson::Document(inner) => ("not", Check::Not(Box::new(parse_schema(inner, depth)?))),
            _ => bail!(TypeMismatch, "$jsonSchema keyword 'not' must be an object"),
        },
        known if UNSUPPORTED.contains(&known) => {
            bail!(
                FailedToParse,
                "$jsonSchema keyword '{known}' is not currently supported"
            )
        }
        "encrypt" | "encryptMetadata" => {
            bail!(
                FailedToParse,
                "$jsonSchema keyword '{keyword}' is not currently supported"
            )
        }
        unknown => bail!(FailedToParse, "Unknown $jsonSchema keyword: {unknown}"),
    };
    let mut specified_as = Document::new();
    specified_as.insert(keyword, value.clone());
    if let Some(modifier) = modifier
        && let Some(flag) = schema.get(modifier)
    {
        specified_as.insert(modifier, flag.clone());
    }
    Ok(Some(Rule {
        keyword,
        specified_as,
        check,
    }))
}

fn check_exclusive(keyword: &str, value: &Bson, schema: &Document) -> Result<()> {
    let base = if keyword == "exclusiveMinimum" {
        "minimum"
    } else {
        "maximum"
    };
    if !matches!(value, Bson::Boolean(_)) {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be a boolean"
        );
    }
    if !schema.contains_key(base) {
        bail!(
            FailedToParse,
            "$jsonSchema keyword '{base}' must be a present if {keyword} is present"
        );
    }
    Ok(())
}

fn string(keyword: &str, value: &Bson) -> Result<String> {
    match value {
        Bson::String(text) => Ok(text.clone()),
        _ => bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be a string"
        ),
    }
}

fn number(keyword: &str, value: &Bson) -> Result<Bson> {
    match Number::from_bson(value) {
        Some(_) => Ok(value.clone()),
        None => bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be a number"
        ),
    }
}

fn divisor(value: &Bson) -> Result<Bson> {
    let value = number("multipleOf", value)?;
    let finite = Number::from_bson(&value).is_some_and(|n| n.to_f64().is_finite());
    if !finite || compare(&value, &Bson::Int32(0)).is_le() {
        bail!(
            FailedToParse,
            "$jsonSchema keyword 'multipleOf' must have a positive value"
        );
    }
    Ok(value)
}

fn count(keyword: &str, value: &Bson) -> Result<usize> {
    if Number::from_bson(value).is_none() {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be a number"
        );
    }
    match exact_i64(value).map(usize::try_from) {
        Some(Ok(count)) => Ok(count),
        _ => bail!(
            FailedToParse,
            "$jsonSchema keyword '{keyword}' must be a non-negative integer, got {value}"
        ),
    }
}

fn bson_types(value: &Bson) -> Result<TypeSet> {
    let is_alias = |value: &Bson| matches!(value, Bson::String(_));
    let aliases_only = match value {
        Bson::Array(items) => items.iter().all(is_alias),
        single => is_alias(single),
    };
    if !aliases_only {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword 'bsonType' must be either a string or an array of strings"
        );
    }
    TypeSet::parse(value, "$jsonSchema keyword 'bsonType'")
}

fn json_types(value: &Bson) -> Result<TypeSet> {
    let names = match value {
        Bson::String(name) => vec![name.clone()],
        Bson::Array(_) => names("type", value)?,
        _ => bail!(
            TypeMismatch,
            "$jsonSchema keyword 'type' must be either a string or an array of strings"
        ),
    };
    let mut set = TypeSet::default();
    for name in names {
        let alias = match name.as_str() {
            "boolean" => "bool",
            known @ ("object" | "array" | "string" | "number" | "null") => known,
            "integer" => bail!(
                FailedToParse,
                "$jsonSchema type 'integer' is not currently supported."
            ),
            unknown => bail!(BadValue, "Unknown type name alias: {unknown}"),
        };
        set.add_alias(alias);
    }
    Ok(set)
}

fn enumeration(value: &Bson) -> Result<Vec<Bson>> {
    let Bson::Array(items) = value else {
        bail!(TypeMismatch, "$jsonSchema keyword 'enum' must be an array")
    };
    if items.is_empty() {
        bail!(
            FailedToParse,
            "$jsonSchema keyword 'enum' cannot be an empty array"
        );
    }
    let mut known: Vec<Bson> = Vec::with_capacity(items.len());
    for item in items {
        let item = super::rules::with_sorted_fields(item);
        if known.iter().any(|other| compare(other, &item).is_eq()) {
            bail!(
                FailedToParse,
                "$jsonSchema keyword 'enum' array cannot contain duplicate values."
            );
        }
        known.push(item);
    }
    Ok(known)
}

fn names(keyword: &str, value: &Bson) -> Result<Vec<String>> {
    let Bson::Array(items) = value else {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be an array"
        )
    };
    if items.is_empty() {
        bail!(
            FailedToParse,
            "$jsonSchema keyword '{keyword}' cannot be an empty array"
        );
    }
    let mut names: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        let Bson::String(name) = item else {
            bail!(
                TypeMismatch,
                "$jsonSchema keyword '{keyword}' must be an array of strings"
            )
        };
        if names.contains(name) {
            bail!(
                FailedToParse,
                "$jsonSchema keyword '{keyword}' array cannot contain duplicate values"
            );
        }
        names.push(name.clone());
    }
    Ok(names)
}

fn schemas_by_name(keyword: &str, value: &Bson, depth: usize) -> Result<Vec<(String, Schema)>> {
    let Bson::Document(schemas) = value else {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be an object"
        )
    };
    let mut parsed = Vec::with_capacity(schemas.len());
    for (name, schema) in schemas {
        let Bson::Document(schema) = schema else {
            bail!(
                TypeMismatch,
                "Nested schema for $jsonSchema property '{name}' must be an object"
            )
        };
        parsed.push((name.clone(), parse_schema(schema, depth)?));
    }
    Ok(parsed)
}

fn schema_list(keyword: &str, value: &Bson, depth: usize) -> Result<Vec<Schema>> {
    let Bson::Array(items) = value else {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be an array"
        )
    };
    let mut schemas = Vec::with_capacity(items.len());
    for item in items {
        let Bson::Document(schema) = item else {
            bail!(
                TypeMismatch,
                "$jsonSchema keyword '{keyword}' must be an array of objects, but found {item}"
            )
        };
        schemas.push(parse_schema(schema, depth)?);
    }
    Ok(schemas)
}

fn nonempty_schema_list(keyword: &str, value: &Bson, depth: usize) -> Result<Vec<Schema>> {
    let schemas = schema_list(keyword, value, depth)?;
    if schemas.is_empty() {
        bail!(
            BadValue,
            "$jsonSchema keyword '{keyword}' must be a non-empty array"
        );
    }
    Ok(schemas)
}

enum BoolOrSchema {
    Allowed,
    Forbidden,
    Schema(Box<Schema>),
}

fn bool_or_schema(keyword: &str, value: &Bson, depth: usize) -> Result<BoolOrSchema> {
    Ok(match value {
        Bson::Boolean(true) => BoolOrSchema::Allowed,
        Bson::Boolean(false) => BoolOrSchema::Forbidden,
        Bson::Document(schema) => BoolOrSchema::Schema(Box::new(parse_schema(schema, depth)?)),
        _ => bail!(
            TypeMismatch,
            "$jsonSchema keyword '{keyword}' must be either an object or a boolean"
        ),
    })
}

fn other_properties(value: &Bson, schema: &Document, depth: usize) -> Result<Option<Others>> {
    let schema_of_others = match bool_or_schema("additionalProperties", value, depth)? {
        BoolOrSchema::Allowed => return Ok(None),
        BoolOrSchema::Forbidden => None,
        BoolOrSchema::Schema(schema) => Some(*schema),
    };
    let keys = |keyword: &str| {
        let named = schema.get_document(keyword).into_iter();
        named
            .flat_map(|named| named.keys().cloned())
            .collect::<Vec<String>>()
    };
    let patterns = keys("patternProperties")
        .iter()
        .map(|source| Pattern::new(source, ""))
        .collect::<Result<_>>()?;
    Ok(Some(Others {
        names: keys("properties"),
        patterns,
        schema: schema_of_others,
    }))
}

fn dependencies(value: &Bson, depth: usize) -> Result<Vec<(String, Dependency)>> {
    let Bson::Document(fields) = value else {
        bail!(
            TypeMismatch,
            "$jsonSchema keyword 'dependencies' must be an object"
        )
    };
    let mut parsed = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let dependency = match value {
            Bson::Document(schema) => Dependency::Schema(parse_schema(schema, depth)?),
            Bson::Array(_) => Dependency::Names(names("dependencies", value)?),
            _ => bail!(
                TypeMismatch,
                "$jsonSchema keyword 'dependencies' must be an object or an array for '{name}'"
            ),
        };
        parsed.push((name.clone(), dependency));
    }
    Ok(parsed)
}
