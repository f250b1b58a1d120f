//! Matching on BSON bytes: only the top-level fields that a filter looks at are decoded.

use bson::{Bson, Document, RawDocument};

use crate::{
    error::{Code, CommandError, Result},
    query::node::{Node, PathNode, Predicate},
};

/// Which top-level fields of a document a filter needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needs {
    /// One field at top level by one predicate.
    OneField(String),
    /// These.
    Fields(Vec<String>),
    /// All of them.
    Whole,
}

impl Needs {
    pub(super) fn of(node: &Node) -> Self {
        if let Node::Path(PathNode { parts, .. }) = node
            && let [field] = parts.as_slice()
        {
            return Self::OneField(field.clone());
        }
        let mut fields = Vec::new();
        if collect(node, &mut fields) {
            Self::Fields(fields)
        } else {
            Self::Whole
        }
    }
}

fn collect(node: &Node, fields: &mut Vec<String>) -> bool {
    match node {
        Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => {
            nodes.iter().all(|node| collect(node, fields))
        }
        Node::Not(node) => collect(node, fields),
        Node::Path(PathNode { parts, .. }) => {
            if let Some(field) = parts.first()
                && !fields.contains(field)
            {
                fields.push(field.clone());
            }
            true
        }
        Node::Constant(_) | Node::Sample(_) => true,
        Node::Expr(_) | Node::Schema(_) => false,
    }
}

/// Whether the document in `raw` matches.
pub(super) fn matches_raw(node: &Node, needs: &Needs, raw: &RawDocument) -> Result<bool> {
    match (needs, node) {
        (Needs::OneField(field), Node::Path(path)) => {
            let Some(value) = raw.get(field).map_err(corrupt)? else {
                return path.matches_field(None);
            };
            if matches!(path.predicate, Predicate::Exists) {
                return Ok(true);
            }
            path.matches_field(Some(&Bson::try_from(value).map_err(corrupt)?))
        }
        (Needs::Fields(fields), _) => {
            let mut partial = Document::new();
            let mut left = fields.len();
            for element in raw.iter_elements() {
                if left == 0 {
                    break;
                }
                let element = element.map_err(corrupt)?;
                let name = element.key().as_str();
                if fields.iter().any(|field| field == name) {
                    let value = element.value().map_err(corrupt)?;
                    let earlier = partial.insert(name, Bson::try_from(value).map_err(corrupt)?);
                    left -= usize::from(earlier.is_none());
                }
            }
            node.matches(&partial, &mut None)
        }
        _ => node.matches(&Document::try_from(raw).map_err(corrupt)?, &mut None),
    }
}

fn corrupt(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(
        Code::InvalidBSON,
        format!("a stored document is not valid BSON: {error}"),
    )
}
