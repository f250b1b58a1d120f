//! One owner's files: every path is opened from its directory on, by the kernel and in one step.

use std::{
    collections::BTreeSet,
    fs::{DirBuilder, File},
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat as Raw},
    io::Errno,
};

use super::{Change, ENTRY_BYTES, FilePath, FilesError, Kind, Page, Stat};

/// Directories in each other that are walked; a plugin's own calls make fewer.
const MAX_WALKED_DEPTH: usize = 64;
/// Names that are taken from a directory before they are removed.
const REMOVED_AT_ONCE: usize = 1024;

type Result<T> = std::result::Result<T, FilesError>;

/// The directory of one owner, with what is being written beside it.
pub(super) struct Tree {
    data: OwnedFd,
    /// On the same file system: what is whole is moved from here.
    unfinished: OwnedFd,
    next: AtomicU64,
}

impl Tree {
    /// Opens it, or makes it, and takes away what a process before has not finished.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let make = |name: &str| {
            let dir = dir.join(name);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.map_err(FilesError::Io)?;
            rustix::fs::open(&dir, directory(), Mode::empty())
                .map_err(|errno| failed(errno, "the plugin's directory"))
        };
        let tree = Self {
            data: make("data")?,
            unfinished: make("unfinished")?,
            next: AtomicU64::new(0),
        };
        let mut freed = 0;
        remove_all(tree.unfinished.as_fd(), MAX_WALKED_DEPTH, &mut freed)?;
        Ok(tree)
    }

    /// Whether somebody has taken the directory away.
    pub(super) fn is_gone(&self) -> bool {
        rustix::fs::fstat(&self.data).is_ok_and(|stat| stat.st_nlink == 0)
    }

    pub(super) fn read(&self, path: &FilePath, limit: u64) -> Result<Bytes> {
        path.split()?;
        // What is no file may keep whoever opens it waiting otherwise.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = beneath(self.data.as_fd(), path.as_str(), flags)
            .map_err(|errno| failed(errno, path.as_str()))?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| failed(errno, path.as_str()))?;
        must_be_file(&stat, path)?;
        let too_large = |bytes| FilesError::TooLarge {
            path: path.as_str().to_owned(),
            bytes,
            limit,
        };
        if size(&stat) > limit {
            return Err(too_large(size(&stat)));
        }
        let mut content = Vec::with_capacity(usize::try_from(size(&stat)).unwrap_or(0));
        let mut file = File::from(file).take(limit + 1);
        file.read_to_end(&mut content).map_err(io)?;
        if content.len() as u64 > limit {
            return Err(too_large(content.len() as u64));
        }
        Ok(content.into())
    }

    pub(super) fn write(&self, path: &FilePath, content: &[u8]) -> Result<Change> {
        let (above, name) = path.split()?;
        let above = self.directory(above, true)?;
        let before = file_at(above.as_fd(), name, path)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{}-{number}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.unfinished, &*unfinished, flags, mode())
            .map_err(|errno| failed(errno, path.as_str()))?;
        let mut file = File::from(file);
        // Whole on the disk before it has the name.
        let written = file.write_all(content).and_then(|()| file.sync_data());
        let moved = written.map_err(io).and_then(|()| {
            rustix::fs::renameat(&self.unfinished, &*unfinished, &above, name)
                .map_err(|errno| failed(errno, path.as_str()))
        });
        if let Err(error) = moved {
            rustix::fs::unlinkat(&self.unfinished, &*unfinished, AtFlags::empty()).ok();
            return Err(error);
        }
        Ok(Change {
            existed: before.is_some(),
            freed: before.map_or(0, |before| size(&before) + ENTRY_BYTES),
        })
    }

    pub(super) fn append(&self, path: &FilePath, content: &[u8], limit: u64) -> Result<Change> {
        let (above, name) = path.split()?;
        let above = self.directory(above, true)?;
        let before = file_at(above.as_fd(), name, path)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK;
        let file =
            beneath(above.as_fd(), name, flags).map_err(|errno| failed(errno, path.as_str()))?;
        let now = rustix::fs::fstat(&file).map_err(|errno| failed(errno, path.as_str()))?;
        must_be_file(&now, path)?;
        let bytes = size(&now) + content.len() as u64;
        if bytes > limit {
            return Err(FilesError::TooLarge {
                path: path.as_str().to_owned(),
                bytes,
                limit,
            });
        }
        File::from(file).write_all(content).map_err(io)?;
        Ok(Change {
            existed: before.is_some(),
            freed: before.map_or(0, |_| ENTRY_BYTES),
        })
    }

    pub(super) fn delete(&self, path: &FilePath, recursive: bool) -> Result<Change> {
        let (above, name) = path.split()?;
        let above = match self.directory(above, false) {
            Err(FilesError::NotFound(_)) => return Ok(Change::default()),
            other => other?,
        };
        let Some(stat) = known_at(above.as_fd(), name, path)? else {
            return Ok(Change::default());
        };
        let mut freed = ENTRY_BYTES;
        let flags = if is_directory(&stat) {
            if recursive {
                let inner = beneath(above.as_fd(), name, directory())
                    .map_err(|errno| failed(errno, path.as_str()))?;
                remove_all(inner.as_fd(), MAX_WALKED_DEPTH, &mut freed)?;
            }
            AtFlags::REMOVEDIR
        } else {
            freed += size(&stat);
            AtFlags::empty()
        };
        rustix::fs::unlinkat(&above, name, flags).map_err(|errno| failed(errno, path.as_str()))?;
        Ok(Change {
            existed: true,
            freed,
        })
    }

    pub(super) fn list(&self, path: &FilePath, limit: usize, cursor: Option<&str>) -> Result<Page> {
        let dir = beneath(self.data.as_fd(), path.as_str(), directory())
            .map_err(|errno| failed(errno, path.as_str()))?;
        let mut names = BTreeSet::new();
        each_name(dir.as_fd(), |name| {
            // One more than are shown tells whether there are more.
            if cursor.is_none_or(|cursor| name > cursor)
                && names.insert(name.to_owned())
                && names.len() > limit + 1
            {
                names.pop_last();
            }
            true
        })?;
        let is_all = names.len() <= limit;
        let mut last = None;
        let mut items = Vec::new();
        for name in names.into_iter().take(limit) {
            // What went meanwhile, and what is neither a file nor a directory, is not there.
            if let Some(stat) = look(dir.as_fd(), &name)? {
                items.extend(view(&name, path.child(&name), &stat));
            }
            last = Some(name);
        }
        Ok(Page {
            items,
            next_cursor: last.filter(|_| !is_all),
        })
    }

    pub(super) fn stat(&self, path: &FilePath) -> Result<Option<Stat>> {
        if path.is_root() {
            let stat = rustix::fs::fstat(&self.data).map_err(|errno| failed(errno, "."))?;
            return Ok(view(".", ".".into(), &stat));
        }
        let (above, name) = path.split()?;
        let above = match self.directory(above, false) {
            Err(FilesError::NotFound(_) | FilesError::Conflict(_)) => return Ok(None),
            other => other?,
        };
        let stat = known_at(above.as_fd(), name, path)?;
        Ok(stat.and_then(|stat| view(name, path.as_str().to_owned(), &stat)))
    }

    pub(super) fn make_directory(&self, path: &FilePath) -> Result<Change> {
        let existed = self.stat(path)?.is_some();
        self.directory(path.as_str(), true)?;
        Ok(Change {
            existed,
            freed: if existed { ENTRY_BYTES } else { 0 },
        })
    }

    pub(super) fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        add_up(self.data.as_fd(), MAX_WALKED_DEPTH, &mut bytes)?;
        Ok(bytes)
    }

    /// A directory as a place to start from; made with those above it where that is wanted.
    fn directory(&self, path: &str, make: bool) -> Result<OwnedFd> {
        let place = OFlags::PATH | OFlags::DIRECTORY;
        match beneath(self.data.as_fd(), path, place) {
            Ok(found) => return Ok(found),
            Err(Errno::NOENT) if make => {}
            Err(errno) => return Err(failed(errno, path)),
        }
        let mut here: Option<OwnedFd> = None;
        for part in path.split('/') {
            let from = here.as_ref().map_or(self.data.as_fd(), |fd| fd.as_fd());
            match rustix::fs::mkdirat(from, part, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno, path)),
            }
            here = Some(beneath(from, part, place).map_err(|errno| failed(errno, path))?);
        }
        here.ok_or_else(|| FilesError::NotFound(path.to_owned()))
    }
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn mode() -> Mode {
    Mode::RUSR | Mode::WUSR
}

