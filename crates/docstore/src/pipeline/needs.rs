//! Which fields of its input a pipeline looks at, so that others need not be decoded.

use bson::{Bson, Document};

use super::{Pipeline, stage::Stage};

/// Top-level fields; `None` is all of them.
pub(super) type Fields = Option<Vec<String>>;

impl Pipeline {
    /// The top-level fields of the input that decide the output; `None` where it may be any.
    pub(crate) fn needed_fields(&self) -> Fields {
        let mut fields = Vec::new();
        for stage in &self.stages {
            match stage {
                Stage::Skip(_) | Stage::Limit(_) => {}
                Stage::Match(filter, _) => fields.extend(filter.fields()?),
                Stage::Sort(sort) => fields.extend(sort.document().keys().map(|path| first(path))),
                Stage::Unwind(unwind) => fields.extend(unwind.field()),
                Stage::Lookup(lookup) => fields.push(lookup.only_field()?),
                Stage::Count(_) => return Some(unique(fields)),
                Stage::Group(group) | Stage::Bucket(group) | Stage::SortByCount(group) => {
                    fields.extend(group.needs.clone()?);
                    return Some(unique(fields));
                }
                _ => return None,
            }
        }
        None
    }
}

fn unique(mut fields: Vec<String>) -> Vec<String> {
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn first(path: &str) -> String {
    path.split('.').next().unwrap_or(path).to_owned()
}

/// The fields that the expressions in a stage's argument may read: what looks like a path is one.
pub(super) fn of_argument(argument: &Bson) -> Fields {
    let mut fields = Vec::new();
    collect(argument, &mut fields).then_some(fields)
}

/// False where any field may be read.
fn collect(value: &Bson, fields: &mut Vec<String>) -> bool {
    match value {
        Bson::String(text) => collect_path(text, fields),
        Bson::Array(items) => items.iter().all(|item| collect(item, fields)),
        Bson::Document(document) => document
            .iter()
            .all(|(name, value)| collect_entry(name, value, fields)),
        _ => true,
    }
}

fn collect_entry(name: &str, value: &Bson, fields: &mut Vec<String>) -> bool {
    match (name, value) {
        // They name fields in other ways.
        ("$getField" | "$setField" | "$unsetField", _) => false,
        ("sortBy", Bson::Document(order)) => {
            add_paths(order, fields);
            true
        }
        _ => collect(value, fields),
    }
}

fn add_paths(order: &Document, fields: &mut Vec<String>) {
    fields.extend(order.keys().map(|path| first(path)));
}

fn collect_path(text: &str, fields: &mut Vec<String>) -> bool {
    let path = match text.strip_prefix("$$") {
        Some(variable) => match variable.split_once('.') {
            Some(("ROOT" | "CURRENT", path)) => path,
            _ => return !matches!(variable, "ROOT" | "CURRENT"),
        },
        None => match text.strip_prefix('$') {
            Some(path) => path,
            None => return true,
        },
    };
    let field = first(path);
    if !fields.contains(&field) {
        fields.push(field);
    }
    true
}
