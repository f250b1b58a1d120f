//! Why a document is not valid, in the form that drivers show as `errInfo.details`.

use bson::{Bson, Document, doc};

use super::{
    Check, Dependency, Rule, Schema,
    rules::{Subject, first_duplicate},
};
use crate::value::type_name;

pub(super) fn explain_root(schema: &Schema, doc: &Document) -> Document {
    let mut details = doc! {"operatorName": "$jsonSchema"};
    annotate(schema, &mut details);
    details.insert(
        "schemaRulesNotSatisfied",
        failures(schema, Subject::Document(doc)),
    );
    details
}

fn annotate(schema: &Schema, out: &mut Document) {
    if let Some(title) = &schema.title {
        out.insert("title", title);
    }
    if let Some(description) = &schema.description {
        out.insert("description", description);
    }
}

fn failures(schema: &Schema, subject: Subject<'_>) -> Vec<Bson> {
    let failed = schema.rules.iter().filter(|rule| !rule.holds(subject));
    failed
        .map(|rule| Bson::Document(explain_rule(rule, subject)))
        .collect()
}

fn value_failures(schema: &Schema, value: &Bson) -> Vec<Bson> {
    failures(schema, Subject::Value(value))
}

/// The rule does not hold.
fn explain_rule(rule: &Rule, subject: Subject<'_>) -> Document {
    let mut out = doc! {"operatorName": rule.keyword};
    let empty = Document::new();
    let document = subject.document().unwrap_or(&empty);
    let items = subject.array().unwrap_or_default();
    let plain = |reason: &str| {
        doc! {
            "operatorName": rule.keyword,
            "specifiedAs": rule.specified_as.clone(),
            "reason": reason,
            "consideredValue": subject.to_bson(),
        }
    };
    match &rule.check {
        Check::Type(_) => {
            out = plain("type did not match");
            out.insert("consideredType", type_name(&subject.to_bson()));
        }
        Check::Enum(_) => out = plain("value was not found in enum"),
        Check::Minimum { .. } | Check::Maximum { .. } => out = plain("comparison failed"),
        Check::MultipleOf(_) => {
            out = plain("considered value is not a multiple of the specified value");
        }
        Check::MinLength(_) | Check::MaxLength(_) => {
            out = plain("specified string length was not satisfied");
        }
        Check::Pattern(_) => out = plain("regular expression did not match"),
        Check::MinItems(_) | Check::MaxItems(_) => {
            out = plain("array did not match specified length");
        }
        Check::UniqueItems => {
            out = plain("found a duplicate item");
            if let Some(duplicate) = first_duplicate(items) {
                out.insert("duplicatedValue", duplicate.clone());
            }
        }
        Check::MinProperties(_) | Check::MaxProperties(_) => {
            out.insert("specifiedAs", rule.specified_as.clone());
            out.insert("reason", "specified number of properties was not satisfied");
            out.insert("numberOfProperties", document.len() as i64);
        }
        Check::Required(names) => {
            out.insert("specifiedAs", rule.specified_as.clone());
            let missing = names.iter().filter(|name| !document.contains_key(name));
            out.insert(
                "missingProperties",
                missing.cloned().collect::<Vec<String>>(),
            );
        }
        Check::Properties(properties) => {
            let mut failed = Vec::new();
            for (name, schema) in properties {
                if let Some(value) = document.get(name)
                    && !schema.accepts(value)
                {
                    let mut property = doc! {"propertyName": name};
                    annotate(schema, &mut property);
                    property.insert("details", value_failures(schema, value));
                    failed.push(Bson::Document(property));
                }
            }
            out.insert("propertiesNotSatisfied", failed);
        }
        Check::PatternProperties(patterns) => {
            let mut failed = Vec::new();
            for (pattern, source, schema) in patterns {
                for (name, value) in document {
                    if pattern.is_match(name).unwrap_or(true) && !schema.accepts(value) {
                        let mut property = doc! {"propertyName": name, "regexMatched": source};
                        annotate(schema, &mut property);
                        property.insert("details", value_failures(schema, value));
                        failed.push(Bson::Document(property));
                    }
                }
            }
            out.insert("details", failed);
        }
        Check::AdditionalProperties(others) => match &others.schema {
            None => {
                out.insert("specifiedAs", rule.specified_as.clone());
                let names = others.refused(document).map(|(name, _)| name.clone());
                out.insert("additionalProperties", names.collect::<Vec<String>>());
            }
            Some(schema) => {
                out.insert(
                    "reason",
                    "at least one additional property did not match the subschema",
                );
                if let Some((name, value)) = others.refused(document).next() {
                    out.insert("failingProperty", name);
                    out.insert("details", value_failures(schema, value));
                }
            }
        },
        Check::Dependencies(dependencies) => {
            let mut failed = Vec::new();
            for (name, dependency) in dependencies {
                if !document.contains_key(name) || dependency.holds(document) {
                    continue;
                }
                failed.push(Bson::Document(match dependency {
                    Dependency::Names(names) => {
                        let missing = names.iter().filter(|name| !document.contains_key(name));
                        doc! {
                            "conditionalProperty": name,
                            "missingProperties": missing.cloned().collect::<Vec<String>>(),
                        }
                    }
                    Dependency::Schema(schema) => doc! {
                        "conditionalProperty": name,
                        "details": failures(schema, Subject::Document(document)),
                    },
                }));
            }
            out.insert("failingDependencies", failed);
        }
        Check::Items(schema) => {
            explain_item(
                &mut out,
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| (i, item, schema.as_ref())),
            );
        }
        Check::ItemList(schemas) => {
            let pairs = items.iter().enumerate().zip(schemas);
            explain_item(&mut out, pairs.map(|((i, item), schema)| (i, item, schema)));
        }
        Check::AdditionalItems { after, schema } => match schema {
            None => {
                out.insert("specifiedAs", rule.specified_as.clone());
                out.insert(
                    "additionalItems",
                    items.get(*after..).unwrap_or_default().to_vec(),
                );
            }
            Some(schema) => {
                let rest = items.iter().enumerate().skip(*after);
                explain_item(&mut out, rest.map(|(i, item)| (i, item, schema.as_ref())));
            }
        },
        Check::AllOf(schemas) | Check::AnyOf(schemas) => {
            out.insert("schemasNotSatisfied", unsatisfied(schemas, subject));
        }
        Check::OneOf(schemas) => {
            let matching: Vec<Bson> = (0_i32..)
                .zip(schemas)
                .filter(|(_, schema)| failures(schema, subject).is_empty())
                .map(|(i, _)| Bson::Int32(i))
                .collect();
            if matching.is_empty() {
                out.insert("schemasNotSatisfied", unsatisfied(schemas, subject));
            } else {
                out.insert("reason", "more than one subschema matched");
                out.insert("matchingSchemaIndexes", matching);
            }
        }
        Check::Not(_) => {
            out.insert("reason", "child expression matched");
        }
    }
    out
}

fn explain_item<'a>(
    out: &mut Document,
    mut items: impl Iterator<Item = (usize, &'a Bson, &'a Schema)>,
) {
    out.insert("reason", "At least one item did not match the sub-schema");
    if let Some((index, item, schema)) = items.find(|(_, item, schema)| !schema.accepts(item)) {
        out.insert("itemIndex", index as i32);
        out.insert("details", value_failures(schema, item));
    }
}

fn unsatisfied(schemas: &[Schema], subject: Subject<'_>) -> Vec<Bson> {
    let mut out = Vec::new();
    for (i, schema) in (0_i32..).zip(schemas) {
        let details = failures(schema, subject);
        if !details.is_empty() {
            let mut entry = doc! {"index": i};
            annotate(schema, &mut entry);
            entry.insert("details", details);
            out.push(Bson::Document(entry));
        }
    }
    out
}
