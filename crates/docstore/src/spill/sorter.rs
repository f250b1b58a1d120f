//! A stable sort by byte keys: in memory up to a limit, beyond it as sorted runs in a file that are
//! merged at the end.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Memory, SpillFile};
use crate::error::Result;

/// Bytes that are read ahead of each run, at most and at least.
const READ_AHEAD_BYTES: (usize, usize) = (256 << 10, 4 << 10);

/// Where an item lies in the arena: its key, then its payload.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The first bytes of the key, which decide most comparisons.
    prefix: u64,
    offset: usize,
    key_len: u32,
    len: u32,
}

/// Collects items.
#[derive(Debug)]
pub struct Sorter {
    stage: &'static str,
    memory: Memory,
    /// Only the first so many are wanted.
    wanted: Option<usize>,
    /// A key that cannot be among the wanted, nor any above it.
    hopeless: Option<Vec<u8>>,
    arena: Vec<u8>,
    entries: Vec<Entry>,
    file: Option<SpillFile>,
    /// Where each run ends.
    runs: Vec<u64>,
}

impl Sorter {
    /// An empty one. `stage` appears in the error where memory ends.
    pub fn new(stage: &'static str, wanted: Option<usize>, memory: &Memory) -> Self {
        Self {
            stage,
            memory: memory.clone(),
            wanted,
            hopeless: None,
            arena: Vec::new(),
            entries: Vec::new(),
            file: None,
            runs: Vec::new(),
        }
    }

    /// Adds an item.
    pub fn push(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        if self.wanted == Some(0) || self.hopeless.as_deref().is_some_and(|least| key >= least) {
            return Ok(());
        }
        if !self.entries.is_empty() && self.held_bytes(key.len() + payload.len()) > self.limit() {
            self.make_room()?;
        }
        let offset = self.arena.len();
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(payload);
        self.entries.push(Entry {
            prefix: prefix_of(key),
            offset,
            key_len: key.len() as u32,
            len: (key.len() + payload.len()) as u32,
        });
        if let Some(wanted) = self.wanted
            && self.entries.len() >= wanted.saturating_mul(2).saturating_add(256)
        {
            self.cut(wanted);
        }
        Ok(())
    }

    fn limit(&self) -> usize {
        self.memory.run_bytes()
    }

    fn held_bytes(&self, more: usize) -> usize {
        self.arena.len() + more + (self.entries.len() + 1) * size_of::<Entry>()
    }

    /// Drops what is not wanted, or writes a run.
    fn make_room(&mut self) -> Result<()> {
        if let Some(wanted) = self.wanted {
            self.cut(wanted);
            if self.held_bytes(0) <= self.limit() / 2 {
                return Ok(());
            }
        }
        self.write_run()
    }

    fn write_run(&mut self) -> Result<()> {
        sort(&self.arena, &mut self.entries);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpillFile::new(self.memory.disk_for(self.stage)?)?),
        };
        for entry in &self.entries {
            file.append(&entry.key_len.to_le_bytes())?;
            file.append(&entry.len.to_le_bytes())?;
            file.append(&self.arena[entry.offset..entry.offset + entry.len as usize])?;
        }
        self.runs.push(file.len());
        self.arena.clear();
        self.entries.clear();
        Ok(())
    }

    /// Sorts what is in memory and keeps the wanted of it.
    fn cut(&mut self, wanted: usize) {
        sort(&self.arena, &mut self.entries);
        if self.entries.len() <= wanted {
            return;
        }
        self.entries.truncate(wanted);
        let kept = self.entries.iter().map(|entry| entry.len as usize).sum();
        let mut arena = Vec::with_capacity(kept);
        for entry in &mut self.entries {
            let offset = arena.len();
            arena.extend_from_slice(&self.arena[entry.offset..entry.offset + entry.len as usize]);
            entry.offset = offset;
        }
        self.arena = arena;
        if let Some(last) = self.entries.last() {
            // An equal key that comes later is behind it.
            self.hopeless = Some(key_of(&self.arena, last).to_vec());
        }
    }

    /// The items in order; equal ones as they came.
    pub fn finish(mut self) -> Result<Sorted> {
        sort(&self.arena, &mut self.entries);
        let left = self.wanted.unwrap_or(usize::MAX);
        let source = match self.file {
            None => Source::Memory {
                arena: self.arena,
                entries: self.entries,
                next: 0,
            },
            Some(_) => {
                if !self.entries.is_empty() {
                    self.write_run()?;
                }
                // Empty vectors take no memory.
                (self.arena, self.entries) = (Vec::new(), Vec::new());
                Source::Runs(Merge::new(self.file, &self.runs, self.memory.run_bytes())?)
            }
        };
        Ok(Sorted { source, left })
    }
}

