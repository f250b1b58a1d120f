//! The secret of development mode: generated once under the data directory, for its owner alone.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use mozaiks_config::KeySource;

/// Its name under the data directory.
const FILE_NAME: &str = "dev-secret";
/// Random bytes; written as twice as many hexadecimal digits, which are the secret.
const RANDOM_BYTES: usize = 32;
/// A secret that is shorter was not made here.
const MIN_SECRET_BYTES: usize = 32;
/// A file that is longer is something else.
const MAX_FILE_BYTES: u64 = 4096;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum DevSecretError {
    /// The directory or file cannot be made or read.
    #[error("the development secret {}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others may read or write it, so it may be known or chosen by somebody else.
    #[error(
        "the development secret {} may be read by others (mode {mode:03o}); run `chmod 600` on it \
         if you trust it, or remove it and a new one is made", path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was once written there.
    #[error("the development secret {} is not a file of at least 32 bytes; remove it and a new one is made", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a development secret")]
    NoRandomness,
}

/// The development secret as a source of keys, generated if this is the first time.
///
/// Several processes may do this at once: all get the same secret.
///
/// # Errors
/// See [`DevSecretError`]; a file that others can read is refused, not repaired.
pub fn load_or_create(data_dir: &Path) -> Result<KeySource, DevSecretError> {
    let path = data_dir.join(FILE_NAME);
    let io = |error| DevSecretError::Io {
        path: path.clone(),
        error,
    };
    let secret = match read(&path)? {
        Some(secret) => secret,
        None => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(data_dir)
                .map_err(io)?;
            create(data_dir, &path)?;
            read(&path)?.ok_or_else(|| io(ErrorKind::NotFound.into()))?
        }
    };
    Ok(KeySource::Secret {
        secret,
        algorithm: "HS256".into(),
    })
}

/// Whether there is a secret that can be used; makes none.
///
/// # Errors
/// As [`load_or_create`].
pub fn exists(data_dir: &Path) -> Result<bool, DevSecretError> {
    read(&data_dir.join(FILE_NAME)).map(|secret| secret.is_some())
}

/// Reads the secret; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, DevSecretError> {
    let io = |error| DevSecretError::Io {
        path: path.to_owned(),
        error,
    };
    let damaged = || DevSecretError::Damaged {
        path: path.to_owned(),
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
        Ok(data) if !data.is_file() => return Err(damaged()),
        Ok(_) => {}
    }
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(io)?;
    let data = file.metadata().map_err(io)?;
    let mode = data.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DevSecretError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    (&mut file)
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut text)
        .map_err(io)?;
    let secret = text.trim_ascii();
    if secret.len() < MIN_SECRET_BYTES || data.len() > MAX_FILE_BYTES {
        return Err(damaged());
    }
    Ok(Some(secret.to_vec()))
}

/// Writes a new secret beside its place and links it there: whoever comes second finds the whole
/// secret of the first, never a half-written one.
fn create(data_dir: &Path, path: &Path) -> Result<(), DevSecretError> {
    let io = |error| DevSecretError::Io {
        path: path.to_owned(),
        error,
    };
    let secret = random_hex(RANDOM_BYTES)?;
    let temporary = data_dir.join(format!("{FILE_NAME}.{}", random_hex(8)?));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(secret.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let removed = fs::remove_file(&temporary);
    written.and(removed).map_err(io)
}

fn random_hex(bytes: usize) -> Result<String, DevSecretError> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| DevSecretError::NoRandomness)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
