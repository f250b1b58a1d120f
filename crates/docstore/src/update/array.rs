//! Operators on arrays: `$push`, `$addToSet`, `$pull`, `$pullAll`.

use std::cmp::Ordering;

use bson::{Bson, Document};

use crate::{
    bail,
    error::Result,
    query::{Filter, holds_operators},
    update::operator::{Change, Site},
    value::{Number, compare, exact_i64, get_path, type_name},
};

/// `$push` with its modifiers.
#[derive(Debug, Clone)]
pub(super) struct Push {
    values: Vec<Bson>,
    position: Option<i64>,
    slice: Option<i64>,
    sort: Option<Sort>,
}

/// `$sort` of `$push`.
#[derive(Debug, Clone)]
enum Sort {
    /// By the elements themselves.
    Whole { descending: bool },
    /// By fields of the elements: (path, descending).
    Fields(Vec<(String, bool)>),
}

impl Push {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let mut push = Self {
            values: Vec::new(),
            position: None,
            slice: None,
            sort: None,
        };
        let each = match argument {
            Bson::Document(clauses) => clauses.get("$each").map(|each| (clauses, each)),
            _ => None,
        };
        let Some((clauses, each)) = each else {
            push.values.push(argument.clone());
            return Ok(push);
        };
        let Bson::Array(values) = each else {
            bail!(
                BadValue,
                "The argument to $each in $push must be an array but it was of type {}",
                type_name(each)
            )
        };
        push.values.clone_from(values);
        for (name, value) in clauses {
            match name.as_str() {
                "$each" => {}
                "$position" => push.position = Some(integer("$position", value)?),
                "$slice" => push.slice = Some(integer("$slice", value)?),
                "$sort" => push.sort = Some(Sort::parse(value)?),
                _ => bail!(BadValue, "Unrecognized clause in $push: {name}"),
            }
        }
        Ok(push)
    }

    pub(super) fn change(&self, old: Option<&Bson>, site: &Site<'_>) -> Result<Change> {
        let mut items = match old {
            None => Vec::new(),
            Some(Bson::Array(items)) => items.clone(),
            Some(other) => bail!(
                BadValue,
                "The field '{}' must be an array but is of type {} in document {{_id: {}}}",
                site.path,
                type_name(other),
                site.id
            ),
        };
        let at = match self.position {
            None => items.len(),
            Some(n) if n >= 0 => items.len().min(usize::try_from(n).unwrap_or(usize::MAX)),
            Some(n) => items.len().saturating_sub(magnitude(n)),
        };
        items.splice(at..at, self.values.iter().cloned());
        if let Some(sort) = &self.sort {
            items.sort_by(|a, b| sort.order(a, b));
        }
        match self.slice {
            Some(n) if n < 0 => {
                let skip = items.len().saturating_sub(magnitude(n));
                items.drain(..skip);
            }
            Some(n) => items.truncate(magnitude(n)),
            None => {}
        }
        Ok(Change::Write(Bson::Array(items)))
    }
}

fn magnitude(n: i64) -> usize {
    usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)
}

fn integer(name: &str, value: &Bson) -> Result<i64> {
    match exact_i64(value) {
        Some(n) => Ok(n),
        None => bail!(
            BadValue,
            "The value for {name} must be an integer value but was given type: {}",
            type_name(value)
        ),
    }
}

impl Sort {
    fn parse(value: &Bson) -> Result<Self> {
        let direction = |value: &Bson| match exact_i64(value) {
            Some(1) => Ok(false),
            Some(-1) => Ok(true),
            _ => bail!(BadValue, "The $sort element value must be either 1 or -1"),
        };
        match value {
            Bson::Document(fields) => {
                if fields.is_empty() {
                    bail!(
                        BadValue,
                        "The $sort pattern is empty when it should be a set of fields."
                    );
                }
                let mut parsed = Vec::with_capacity(fields.len());
                for (path, order) in fields {
                    if path.split('.').any(str::is_empty) {
                        bail!(
                            BadValue,
                            "The $sort field is a dotted field but has an empty part: {path}"
                        );
                    }
                    parsed.push((path.clone(), direction(order)?));
                }
                Ok(Self::Fields(parsed))
            }
            number if Number::from_bson(number).is_some() => Ok(Self::Whole {
                descending: direction(number)?,
            }),
            _ => bail!(
                BadValue,
                "The $sort is invalid: use 1/-1 to sort the whole element, or {{field:1/-1}} to \
                 sort embedded fields"
            ),
        }
    }

