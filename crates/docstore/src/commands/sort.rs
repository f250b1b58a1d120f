//! Sort patterns, and sorting what an index does not give in order.

use std::collections::VecDeque;

use bson::{Bson, Document};

use crate::{
    bail,
    error::{Code, CommandError, Result},
    storage::catalog::IndexField,
};

/// Documents are kept in memory beside their sort keys up to this many bytes; beyond it they are
/// read again in sorted order.
const KEPT_DOCUMENT_BYTES: usize = 16 << 20;

/// A sort pattern; `{$natural: ±1}` is told apart by [`natural`].
pub fn parse(pattern: &Document) -> Result<Vec<IndexField>> {
    let mut fields = Vec::with_capacity(pattern.len());
    for (path, direction) in pattern {
        let descending = match direction {
            Bson::Int32(1) | Bson::Int64(1) => false,
            Bson::Int32(-1) | Bson::Int64(-1) => true,
            Bson::Double(n) if *n == 1.0 => false,
            Bson::Double(n) if *n == -1.0 => true,
            Bson::Document(meta) if meta.contains_key("$meta") => {
                bail!(
                    BadValue,
                    "$meta sort is not supported: there is no text index"
                )
            }
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => {
                return Err(CommandError::location(
                    15975,
                    "$sort key ordering must be 1 (for ascending) or -1 (for descending)",
                ));
            }
            other => {
                return Err(CommandError::location(
                    15974,
                    format!("Illegal key in $sort specification: {path}: {other}"),
                ));
            }
        };
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(CommandError::location(
                15998,
                "FieldPath field names may not be empty strings.",
            ));
        }
        if path.starts_with('$') {
            return Err(CommandError::location(
                16410,
                format!(
                    "FieldPath field names may not start with '$'. Consider using $getField or $setField: '{path}'"
                ),
            ));
        }
        fields.push((path.clone(), descending));
    }
    Ok(fields)
}

/// The direction of `{$natural: ±1}`: true for backwards.
pub fn natural(pattern: &Document) -> Option<bool> {
    let direction = pattern.get("$natural")?;
    Some(crate::value::compare(direction, &Bson::Int32(0)) == std::cmp::Ordering::Less)
}

/// One document that waits for its turn.
#[derive(Debug)]
pub struct Sorted {
    /// Its row.
    pub rid: i64,
    /// Its bytes, unless there were too many.
    pub bytes: Option<Vec<u8>>,
}

/// Collects documents and gives them back in order.
#[derive(Debug)]
pub struct Sorter {
    items: Vec<(Vec<u8>, Sorted)>,
    /// Only this many are wanted.
    wanted: Option<usize>,
    key_bytes: usize,
    document_bytes: usize,
    max_bytes: usize,
}

impl Sorter {
    /// `wanted` is skip plus limit; `max_bytes` bounds the memory of the keys.
    pub fn new(wanted: Option<usize>, max_bytes: usize) -> Self {
        Self {
            items: Vec::new(),
            wanted,
            key_bytes: 0,
            document_bytes: 0,
            max_bytes,
        }
    }

    /// Adds one.
    pub fn push(&mut self, key: Vec<u8>, rid: i64, bytes: &[u8]) -> Result<()> {
        self.key_bytes += key.len() + 64;
        let kept = self.document_bytes <= KEPT_DOCUMENT_BYTES;
        if kept {
            self.document_bytes += bytes.len();
        }
        let bytes = kept.then(|| bytes.to_vec());
        self.items.push((key, Sorted { rid, bytes }));
        if let Some(wanted) = self.wanted
            && self.items.len() >= wanted.saturating_mul(2).saturating_add(256)
        {
            self.cut(wanted);
        }
        if self.key_bytes > self.max_bytes {
            return Err(CommandError {
                code_name: "QueryExceededMemoryLimitNoDiskUseAllowed".to_owned(),
                ..CommandError::location(
                    292,
                    format!("Sort exceeded memory limit of {} bytes", self.max_bytes),
                )
            });
        }
        if self.document_bytes > KEPT_DOCUMENT_BYTES {
            for (_, item) in &mut self.items {
                item.bytes = None;
            }
        }
        Ok(())
    }

    fn cut(&mut self, wanted: usize) {
        self.items.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.items.truncate(wanted);
        self.key_bytes = self.items.iter().map(|(key, _)| key.len() + 64).sum();
        if self.document_bytes <= KEPT_DOCUMENT_BYTES {
            let bytes = |item: &Sorted| item.bytes.as_ref().map_or(0, Vec::len);
            self.document_bytes = self.items.iter().map(|(_, item)| bytes(item)).sum();
        }
    }

    /// In order; equal ones as they came.
    pub fn finish(mut self) -> VecDeque<Sorted> {
        let wanted = self.wanted.unwrap_or(usize::MAX);
        self.cut(wanted);
        self.items.into_iter().map(|(_, item)| item).collect()
    }
}

/// The error of a sort on several arrays at once.
pub fn parallel_arrays(error: CommandError) -> CommandError {
    if error.code == Code::CannotIndexParallelArrays as i32 {
        return CommandError::new(
            Code::BadValue,
            "cannot sort with keys that are parallel arrays",
        );
    }
    error
}
