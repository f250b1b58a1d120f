//! What a projection makes of a document.

use bson::{Bson, Document};

use super::{Branch, Projection, Rule};
use crate::{
    error::{CommandError, Result},
    query::Filter,
};

impl Projection {
    /// The fields that stay, in the document's order; computed ones are added by [`Self::compute`].
    pub(super) fn project(&self, branch: &Branch, doc: &Document, top: bool) -> Result<Document> {
        let mut out = Document::new();
        for (name, value) in doc {
            let kept = match branch.rule(name) {
                None if !self.inclusion || (top && name == "_id") => Some(value.clone()),
                Some(Rule::Include) => Some(value.clone()),
                Some(Rule::Slice { skip, limit }) => Some(match value {
                    Bson::Array(items) => Bson::Array(slice(items, *skip, *limit).to_vec()),
                    other => other.clone(),
                }),
                Some(Rule::Below(below)) => self.project_below(below, value)?,
                None | Some(Rule::Exclude | Rule::Computed(_) | Rule::ElemMatch(_)) => None,
            };
            if let Some(value) = kept {
                out.insert(name, value);
            } else if !self.inclusion
                && let Some(Rule::ElemMatch(filter)) = branch.rule(name)
            {
                out.extend(first_match(filter, name, doc)?.map(|found| (name.clone(), found)));
            }
        }
        Ok(out)
    }

    /// Documents, also those in arrays, are projected; anything else stays in exclusions only.
    fn project_below(&self, below: &Branch, value: &Bson) -> Result<Option<Bson>> {
        match value {
            Bson::Document(inner) => Ok(Some(Bson::Document(self.project(below, inner, false)?))),
            Bson::Array(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for item in items {
                    kept.extend(self.project_below(below, item)?);
                }
                Ok(Some(Bson::Array(kept)))
            }
            other => Ok((!self.inclusion).then(|| other.clone())),
        }
    }

    /// Adds computed fields and `$elemMatch`, which come after those of the document.
    pub(super) fn compute(
        &self,
        branch: &Branch,
        root: &Document,
        out: &mut Document,
    ) -> Result<()> {
        for (name, rule) in &branch.fields {
            match rule {
                Rule::Computed(expr) => match expr.eval(root, &self.vars)? {
                    Some(value) => {
                        out.insert(name, value);
                    }
                    None => {
                        out.remove(name);
                    }
                },
                Rule::ElemMatch(filter) => {
                    if let Some(found) = first_match(filter, name, root)? {
                        out.insert(name, found);
                    }
                }
                Rule::Below(below) if computes(below) => {
                    let mut value = out.get(name).cloned();
                    self.compute_below(below, root, &mut value)?;
                    if let Some(value) = value {
                        out.insert(name, value);
                    }
                }
                Rule::Include | Rule::Exclude | Rule::Slice { .. } | Rule::Below(_) => {}
            }
        }
        Ok(())
    }

    /// Computed fields go into each document of an array, and take the place of what is none.
    fn compute_below(
        &self,
        below: &Branch,
        root: &Document,
        value: &mut Option<Bson>,
    ) -> Result<()> {
        match value {
            Some(Bson::Document(inner)) => self.compute(below, root, inner),
            Some(Bson::Array(items)) => {
                for item in items {
                    let mut one = Some(std::mem::take(item));
                    self.compute_below(below, root, &mut one)?;
                    *item = one.unwrap_or_default();
                }
                Ok(())
            }
            other => {
                let mut inner = Document::new();
                self.compute(below, root, &mut inner)?;
                *other = Some(Bson::Document(inner));
                Ok(())
            }
        }
    }
}

fn computes(branch: &Branch) -> bool {
    branch.fields.iter().any(|(_, rule)| match rule {
        Rule::Computed(_) => true,
        Rule::Below(below) => computes(below),
        Rule::Include | Rule::Exclude | Rule::Slice { .. } | Rule::ElemMatch(_) => false,
    })
}

/// An array of the first element of `doc[name]` that matches.
fn first_match(filter: &Filter, name: &str, doc: &Document) -> Result<Option<Bson>> {
    let Some(Bson::Array(items)) = doc.get(name) else {
        return Ok(None);
    };
    let position = filter.matches_position(doc)?.flatten();
    Ok(position
        .and_then(|i| items.get(i))
        .map(|found| Bson::Array(vec![found.clone()])))
}

/// The part of an array that `$slice` keeps; negative counts are from the end.
fn slice(items: &[Bson], skip: Option<i64>, limit: i64) -> &[Bson] {
    let length = items.len();
    let size = |n: i64| usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    let (start, count) = match skip {
        None if limit < 0 => (length.saturating_sub(size(limit)), length),
        None => (0, size(limit)),
        Some(skip) if skip < 0 => (length.saturating_sub(size(skip)), size(limit)),
        Some(skip) => (size(skip).min(length), size(limit)),
    };
    &items[start..start.saturating_add(count).min(length)]
}

/// `path.$`: the first array along the path keeps only the element that the filter matched.
pub(super) fn keep_matched(
    out: &mut Document,
    path: &[String],
    doc: &Document,
    filter: Option<&Filter>,
) -> Result<()> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    let mut at = out.get_mut(first);
    let mut rest = rest.iter();
    while let Some(value) = at {
        match value {
            Bson::Array(items) => {
                let position = match filter {
                    Some(filter) => filter.matches_position(doc)?.flatten(),
                    None => None,
                };
                let Some(position) = position else {
                    return Err(CommandError::location(
                        51246,
                        "Executor error during find command :: caused by :: positional operator \
                         '.$' couldn't find a matching element in the array",
                    ));
                };
                if position >= items.len() {
                    return Err(CommandError::location(
                        51247,
                        "Executor error during find command :: caused by :: positional operator \
                         '.$' element mismatch",
                    ));
                }
                items.swap(0, position);
                items.truncate(1);
                return Ok(());
            }
            Bson::Document(inner) => at = rest.next().and_then(|part| inner.get_mut(part)),
            _ => return Ok(()),
        }
    }
    Ok(())
}
