//! The documents of one partition in order, kept as bytes (on the disk if there are many) and
//! decoded as they are asked for.

use std::rc::Rc;

use bson::{Bson, Document};

use super::{Order, bounds::range_value};
use crate::{
    error::Result,
    expr::sort_key::SortPattern,
    spill::{Memory, Rows},
    storage::catalog::decode,
};

/// Decoded documents that are kept: windows go through neighbours again and again.
const DECODED_DOCUMENTS: usize = 1024;

/// A partition.
pub(super) struct Partition {
    rows: Rows,
    /// Each row has one place.
    decoded: Vec<Option<(usize, Rc<Document>)>>,
    /// The sort keys as numbers, once they were asked for.
    axis: Option<Rc<Vec<f64>>>,
}

impl Partition {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            rows: Rows::new("$setWindowFields", memory),
            decoded: Vec::new(),
            axis: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.rows.push(bytes)
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.decoded.clear();
        self.axis = None;
    }

    /// The document of a row that there is.
    pub(super) fn document(&mut self, row: usize) -> Result<Rc<Document>> {
        let place = row % DECODED_DOCUMENTS;
        if self.decoded.len() <= place {
            self.decoded.resize(place + 1, None);
        }
        if let Some((other, document)) = &self.decoded[place]
            && *other == row
        {
            return Ok(Rc::clone(document));
        }
        let document = Rc::new(decode(self.rows.get(row)?)?);
        self.decoded[place] = Some((row, Rc::clone(&document)));
        Ok(document)
    }

    /// What a row is sorted by.
    pub(super) fn key(&mut self, row: usize, pattern: &SortPattern) -> Result<Vec<Bson>> {
        pattern.key(&*self.document(row)?)
    }

    /// The sort keys of all rows as numbers; dates in milliseconds.
    pub(super) fn axis(&mut self, order: &Order, dates: bool) -> Result<Rc<Vec<f64>>> {
        if let Some(axis) = &self.axis {
            return Ok(Rc::clone(axis));
        }
        let mut axis = Vec::with_capacity(self.len());
        for row in 0..self.len() {
            axis.push(range_value(self.key(row, &order.pattern)?.first(), dates)?);
        }
        let axis = Rc::new(axis);
        self.axis = Some(Rc::clone(&axis));
        Ok(axis)
    }
}
