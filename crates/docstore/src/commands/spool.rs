//! Results that wait to be fetched: in memory up to a limit, beyond it in a file without a name.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{BufReader, BufWriter, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    error::{Code, CommandError, Result},
    storage::scan::Flow,
};

/// Bytes that are kept in memory.
const MEMORY_BYTES: usize = 4 << 20;

static FILES: AtomicU64 = AtomicU64::new(0);

/// First in, first out.
#[derive(Debug, Default)]
pub struct Spool {
    memory: VecDeque<Vec<u8>>,
    memory_bytes: usize,
    writer: Option<BufWriter<File>>,
    reader: Option<BufReader<File>>,
    /// Documents in the file that were not read yet.
    in_file: u64,
}

impl Spool {
    /// Adds a document. `dir` is where a file would be made.
    pub fn push(&mut self, dir: &Path, bytes: Vec<u8>) -> Result<()> {
        if self.writer.is_none() && self.memory_bytes + bytes.len() <= MEMORY_BYTES {
            self.memory_bytes += bytes.len();
            self.memory.push_back(bytes);
            return Ok(());
        }
        self.push_to_file(dir, &bytes)
            .map_err(|error| failed(&error))
    }

    fn push_to_file(&mut self, dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
        if self.writer.is_none() {
            self.writer = Some(BufWriter::new(unnamed_file(dir)?));
        }
        if let Some(writer) = &mut self.writer {
            writer.write_all(bytes)?;
            self.in_file += 1;
        }
        Ok(())
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.in_file == 0
    }

    /// Gives documents until `emit` stops or none is left.
    pub fn drain(&mut self, emit: &mut dyn FnMut(&[u8]) -> Result<Flow>) -> Result<()> {
        loop {
            if self.memory.is_empty() {
                match self.read_from_file().map_err(|error| failed(&error))? {
                    Some(bytes) => self.memory.push_back(bytes),
                    None => return Ok(()),
                }
            }
            let Some(bytes) = self.memory.front() else {
                return Ok(());
            };
            match emit(bytes)? {
                Flow::StopBefore => return Ok(()),
                Flow::Stop => {
                    self.memory.pop_front();
                    return Ok(());
                }
                Flow::Continue => {
                    self.memory.pop_front();
                }
            }
        }
    }

    fn read_from_file(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if self.in_file == 0 {
            return Ok(None);
        }
        if let Some(writer) = self.writer.take() {
            let mut file = writer
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            file.rewind()?;
            self.reader = Some(BufReader::new(file));
        }
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        bytes[..4].copy_from_slice(&length);
        reader.read_exact(&mut bytes[4..])?;
        self.in_file -= 1;
        Ok(Some(bytes))
    }
}

/// A file that goes away with its handle, however the process ends.
fn unnamed_file(dir: &Path) -> std::io::Result<File> {
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("spool-{}-{number}", std::process::id()));
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
        std::io::ErrorKind::StorageFull => Code::OutOfDiskSpace,
        _ => Code::InternalError,
    };
    CommandError::new(code, format!("spooling results: {error}"))
}