/// Opens a path from a directory on; a link anywhere in it, its end included, is an error.
fn beneath(from: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mode = if flags.contains(OFlags::CREATE) {
        mode()
    } else {
        Mode::empty()
    };
    rustix::fs::openat2(from, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// What has a name in a directory, links included.
fn look(from: BorrowedFd<'_>, name: &str) -> Result<Option<Raw>> {
    match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(errno, name)),
    }
}

/// As [`look`]; what is neither a file nor a directory is an error.
fn known_at(from: BorrowedFd<'_>, name: &str, path: &FilePath) -> Result<Option<Raw>> {
    let found = look(from, name)?;
    match &found {
        Some(stat) if kind(stat).is_none() => Err(FilesError::Outside(path.as_str().to_owned())),
        _ => Ok(found),
    }
}

/// As [`known_at`]; a directory is an error too.
fn file_at(from: BorrowedFd<'_>, name: &str, path: &FilePath) -> Result<Option<Raw>> {
    let found = known_at(from, name, path)?;
    if let Some(stat) = &found {
        must_be_file(stat, path)?;
    }
    Ok(found)
}

fn must_be_file(stat: &Raw, path: &FilePath) -> Result<()> {
    match kind(stat) {
        Some(Kind::File) => Ok(()),
        Some(Kind::Directory) => Err(FilesError::Conflict(format!(
            "{:?} is a directory",
            path.as_str()
        ))),
        None => Err(FilesError::Outside(path.as_str().to_owned())),
    }
}

