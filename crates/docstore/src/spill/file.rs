//! A file without a name: written from start to end, read anywhere.

use std::{
    fs::{File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{FileExt, OpenOptionsExt},
    sync::{Arc, atomic::Ordering},
};

use super::SpillSpace;
use crate::error::{Code, CommandError, Result};

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 256 << 10;

/// A file that goes away with its handle.
#[derive(Debug)]
pub struct SpillFile {
    file: File,
    space: Arc<SpillSpace>,
    /// Written, and counted in the space.
    written: u64,
    /// Not written yet.
    pending: Vec<u8>,
}

impl SpillFile {
    /// Makes one, mode 0600.
    pub fn new(space: &Arc<SpillSpace>) -> Result<Self> {
        Ok(Self {
            file: unnamed_file(space).map_err(|error| failed(&error))?,
            space: Arc::clone(space),
            written: 0,
            pending: Vec::new(),
        })
    }

    /// Bytes so far; what is appended next begins here.
    pub fn len(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is pending.
    pub fn flush(&mut self) -> Result<()> {
        let bytes = self.pending.len() as u64;
        if bytes == 0 {
            return Ok(());
        }
        self.space.take(bytes)?;
        if let Err(error) = self.file.write_all_at(&self.pending, self.written) {
            self.space.give_back(bytes);
            return Err(failed(&error));
        }
        self.written += bytes;
        self.pending.clear();
        Ok(())
    }

    /// Reads exactly what `buffer` takes, from `offset` on.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let in_file = self.written.saturating_sub(offset).min(buffer.len() as u64);
        let (from_file, from_pending) = buffer.split_at_mut(in_file as usize);
        self.file
            .read_exact_at(from_file, offset)
            .map_err(|error| failed(&error))?;
        if from_pending.is_empty() {
            return Ok(());
        }
        let start = (offset + in_file - self.written) as usize;
        match self.pending.get(start..start + from_pending.len()) {
            Some(bytes) => from_pending.copy_from_slice(bytes),
            None => return Err(failed(&ErrorKind::UnexpectedEof.into())),
        }
        Ok(())
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.space.give_back(self.written);
    }
}

fn unnamed_file(space: &SpillSpace) -> std::io::Result<File> {
    let number = space.files.fetch_add(1, Ordering::Relaxed);
    let path = space
        .dir
        .join(format!("spill-{}-{number}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn failed(error: &std::io::Error) -> CommandError {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::OutOfDiskSpace,
        _ => Code::InternalError,
    };
    CommandError::new(code, format!("spilling to disk: {error}"))
}
