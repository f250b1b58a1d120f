//! Whether a value meets a rule.

use bson::{Bson, Document};

use super::{Check, Dependency, Others, Rule, Schema};
use crate::value::{Decimal, Number, compare, exact_i64};

/// What is checked: the document itself is not wrapped in a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    Document(&'a Document),
    Value(&'a Bson),
}

impl<'a> Subject<'a> {
    pub(super) fn document(self) -> Option<&'a Document> {
        match self {
            Self::Document(doc) | Self::Value(Bson::Document(doc)) => Some(doc),
            Self::Value(_) => None,
        }
    }

    pub(super) fn array(self) -> Option<&'a [Bson]> {
        match self {
            Self::Value(Bson::Array(items)) => Some(items),
            _ => None,
        }
    }

    fn text(self) -> Option<&'a str> {
        match self {
            Self::Value(Bson::String(text)) => Some(text),
            _ => None,
        }
    }

    fn number(self) -> Option<&'a Bson> {
        match self {
            Self::Value(value) => Number::from_bson(value).map(|_| value),
            Self::Document(_) => None,
        }
    }

    pub(super) fn to_bson(self) -> Bson {
        match self {
            Self::Document(doc) => Bson::Document(doc.clone()),
            Self::Value(value) => value.clone(),
        }
    }

    fn satisfies(self, schema: &Schema) -> bool {
        schema.rules.iter().all(|rule| rule.holds(self))
    }
}

impl Rule {
    pub(super) fn holds(&self, subject: Subject<'_>) -> bool {
        let document = |test: &dyn Fn(&Document) -> bool| subject.document().is_none_or(test);
        let array = |test: &dyn Fn(&[Bson]) -> bool| subject.array().is_none_or(test);
        let length = || subject.text().map(|text| text.chars().count());
        match &self.check {
            Check::Type(types) => match subject {
                Subject::Document(_) => types.contains(&Bson::Document(Document::new())),
                Subject::Value(value) => types.contains(value),
            },
            Check::Enum(values) => {
                let value = with_sorted_fields(&subject.to_bson());
                values.iter().any(|known| compare(known, &value).is_eq())
            }
            Check::Minimum { bound, exclusive } => subject.number().is_none_or(|value| {
                let order = compare(value, bound);
                order.is_gt() || (order.is_eq() && !exclusive)
            }),
            Check::Maximum { bound, exclusive } => subject.number().is_none_or(|value| {
                let order = compare(value, bound);
                !is_nan(value) && (order.is_lt() || (order.is_eq() && !exclusive))
            }),
            Check::MultipleOf(divisor) => subject
                .number()
                .is_none_or(|value| is_multiple(value, divisor)),
            Check::MinLength(least) => length().is_none_or(|length| length >= *least),
            Check::MaxLength(most) => length().is_none_or(|length| length <= *most),
            // A pattern that gives up has not been seen to match.
            Check::Pattern(pattern) => subject
                .text()
                .is_none_or(|text| pattern.is_match(text).unwrap_or(false)),
            Check::Properties(properties) => document(&|doc| {
                properties
                    .iter()
                    .all(|(name, schema)| doc.get(name).is_none_or(|v| schema.accepts(v)))
            }),
            Check::PatternProperties(patterns) => document(&|doc| {
                patterns.iter().all(|(pattern, _, schema)| {
                    doc.iter().all(|(name, value)| {
                        !pattern.is_match(name).unwrap_or(true) || schema.accepts(value)
                    })
                })
            }),
            Check::AdditionalProperties(others) => {
                document(&|doc| others.refused(doc).next().is_none())
            }
            Check::Required(names) => {
                document(&|doc| names.iter().all(|name| doc.contains_key(name)))
            }
            Check::MinProperties(least) => document(&|doc| doc.len() >= *least),
            Check::MaxProperties(most) => document(&|doc| doc.len() <= *most),
            Check::Dependencies(dependencies) => document(&|doc| {
                dependencies
                    .iter()
                    .all(|(name, dependency)| !doc.contains_key(name) || dependency.holds(doc))
            }),
            Check::Items(schema) => array(&|items| items.iter().all(|item| schema.accepts(item))),
            Check::ItemList(schemas) => array(&|items| {
                items
                    .iter()
                    .zip(schemas)
                    .all(|(item, schema)| schema.accepts(item))
            }),
            Check::AdditionalItems { after, schema } => array(&|items| {
                items
                    .iter()
                    .skip(*after)
                    .all(|item| schema.as_ref().is_some_and(|s| s.accepts(item)))
            }),
            Check::MinItems(least) => array(&|items| items.len() >= *least),
            Check::MaxItems(most) => array(&|items| items.len() <= *most),
            Check::UniqueItems => array(&|items| first_duplicate(items).is_none()),
            Check::AllOf(schemas) => schemas.iter().all(|schema| subject.satisfies(schema)),
            Check::AnyOf(schemas) => schemas.iter().any(|schema| subject.satisfies(schema)),
            Check::OneOf(schemas) => {
                schemas
                    .iter()
                    .filter(|schema| subject.satisfies(schema))
                    .count()
                    == 1
            }
            Check::Not(schema) => !subject.satisfies(schema),
        }
    }
}

