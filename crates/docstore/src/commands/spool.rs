//! Results that wait to be fetched: in memory up to a limit, beyond it in a file without a name.

use std::sync::Arc;

use crate::{
    error::Result,
    spill::{Memory, Rows, SpillSpace},
    storage::scan::Flow,
};

/// Bytes that are kept in memory.
const MEMORY_BYTES: usize = 4 << 20;

/// First in, first out.
#[derive(Debug)]
pub struct Spool {
    rows: Rows,
    /// The first that was not fetched yet.
    next: usize,
}

impl Spool {
    /// An empty one.
    pub fn new(space: &Arc<SpillSpace>) -> Self {
        let memory = Memory {
            limit_bytes: MEMORY_BYTES,
            disk: Some(Arc::clone(space)),
        };
        Self {
            rows: Rows::new("results", &memory),
            next: 0,
        }
    }

    /// Adds a document.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.rows.push(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.next >= self.rows.len()
    }

    /// Gives documents until `emit` stops or none is left.
    pub fn drain(&mut self, emit: &mut dyn FnMut(&[u8]) -> Result<Flow>) -> Result<()> {
        while self.next < self.rows.len() {
            let flow = emit(self.rows.get(self.next)?)?;
            if flow == Flow::StopBefore {
                return Ok(());
            }
            self.next += 1;
            if flow == Flow::Stop {
                return Ok(());
            }
        }
        Ok(())
    }
}