fn kind(stat: &Raw) -> Option<Kind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Directory),
        _ => None,
    }
}

fn is_directory(stat: &Raw) -> bool {
    kind(stat) == Some(Kind::Directory)
}

fn size(stat: &Raw) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn view(name: &str, path: String, stat: &Raw) -> Option<Stat> {
    let kind = kind(stat)?;
    Some(Stat {
        name: name.to_owned(),
        path,
        kind,
        size: match kind {
            Kind::File => size(stat),
            Kind::Directory => 0,
        },
        modified_at: stat.st_mtime,
    })
}

/// Calls `with` for each name that is text, until it says `false`.
fn each_name(dir: BorrowedFd<'_>, mut with: impl FnMut(&str) -> bool) -> Result<()> {
    let entries = Dir::read_from(dir).map_err(|errno| failed(errno, "a directory"))?;
    for entry in entries {
        let entry = entry.map_err(|errno| failed(errno, "a directory"))?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) if with(name) => {}
            Ok(_) => return Ok(()),
        }
    }
    Ok(())
}

fn add_up(dir: BorrowedFd<'_>, depth: usize, bytes: &mut u64) -> Result<()> {
    let mut below = Vec::new();
    let mut wrong = None;
    each_name(dir, |name| {
        match look(dir, name) {
            Ok(Some(stat)) => {
                *bytes += ENTRY_BYTES;
                if is_directory(&stat) {
                    below.push(name.to_owned());
                } else {
                    *bytes += size(&stat);
                }
            }
            Ok(None) => {}
            Err(error) => wrong = Some(error),
        }
        wrong.is_none()
    })?;
    if let Some(error) = wrong {
        return Err(error);
    }
    if depth == 0 {
        return Ok(());
    }
    for name in below {
        match beneath(dir, &name, directory()) {
            Ok(inner) => add_up(inner.as_fd(), depth - 1, bytes)?,
            // It went meanwhile, or is something else by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(failed(errno, &name)),
        }
    }
    Ok(())
}

/// Takes away all that is in a directory, and adds what it counted to `freed`.
fn remove_all(dir: BorrowedFd<'_>, depth: usize, freed: &mut u64) -> Result<()> {
    loop {
        let mut names = Vec::new();
        each_name(dir, |name| {
            names.push(name.to_owned());
            names.len() < REMOVED_AT_ONCE
        })?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let Some(stat) = look(dir, &name)? else {
                continue;
            };
            *freed += ENTRY_BYTES;
            let flags = if is_directory(&stat) {
                if depth == 0 {
                    return Err(FilesError::Conflict(
                        "too many directories in each other".into(),
                    ));
                }
                let inner =
                    beneath(dir, &name, directory()).map_err(|errno| failed(errno, &name))?;
                remove_all(inner.as_fd(), depth - 1, freed)?;
                AtFlags::REMOVEDIR
            } else {
                *freed += size(&stat);
                AtFlags::empty()
            };
            match rustix::fs::unlinkat(dir, &*name, flags) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno, &name)),
            }
        }
    }
}

fn failed(errno: Errno, path: &str) -> FilesError {
    let path = || path.to_owned();
    match errno {
        // A link; out by `..`; what is no file opened as one.
        Errno::LOOP | Errno::XDEV | Errno::NXIO => FilesError::Outside(path()),
        Errno::NOENT => FilesError::NotFound(path()),
        Errno::NOTDIR => FilesError::Conflict(format!("{:?} is no directory", path())),
        Errno::ISDIR => FilesError::Conflict(format!("{:?} is a directory", path())),
        Errno::NOTEMPTY => FilesError::Conflict(format!("{:?} is not empty", path())),
        Errno::EXIST => FilesError::Conflict(format!("{:?} is there already", path())),
        Errno::NAMETOOLONG => FilesError::Invalid(format!("{:?} is too long", path())),
        Errno::NOSPC | Errno::DQUOT => FilesError::Full,
        other => FilesError::Io(other.into()),
    }
}

fn io(error: std::io::Error) -> FilesError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT) => FilesError::Full,
        _ => FilesError::Io(error),
    }
}