fn prefix_of(key: &[u8]) -> u64 {
    let mut prefix = [0; 8];
    let length = key.len().min(8);
    prefix[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(prefix)
}

fn key_of<'a>(arena: &'a [u8], entry: &Entry) -> &'a [u8] {
    &arena[entry.offset..entry.offset + entry.key_len as usize]
}

fn sort(arena: &[u8], entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        a.prefix
            .cmp(&b.prefix)
            .then_with(|| key_of(arena, a).cmp(key_of(arena, b)))
    });
}

/// Sorted items, given one after the other.
#[derive(Debug)]
pub struct Sorted {
    source: Source,
    /// How many may still be given.
    left: usize,
}

#[derive(Debug)]
enum Source {
    Memory {
        arena: Vec<u8>,
        entries: Vec<Entry>,
        next: usize,
    },
    Runs(Merge),
}

impl Sorted {
    /// The next item, key and payload, which stays the next until [`Self::pop`].
    pub fn front(&self) -> Option<(&[u8], &[u8])> {
        if self.left == 0 {
            return None;
        }
        match &self.source {
            Source::Memory {
                arena,
                entries,
                next,
            } => entries.get(*next).map(|entry| {
                arena[entry.offset..entry.offset + entry.len as usize]
                    .split_at(entry.key_len as usize)
            }),
            Source::Runs(merge) => merge.front(),
        }
    }

    /// Goes on to the next item.
    pub fn pop(&mut self) -> Result<()> {
        self.left = self.left.saturating_sub(1);
        match &mut self.source {
            Source::Memory { next, .. } => {
                *next += 1;
                Ok(())
            }
            Source::Runs(merge) => merge.pop(),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.front().is_none()
    }
}

/// Sorted runs of a file, merged.
#[derive(Debug)]
struct Merge {
    file: Option<SpillFile>,
    runs: Vec<Run>,
    /// The next key of each run that has one, and the run; of equal keys the earliest run first.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    read_ahead: usize,
}

/// A run that is being read.
#[derive(Debug)]
struct Run {
    /// What was not read yet.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    payload: Vec<u8>,
}

impl Merge {
    fn new(file: Option<SpillFile>, ends: &[u64], memory_bytes: usize) -> Result<Self> {
        let (most, least) = READ_AHEAD_BYTES;
        let mut merge = Self {
            file,
            runs: Vec::with_capacity(ends.len()),
            heads: BinaryHeap::with_capacity(ends.len()),
            read_ahead: (memory_bytes / ends.len().max(1)).clamp(least, most),
        };
        let mut start = 0;
        for &end in ends {
            merge.runs.push(Run {
                at: start,
                end,
                buffer: Vec::new(),
                used: 0,
                payload: Vec::new(),
            });
            start = end;
        }
        for run in 0..ends.len() {
            merge.advance(run, Vec::new())?;
        }
        Ok(merge)
    }

    fn front(&self) -> Option<(&[u8], &[u8])> {
        let Reverse((key, run)) = self.heads.peek()?;
        Some((key, &self.runs[*run].payload))
    }

    fn pop(&mut self) -> Result<()> {
        match self.heads.pop() {
            Some(Reverse((key, run))) => self.advance(run, key),
            None => Ok(()),
        }
    }

    /// Reads the run's next item; `key` is memory to be used again.
    fn advance(&mut self, index: usize, mut key: Vec<u8>) -> Result<()> {
        let (Some(file), run) = (&self.file, &mut self.runs[index]) else {
            return Ok(());
        };
        if run.at >= run.end && run.used >= run.buffer.len() {
            *run = Run {
                buffer: Vec::new(),
                payload: Vec::new(),
                ..*run
            };
            return Ok(());
        }
        let header = run.take(file, 8, self.read_ahead)?;
        let length =
            |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let (key_len, len) = (length(&header[..4]), length(&header[4..]));
        key.clear();
        key.extend_from_slice(run.take(file, key_len, self.read_ahead)?);
        let mut payload = std::mem::take(&mut run.payload);
        payload.clear();
        payload.extend_from_slice(run.take(file, len - key_len, self.read_ahead)?);
        run.payload = payload;
        self.heads.push(Reverse((key, index)));
        Ok(())
    }
}

impl Run {
    /// The next `length` bytes, which there are.
    fn take(&mut self, file: &SpillFile, length: usize, read_ahead: usize) -> Result<&[u8]> {
        if self.buffer.len() - self.used < length {
            self.buffer.drain(..self.used);
            self.used = 0;
            let have = self.buffer.len();
            let more = (self.end - self.at).min(read_ahead.max(length - have) as u64) as usize;
            self.buffer.resize(have + more, 0);
            file.read_at(self.at, &mut self.buffer[have..])?;
            self.at += more as u64;
        }
        let start = self.used;
        self.used += length;
        Ok(&self.buffer[start..self.used])
    }
}
