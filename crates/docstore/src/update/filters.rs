//! `arrayFilters`: named conditions on array elements.

use bson::{Bson, Document};

use crate::{
    bail,
    error::{Code, CommandError, Result},
    query::Filter,
    update::path::{Part, UpdatePath},
};

/// The array filters of an update by identifier.
#[derive(Debug, Clone, Default)]
pub(super) struct ArrayFilters(Vec<(String, Filter)>);

impl ArrayFilters {
    /// Parses the filters; each names one identifier, once.
    pub(super) fn parse(filters: &[Document]) -> Result<Self> {
        let mut parsed: Vec<(String, Filter)> = Vec::with_capacity(filters.len());
        for filter in filters {
            let mut identifier = None;
            find_identifier(filter, &mut identifier, 0)?;
            let Some(identifier) = identifier else {
                bail!(
                    FailedToParse,
                    "Cannot use an expression without a top-level field name in arrayFilters"
                )
            };
            if !is_identifier(&identifier) {
                bail!(
                    BadValue,
                    "Error parsing array filter :: caused by :: The top-level field name must be an \
                     alphanumeric string beginning with a lowercase letter, found '{identifier}'"
                );
            }
            if parsed.iter().any(|(known, _)| *known == identifier) {
                bail!(
                    FailedToParse,
                    "Found multiple array filters with the same top-level field name {identifier}"
                );
            }
            let filter = Filter::parse(filter, &Document::new()).map_err(|error| CommandError {
                message: format!(
                    "Error parsing array filter :: caused by :: {}",
                    error.message
                ),
                ..error
            })?;
            parsed.push((identifier, filter));
        }
        Ok(Self(parsed))
    }

    /// Every filter is used by a path, and every path finds its filters.
    pub(super) fn check_use(&self, paths: &[&UpdatePath], update: &Document) -> Result<()> {
        let used = |id: &str| {
            paths
                .iter()
                .flat_map(|path| &path.parts)
                .any(|part| matches!(part, Part::Filtered(name) if name == id))
        };
        for path in paths {
            for part in &path.parts {
                if let Part::Filtered(id) = part
                    && !self.0.iter().any(|(known, _)| known == id)
                {
                    bail!(
                        BadValue,
                        "No array filter found for identifier '{id}' in path '{}'",
                        path.text
                    );
                }
            }
        }
        match self.0.iter().find(|(id, _)| !used(id)) {
            Some((id, _)) => bail!(
                FailedToParse,
                "The array filter for identifier '{id}' was not used in the update {update}"
            ),
            None => Ok(()),
        }
    }

    /// Whether the filter of that name admits an element.
    pub(super) fn admit(&self, id: &str, element: &Bson) -> Result<bool> {
        let Some((_, filter)) = self.0.iter().find(|(known, _)| known == id) else {
            return Err(CommandError::new(
                Code::BadValue,
                format!("No array filter found for identifier '{id}'"),
            ));
        };
        let mut holder = Document::new();
        holder.insert(id, element.clone());
        filter.matches(&holder)
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The one first part that all field names of the filter share.
fn find_identifier(filter: &Document, found: &mut Option<String>, depth: usize) -> Result<()> {
    const MAX_DEPTH: usize = 100;
    if depth > MAX_DEPTH {
        bail!(
            BadValue,
            "array filter exceeds the maximum nesting depth of {MAX_DEPTH}"
        );
    }
    for (name, value) in filter {
        if name.starts_with('$') {
            if let Bson::Array(branches) = value {
                for branch in branches {
                    if let Bson::Document(branch) = branch {
                        find_identifier(branch, found, depth + 1)?;
                    }
                }
            }
            continue;
        }
        let identifier = name.split('.').next().unwrap_or(name);
        match found {
            Some(known) if known != identifier => bail!(
                FailedToParse,
                "Error parsing array filter :: caused by :: Expected a single top-level field \
                 name, found '{known}' and '{identifier}'"
            ),
            _ => *found = Some(identifier.to_owned()),
        }
    }
    Ok(())
}
