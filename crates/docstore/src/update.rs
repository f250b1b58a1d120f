//! Updates: operator documents, replacements and aggregation pipelines applied to one document.
//! No I/O.

mod array;
mod filters;
mod operator;
mod operators;
mod path;
mod pipeline;

#[cfg(test)]
mod tests;

use bson::{Bson, Document, oid::ObjectId};

use self::{operators::Operators, pipeline::UpdatePipeline};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    query::Filter,
    value::{check_depth, compare, identical, identical_documents},
};

/// A parsed update.
#[derive(Debug, Clone)]
pub struct Update {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Replacement(Document),
    Operators(Operators),
    Pipeline(UpdatePipeline),
}

/// What an update is applied with.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyContext {
    /// The array position that the filter matched, for `$`.
    pub position: Option<usize>,
    /// Whether the document is being inserted by an upsert (`$setOnInsert` counts).
    pub inserting: bool,
}

impl Update {
    /// Parses `u` of an update statement: a document with operators, a replacement, or a pipeline
    /// (array). `array_filters` as sent; `vars` are `let` variables for pipelines.
    pub fn parse(u: &Bson, array_filters: &[Document], vars: &Document) -> Result<Self> {
        let kind = match u {
            Bson::Document(update) if update.keys().next().is_some_and(|k| k.starts_with('$')) => {
                Kind::Operators(Operators::parse(update, array_filters)?)
            }
            Bson::Document(replacement) => {
                if !array_filters.is_empty() {
                    bail!(
                        FailedToParse,
                        "arrayFilters may not be specified for replacement-style updates"
                    );
                }
                if let Some(name) = replacement.keys().find(|name| name.starts_with('$')) {
                    bail!(
                        DollarPrefixedFieldName,
                        "The dollar ($) prefixed field '{name}' in '{name}' is not allowed in the \
                         context of an update's replacement document. Consider using an aggregation \
                         pipeline with $replaceWith."
                    );
                }
                Kind::Replacement(replacement.clone())
            }
            Bson::Array(stages) => {
                if !array_filters.is_empty() {
                    bail!(
                        FailedToParse,
                        "arrayFilters may not be specified for pipeline-style updates"
                    );
                }
                Kind::Pipeline(UpdatePipeline::parse(stages, vars)?)
            }
            _ => bail!(
                FailedToParse,
                "Update argument must be either an object or an array"
            ),
        };
        Ok(Self { kind })
    }

    /// Whether this is a whole-document replacement (not allowed with `multi`).
    pub fn is_replacement(&self) -> bool {
        matches!(self.kind, Kind::Replacement(_))
    }

    /// Applies to `doc`; true where something changed. `_id` may not change (66 ImmutableField).
    /// On an error `doc` is left as it was.
    pub fn apply(&self, doc: &mut Document, ctx: ApplyContext) -> Result<bool> {
        match &self.kind {
            Kind::Replacement(replacement) => replace(doc, replacement.clone()),
            Kind::Pipeline(pipeline) => {
                let result = pipeline.run(doc.clone())?;
                replace(doc, result)
            }
            Kind::Operators(operators) => {
                let mut updated = doc.clone();
                if !operators.apply(&mut updated, ctx)? {
                    return Ok(false);
                }
                check_id_kept(doc, &updated, ctx)?;
                check_depth(&updated)?;
                let changed = !identical_documents(doc, &updated);
                *doc = updated;
                Ok(changed)
            }
        }
    }

    /// The document that an upsert inserts: the filter's equality fields, then the update; `_id`
    /// from either, else a new ObjectId; `_id` comes first.
    pub fn upsert_document(&self, filter: &Filter) -> Result<Document> {
        let mut doc = Document::new();
        for (path, value) in filter.upsert_fields()? {
            let of_id = path == "_id" || path.starts_with("_id.");
            if self.is_replacement() && !of_id {
                continue;
            }
            let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
            if parts.iter().any(|part| part.is_empty() || part == "$") {
                continue;
            }
            self::path::write(&mut doc, &parts, value)?;
        }
        self.apply(
            &mut doc,
            ApplyContext {
                position: None,
                inserting: true,
            },
        )?;
        let id = doc
            .remove("_id")
            .unwrap_or_else(|| Bson::ObjectId(ObjectId::new()));
        let mut first = Document::new();
        first.insert("_id", id);
        first.extend(doc);
        Ok(first)
    }
}

/// Puts `new` in the place of `doc`, keeping `_id`, which comes first.
fn replace(doc: &mut Document, mut new: Document) -> Result<bool> {
    let id = match (doc.get("_id"), new.remove("_id")) {
        (Some(old), Some(new)) if compare(old, &new).is_ne() => {
            return Err(altered_id(&new));
        }
        (Some(old), _) => Some(old.clone()),
        (None, new) => new,
    };
    let mut result = Document::new();
    if let Some(id) = id {
        result.insert("_id", id);
    }
    result.extend(new);
    check_depth(&result)?;
    let changed = !identical_documents(doc, &result);
    *doc = result;
    Ok(changed)
}

fn altered_id(new: &Bson) -> CommandError {
    CommandError::new(
        Code::ImmutableField,
        format!(
            "After applying the update, the (immutable) field '_id' was found to have been altered \
             to _id: {new}"
        ),
    )
}

fn check_id_kept(old: &Document, new: &Document, ctx: ApplyContext) -> Result<()> {
    let kept = match (old.get("_id"), new.get("_id")) {
        (Some(old), Some(new)) => identical(old, new),
        (Some(_), None) => false,
        (None, None) => true,
        (None, Some(_)) => ctx.inserting,
    };
    if kept {
        return Ok(());
    }
    bail!(
        ImmutableField,
        "Performing an update on the path '_id' would modify the immutable field '_id'"
    )
}