    fn order(&self, a: &Bson, b: &Bson) -> Ordering {
        let directed =
            |order: Ordering, descending| if descending { order.reverse() } else { order };
        match self {
            Self::Whole { descending } => directed(compare(a, b), *descending),
            Self::Fields(fields) => {
                fields
                    .iter()
                    .fold(Ordering::Equal, |order, (path, descending)| {
                        order.then_with(|| {
                            directed(compare(field(a, path), field(b, path)), *descending)
                        })
                    })
            }
        }
    }
}

fn field<'a>(element: &'a Bson, path: &str) -> &'a Bson {
    match element {
        Bson::Document(doc) => get_path(doc, path).unwrap_or(&Bson::Null),
        _ => &Bson::Null,
    }
}

/// `$addToSet`.
#[derive(Debug, Clone)]
pub(super) struct AddToSet(Vec<Bson>);

impl AddToSet {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        if let Bson::Document(clauses) = argument
            && clauses.keys().next().is_some_and(|name| name == "$each")
        {
            let Some(Bson::Array(values)) = clauses.get("$each") else {
                bail!(
                    TypeMismatch,
                    "The argument to $each in $addToSet must be an array but it was of type {}",
                    clauses.get("$each").map_or("missing", type_name)
                )
            };
            if clauses.len() > 1 {
                bail!(
                    BadValue,
                    "Found unexpected fields after $each in $addToSet: {clauses}"
                );
            }
            return Ok(Self(values.clone()));
        }
        Ok(Self(vec![argument.clone()]))
    }

    pub(super) fn change(&self, old: Option<&Bson>, site: &Site<'_>) -> Result<Change> {
        let old = match old {
            None => None,
            Some(Bson::Array(items)) => Some(items),
            Some(other) => bail!(
                BadValue,
                "Cannot apply $addToSet to non-array field. Field named '{}' has non-array type {}",
                site.path.rsplit('.').next().unwrap_or(site.path),
                type_name(other)
            ),
        };
        let mut items = old.cloned().unwrap_or_default();
        for value in &self.0 {
            if !items.iter().any(|item| compare(item, value).is_eq()) {
                items.push(value.clone());
            }
        }
        let grown = old.is_none_or(|old| old.len() < items.len());
        Ok(if grown {
            Change::Write(Bson::Array(items))
        } else {
            Change::Keep
        })
    }
}

/// `$pull` and `$pullAll`.
#[derive(Debug, Clone)]
pub(super) enum Pull {
    /// Elements equal to one of these.
    Values(Vec<Bson>),
    /// Elements that are documents and match.
    Documents(Filter),
    /// Elements that match as the value of a field without name.
    Wrapped(Filter),
}

impl Pull {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let wrapped = || {
            let mut filter = Document::new();
            filter.insert("", argument.clone());
            Filter::parse(&filter, &Document::new()).map(Self::Wrapped)
        };
        match argument {
            Bson::Document(conditions) if holds_operators(conditions) => wrapped(),
            Bson::Document(conditions) => {
                Filter::parse(conditions, &Document::new()).map(Self::Documents)
            }
            Bson::RegularExpression(_) => wrapped(),
            value => Ok(Self::Values(vec![value.clone()])),
        }
    }

    pub(super) fn parse_all(argument: &Bson) -> Result<Self> {
        match argument {
            Bson::Array(values) => Ok(Self::Values(values.clone())),
            other => bail!(
                BadValue,
                "$pullAll requires an array argument but was given a {}",
                type_name(other)
            ),
        }
    }

    pub(super) fn change(&self, old: Option<&Bson>) -> Result<Change> {
        let items = match old {
            None => return Ok(Change::Keep),
            Some(Bson::Array(items)) => items,
            Some(_) => bail!(BadValue, "Cannot apply $pull to a non-array value"),
        };
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            if !self.takes(item)? {
                kept.push(item.clone());
            }
        }
        let shrunk = kept.len() < items.len();
        Ok(if shrunk {
            Change::Write(Bson::Array(kept))
        } else {
            Change::Keep
        })
    }

    fn takes(&self, item: &Bson) -> Result<bool> {
        match self {
            Self::Values(values) => Ok(values.iter().any(|value| compare(value, item).is_eq())),
            Self::Documents(filter) => match item {
                Bson::Document(doc) => filter.matches(doc),
                _ => Ok(false),
            },
            Self::Wrapped(filter) => {
                let mut holder = Document::new();
                holder.insert("", item.clone());
                filter.matches(&holder)
            }
        }
    }
}
