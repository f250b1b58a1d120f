//! `$sort`, stable; with a limit right behind it only that many documents are kept.

use bson::Document;

use super::stage::Documents;
use crate::{
    error::Result,
    expr::sort_key::SortPattern,
    spill::{Memory, Sorted, Sorter},
    storage::catalog::decode,
    wire::writer::encode,
};

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
    pub(super) fn run<'a>(&self, input: Documents<'_>, memory: &Memory) -> Result<Documents<'a>> {
        let wanted = self
            .limit
            .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        sort_by_key("$sort", input, wanted, memory, |document, key| {
            self.pattern.encode(document, key)
        })
    }
}

/// Sorts documents by the keys that `key_of` appends; only the first `wanted`.
pub(super) fn sort_by_key<'a>(
    stage: &'static str,
    input: Documents<'_>,
    wanted: Option<usize>,
    memory: &Memory,
    key_of: impl Fn(&Document, &mut Vec<u8>) -> Result<()>,
) -> Result<Documents<'a>> {
    let mut sorter = Sorter::new(stage, wanted, memory);
    let mut key = Vec::new();
    for document in input {
        let document = document?;
        key.clear();
        key_of(&document, &mut key)?;
        sorter.push(&key, &encode(&document)?)?;
    }
    let mut sorted = sorter.finish()?;
    Ok(Box::new(std::iter::from_fn(move || next(&mut sorted))))
}

/// Takes the next document.
pub(super) fn next(sorted: &mut Sorted) -> Option<Result<Document>> {
    let (_, bytes) = sorted.front()?;
    let document = decode(bytes);
    Some(sorted.pop().and(document))
}
