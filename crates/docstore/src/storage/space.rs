//! Room on the disk that is kept back, so that a full disk can be cleared.
//!
//! A delete needs room too: it goes through the log. So some room is taken by a file of zeros from
//! the start. When a write that frees something finds the disk full, the file is given up; until
//! there is room to make it again, only such writes are let through.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{bail, error::Result};

/// The file.
const FILE: &str = "reserve";
/// What older versions kept for opening; shared memory of the log is no file any more.
const FORMER_FILE: &str = "reserve.open";
/// How often it is tried to make the file again.
const RETRY: Duration = Duration::from_millis(250);

/// The reserve.
#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The reserve was given up: when it was last tried to make it again.
    given_up: Option<Instant>,
}

impl Space {
    /// Makes the reserve, if there is room.
    pub(super) fn open(dir: &Path, bytes: u64) -> Self {
        // Mostly there is none.
        let _ = std::fs::remove_file(dir.join(FORMER_FILE));
        let space = Self {
            path: dir.join(FILE),
            bytes,
            state: Mutex::default(),
        };
        let there = std::fs::metadata(&space.path).map_or(0, |meta| meta.len());
        if there < bytes && space.make().is_err() {
            tracing::error!("the disk is full: nothing but deletes is let through");
            space.state.lock().given_up = Some(Instant::now());
        }
        space
    }

    /// Takes the room; all of it or nothing.
    fn make(&self) -> io::Result<()> {
        let done = self.write_zeros();
        if done.is_err() {
            self.empty();
        }
        done
    }

    fn write_zeros(&self) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)?;
        let zeros = vec![0; 1 << 16];
        let mut left = self.bytes;
        while left > 0 {
            let piece = usize::try_from(left.min(zeros.len() as u64)).unwrap_or(zeros.len());
            file.write_all(&zeros[..piece])?;
            left -= piece as u64;
        }
        Ok(())
    }

    fn empty(&self) {
        let emptied = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.set_len(0));
        if let Err(error) = emptied
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(error = %error, "the reserve could not be given up");
        }
    }

    /// Gives the reserve up; false where it is already.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.state.lock();
        if state.given_up.is_some() {
            return false;
        }
        tracing::error!("the disk is full: nothing but deletes is let through");
        state.given_up = Some(Instant::now());
        self.empty();
        true
    }

    /// Whether the reserve is given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.state.lock().given_up.is_some()
    }

    /// Before a write that may need room: fails as long as there is none for the reserve.
    pub(super) fn admit(&self) -> Result<()> {
        let mut state = self.state.lock();
        let Some(tried) = state.given_up else {
            return Ok(());
        };
        if tried.elapsed() >= RETRY {
            if self.make().is_ok() {
                tracing::info!("there is room on the disk again");
                state.given_up = None;
                return Ok(());
            }
            state.given_up = Some(Instant::now());
        }
        bail!(
            OutOfDiskSpace,
            "storage: the disk is full; delete something, or make room on it"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_given_up_once_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let space = Space::open(dir.path(), 100_000);
        let size = || std::fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert_eq!(size(), 100_000);
        space.admit().unwrap();
        assert!(space.give_up());
        assert!(!space.give_up());
        assert_eq!(size(), 0);
        assert_eq!(space.admit().unwrap_err().code, 14031);
        let until = Instant::now() + Duration::from_secs(20);
        while space.admit().is_err() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(size(), 100_000);
    }
}
