//! Rows of bytes that are read again, anywhere and as often as one likes: in memory up to a limit,
//! beyond it in a file.

use super::{Memory, SpillFile};
use crate::error::Result;

/// Rows by number.
#[derive(Debug)]
pub struct Rows {
    stage: &'static str,
    memory: Memory,
    bytes: Vec<u8>,
    /// Where each row ends; the first begins at 0.
    ends: Vec<u64>,
    file: Option<SpillFile>,
    scratch: Vec<u8>,
}

impl Rows {
    /// None yet. `stage` appears in the error where memory ends.
    pub fn new(stage: &'static str, memory: &Memory) -> Self {
        Self {
            stage,
            memory: memory.clone(),
            bytes: Vec::new(),
            ends: Vec::new(),
            file: None,
            scratch: Vec::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[u8]) -> Result<()> {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.file.is_none() {
            let held = self.bytes.len() + row.len() + (self.ends.len() + 1) * size_of::<u64>();
            if held > self.memory.run_bytes() {
                let mut file = SpillFile::new(self.memory.disk_for(self.stage)?)?;
                file.append(&std::mem::take(&mut self.bytes))?;
                self.file = Some(file);
            }
        }
        match &mut self.file {
            Some(file) => file.append(row)?,
            None => self.bytes.extend_from_slice(row),
        }
        self.ends.push(start + row.len() as u64);
        Ok(())
    }

    /// A row that there is.
    pub fn get(&mut self, index: usize) -> Result<&[u8]> {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        let length = (self.ends[index] - start) as usize;
        match &self.file {
            None => Ok(&self.bytes[start as usize..start as usize + length]),
            Some(file) => {
                self.scratch.resize(length, 0);
                file.read_at(start, &mut self.scratch)?;
                Ok(&self.scratch)
            }
        }
    }

    /// Forgets all rows; memory and file are used again.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.file = None;
    }
}