impl Others {
    /// Names and values of further properties that are not allowed.
    pub(super) fn refused<'a>(
        &'a self,
        doc: &'a Document,
    ) -> impl Iterator<Item = (&'a String, &'a Bson)> {
        doc.iter().filter(|(name, value)| {
            let covered = self.names.contains(name)
                || self
                    .patterns
                    .iter()
                    .any(|p| p.is_match(name).unwrap_or(false));
            !covered
                && !self
                    .schema
                    .as_ref()
                    .is_some_and(|schema| schema.accepts(value))
        })
    }
}

impl Dependency {
    pub(super) fn holds(&self, doc: &Document) -> bool {
        match self {
            Self::Names(names) => names.iter().all(|name| doc.contains_key(name)),
            Self::Schema(schema) => schema.is_valid(doc),
        }
    }
}

fn is_nan(value: &Bson) -> bool {
    Number::from_bson(value).is_some_and(Number::is_nan)
}

fn is_multiple(value: &Bson, divisor: &Bson) -> bool {
    let decimal = |value: &Bson| match exact_i64(value) {
        Some(whole) => Decimal::from_i64(whole),
        None => Number::from_bson(value).map_or(Decimal::NaN, Number::to_decimal),
    };
    decimal(value).is_multiple_of(decimal(divisor))
}

/// The first item that an earlier one is equal to, whatever the order of fields.
pub(super) fn first_duplicate(items: &[Bson]) -> Option<&Bson> {
    let mut sorted: Vec<(Bson, usize)> = items
        .iter()
        .enumerate()
        .map(|(i, item)| (with_sorted_fields(item), i))
        .collect();
    sorted.sort_by(|a, b| compare(&a.0, &b.0).then(a.1.cmp(&b.1)));
    let mut later = Vec::new();
    for pair in sorted.windows(2) {
        if compare(&pair[0].0, &pair[1].0).is_eq() {
            later.push(pair[1].1);
        }
    }
    later.into_iter().min().map(|index| &items[index])
}

/// The value with the fields of all documents in order of their names.
pub(super) fn with_sorted_fields(value: &Bson) -> Bson {
    match value {
        Bson::Document(doc) => {
            let mut fields: Vec<(&String, &Bson)> = doc.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            Bson::Document(
                fields
                    .into_iter()
                    .map(|(n, v)| (n.clone(), with_sorted_fields(v)))
                    .collect(),
            )
        }
        Bson::Array(items) => Bson::Array(items.iter().map(with_sorted_fields).collect()),
        other => other.clone(),
    }
}
