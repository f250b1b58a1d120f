//! What a worker gives up before any plugin's code runs, in a fixed order; once given up nothing returns.
//!
//! Environment, parent, session and descriptors are dealt with when the process starts; then limits,
//! namespaces, the file system (Landlock), and system calls (seccomp) last, as the steps before
//! need some. What a kernel cannot do is said, limit by limit, and not passed over.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};

mod landlock;
mod namespaces;
mod seccomp;

/// Mapped besides the memory that counts: stacks of threads, most of which is never touched.
const STACKS_BYTES: u64 = 512 << 20;

/// What a worker may do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Confinement {
    /// Whether there is a wall around it: a plugin of its own, which the operator did not write. Without
    /// one, workers share their fate with nobody, and that is all.
    pub wall: bool,
    /// Whether it runs at all where one of these cannot be enforced.
    pub strict: bool,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Descriptors at a time.
    pub open_files: u64,
    /// Bytes of one file that it writes.
    pub file_bytes: Option<u64>,
    /// Directories that it may read, besides the interpreter's.
    pub readable: Vec<PathBuf>,
    /// The directory that it may write, and works in.
    pub writable: Option<PathBuf>,
}

/// One thing that a worker may not do, or only so much of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// Which.
    pub name: String,
    /// Whether this kernel sees to it.
    pub enforced: bool,
    /// By what; where it is not enforced, why.
    pub by: String,
}

impl Enforced {
    pub(crate) fn by(name: &str, by: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            enforced: true,
            by: by.into(),
        }
    }

    fn not(name: &str, why: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            enforced: false,
            by: why.into(),
        }
    }
}

/// Closes whatever the gateway may have left open for its children, but for the standard streams.
#[allow(unsafe_code, reason = "one system call")]
pub(crate) fn close_inherited() {
    // SAFETY: called first of all: nothing in this process owns a descriptor yet. A kernel without the
    // call leaves what is marked to be closed anyway.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

/// Ends with the gateway, in a session of its own, with the standard streams and the link alone.
///
/// # Errors
/// Where the gateway is gone already.
pub(crate) fn follow_parent(parent: u32) -> Result<(), String> {
    die_with_parent().map_err(|error| format!("no parent-death signal: {error}"))?;
    let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if u32::try_from(now) != Ok(parent) {
        return Err("the gateway is gone".into());
    }
    // Refused to the leader of a session, who has one.
    rustix::process::setsid().ok();
    Ok(())
}

fn die_with_parent() -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

/// Applies it all. Called while the process has one thread.
///
/// # Errors
/// Where a limit that every kernel has is refused.
pub(crate) fn apply(
    confinement: &Confinement,
    interpreter: &[PathBuf],
) -> Result<Vec<Enforced>, String> {
    let mut all = limits(confinement).map_err(|error| format!("a limit was refused: {error}"))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("no_new_privs: {error}"))?;
    all.push(Enforced::by("privileges", "no_new_privs"));
    if !confinement.wall {
        return Ok(all);
    }
    let writable = confinement.writable.as_deref();
    let namespaces = namespaces::leave(writable);
    let mounted = namespaces
        .iter()
        .find(|each| each.name == "read_only_mounts");
    let metadata_is_open = !mounted.is_some_and(|each| each.enforced);
    all.extend(namespaces);
    if let Some(dir) = writable {
        // Where temporary files go that no other place is left for.
        std::env::set_current_dir(dir)
            .map_err(|error| format!("{} cannot be used: {error}", dir.display()))?;
    }
    // A change of credentials takes it away.
    die_with_parent().map_err(|error| format!("no parent-death signal: {error}"))?;
    let paths = Paths {
        readable: interpreter.iter().chain(&confinement.readable),
        writable,
    };
    all.extend(landlock::restrict(paths));
    all.extend(seccomp::restrict(metadata_is_open));
    if let Some(lacking) = all.iter().find(|each| confinement.strict && !each.enforced) {
        return Err(format!(
            "ISOLATION_UNAVAILABLE: {} cannot be enforced here: {}",
            lacking.name, lacking.by
        ));
    }
    Ok(all)
}

/// What may be read, and written.
struct Paths<'a, I: Iterator<Item = &'a PathBuf>> {
    readable: I,
    writable: Option<&'a Path>,
}

fn limits(confinement: &Confinement) -> rustix::io::Result<Vec<Enforced>> {
    let limit = |resource, value: u64| {
        let most = rustix::process::getrlimit(resource).maximum;
        let value = Some(most.map_or(value, |most| most.min(value)));
        setrlimit(
            resource,
            Rlimit {
                current: value,
                maximum: value,
            },
        )
    };
    let mut all = Vec::new();
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, confinement.open_files)?;
    all.push(Enforced::by("open_files", "RLIMIT_NOFILE"));
    if let Some(bytes) = confinement.memory_bytes {
        let now = data_bytes().unwrap_or(0);
        limit(Resource::Data, now + bytes + STACKS_BYTES)?;
        all.push(Enforced::by(
            "memory",
            "RLIMIT_DATA and a look at what is resident",
        ));
    }
    if let Some(bytes) = confinement.file_bytes {
        limit(Resource::Fsize, bytes)?;
        take_too_large_files_as_errors();
        all.push(Enforced::by("file_size", "RLIMIT_FSIZE"));
    }
    Ok(all)
}

/// A write over the limit is an error of that write, and not the end of the process.
#[allow(unsafe_code, reason = "a signal's disposition")]
fn take_too_large_files_as_errors() {
    // SAFETY: a signal that is ignored has no handler that could do harm.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// What the process has mapped to write.
fn data_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(5)?.trim().parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
