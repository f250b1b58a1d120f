//! Projections of `find`, `findAndModify` and `$project`'s simple form.

mod apply;
mod parse;

#[cfg(test)]
mod tests;

use bson::{Bson, Document};

use crate::{
    error::Result,
    expr::{Expr, Vars},
    query::Filter,
};

/// A parsed projection.
#[derive(Debug, Clone)]
pub struct Projection {
    root: Branch,
    inclusion: bool,
    /// The path of `path.$`.
    positional: Option<Vec<String>>,
    vars: Vars,
}

/// What is said about the fields of one level, in the order of the projection.
#[derive(Debug, Clone, Default)]
struct Branch {
    fields: Vec<(String, Rule)>,
}

/// What is said about one field.
#[derive(Debug, Clone)]
enum Rule {
    Include,
    Exclude,
    Below(Branch),
    Computed(Expr),
    Slice {
        skip: Option<i64>,
        limit: i64,
    },
    /// Conditions on the elements of the field, which the filter has under the field's own name.
    ElemMatch(Filter),
}

impl Branch {
    fn rule(&self, name: &str) -> Option<&Rule> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, rule)| rule)
    }
}

impl Projection {
    /// Parses a `find` projection: inclusion or exclusion, `$slice`, `$elemMatch`, positional `$`,
    /// `$meta` refused, and aggregation expressions as values.
    pub fn parse(projection: &Document, vars: &Document) -> Result<Self> {
        parse::parse(projection, vars)
    }

    /// The projected document. `filter` is needed for positional `$` only.
    pub fn apply(&self, doc: &Document, filter: Option<&Filter>) -> Result<Document> {
        let mut out = self.project(&self.root, doc, true)?;
        if self.inclusion {
            self.compute(&self.root, doc, &mut out)?;
        }
        if let Some(path) = &self.positional {
            apply::keep_matched(&mut out, path, doc, filter)?;
        }
        Ok(out)
    }

    /// The top-level fields that are all that is taken, as they are; `None` where it is not so simple.
    pub fn included(&self) -> Option<Vec<String>> {
        if !self.inclusion || self.positional.is_some() {
            return None;
        }
        let mut fields = Vec::new();
        let mut id = true;
        for (name, rule) in &self.root.fields {
            match rule {
                Rule::Include => fields.push(name.clone()),
                Rule::Exclude if name == "_id" => id = false,
                _ => return None,
            }
        }
        if id && !fields.iter().any(|field| field == "_id") {
            fields.push("_id".to_owned());
        }
        Some(fields)
    }

    /// Whether the projection leaves documents as they are.
    pub fn is_identity(&self) -> bool {
        !self.inclusion && self.root.fields.is_empty()
    }

    /// Whether `path.$` is used, for which [`Self::apply`] needs the filter.
    pub fn is_positional(&self) -> bool {
        self.positional.is_some()
    }
}

/// Whether a plain value of a projection says "in"; `None` where it is an expression.
fn as_flag(value: &Bson) -> Option<bool> {
    match value {
        Bson::Boolean(flag) => Some(*flag),
        number if crate::value::Number::from_bson(number).is_some() => {
            Some(crate::value::compare(number, &Bson::Int32(0)).is_ne())
        }
        _ => None,
    }
}
