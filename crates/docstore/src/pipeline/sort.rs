//! `$sort`, stable; with a limit right behind it only that many documents are kept.

use bson::{Bson, Document};

use super::{
    memory::{Budget, document_bytes, value_bytes},
    stage::Documents,
};
use crate::{error::Result, expr::sort_key::SortPattern};

/// A parsed `$sort`.
#[derive(Debug)]
pub(super) struct Sort {
    document: Document,
    pattern: SortPattern,
    /// How many documents the next stage lets pass.
    pub(super) limit: Option<u64>,
}

impl Sort {
    pub(super) fn parse(document: &Document) -> Result<Self> {
        Ok(Self {
            document: document.clone(),
            pattern: SortPattern::parse(document)?,
            limit: None,
        })
    }

    /// The sort as it was written.
    pub(super) fn document(&self) -> &Document {
        &self.document
    }

    /// Reads all of `input` and sorts it.
    pub(super) fn run(&self, input: Documents<'_>, memory_bytes: usize) -> Result<Vec<Document>> {
        let mut budget = Budget::new("$sort", memory_bytes);
        let limit = self
            .limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX);
        let most = limit.saturating_mul(2).saturating_add(1000);
        let mut kept: Vec<(Vec<Bson>, Document)> = Vec::new();
        for document in input {
            let document = document?;
            let key = self.pattern.key(&document)?;
            budget.add(entry_bytes(&key, &document))?;
            kept.push((key, document));
            if kept.len() > most {
                self.order(&mut kept);
                for (key, document) in kept.drain(limit..) {
                    budget.release(entry_bytes(&key, &document));
                }
            }
        }
        self.order(&mut kept);
        kept.truncate(limit);
        Ok(kept.into_iter().map(|(_, document)| document).collect())
    }

    fn order(&self, entries: &mut [(Vec<Bson>, Document)]) {
        entries.sort_by(|a, b| self.pattern.compare(&a.0, &b.0));
    }
}

fn entry_bytes(key: &[Bson], document: &Document) -> usize {
    document_bytes(document) + key.iter().map(value_bytes).sum::<usize>()
}
