//! A process of a worker: made, ended, and its end awaited.
#![allow(unsafe_code, reason = "a descriptor is given to tokio")]

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use mozaiks_plugins::runtime::CrashReason;
use parking_lot::Mutex;
use rustix::process::{PidfdFlags, Signal};

use crate::program;
use tokio::io::unix::AsyncFd;

use crate::cgroups::Group;

/// A running process. Killed when dropped.
pub(crate) struct Process {
    pid: u32,
    /// Names the process for as long as we hold it, whatever becomes of its number.
    pidfd: AsyncFd<OwnedFd>,
    child: Mutex<Child>,
    /// Why the gateway has ended it, where it has.
    reason: Mutex<Option<CrashReason>>,
    paused: AtomicBool,
    /// Where its kernel keeps limits for it. Taken away after the process has ended.
    group: Mutex<Option<Group>>,
}

/// What a worker says on its standard streams, past the runtime.
pub(crate) type Output = (
    Option<std::process::ChildStdout>,
    Option<std::process::ChildStderr>,
);

/// Starts one; called on a thread that lives as long as this process, as the child ends with it.
pub(crate) fn spawn(link: OwnedFd) -> io::Result<Child> {
    program::command("worker")
        .env("PATH", "/usr/bin:/bin")
        // Threads of plain functions each get an arena of their own otherwise.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::from(link))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

impl Process {
    /// Takes a child over; inside tokio.
    pub(crate) fn new(mut child: Child) -> io::Result<(Self, Output)> {
        let output = (child.stdout.take(), child.stderr.take());
        let pid = child.id();
        let raw = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let pidfd = raw.ok_or(io::ErrorKind::InvalidData.into());
        let pidfd = pidfd.and_then(|raw| {
            let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::NONBLOCK)?;
            // SAFETY: the descriptor is owned, stays as it is, and is closed with its registration.
            Ok(unsafe { AsyncFd::register(pidfd) }?)
        });
        let pidfd = match pidfd {
            Ok(pidfd) => pidfd,
            Err(error) => {
                child.kill().ok();
                child.wait().ok();
                return Err(error);
            }
        };
        let process = Self {
            pid,
            pidfd,
            child: Mutex::new(child),
            reason: Mutex::default(),
            paused: AtomicBool::new(false),
            group: Mutex::default(),
        };
        Ok((process, output))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// It is in a group of its own from here on.
    pub(crate) fn join(&self, group: Group) {
        *self.group.lock() = Some(group);
    }

    /// Whether its kernel keeps a limit for it.
    pub(crate) fn is_kept(&self, limit: &str) -> bool {
        (self.group.lock().as_ref()).is_some_and(|group| group.keeps(limit))
    }

    /// Ends it now. The first reason stays.
    pub(crate) fn kill(&self, reason: CrashReason) {
        self.reason.lock().get_or_insert(reason);
        self.signal(Signal::KILL);
    }

    /// Lets it run no more, or again.
    pub(crate) fn pause(&self, pause: bool) {
        if self.paused.swap(pause, Ordering::AcqRel) != pause {
            self.signal(if pause { Signal::STOP } else { Signal::CONT });
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    fn signal(&self, signal: Signal) {
        // Refused only where it has ended.
        rustix::process::pidfd_send_signal(self.pidfd.get_ref(), signal).ok();
    }

    /// Waits for its end, and says why that was.
    pub(crate) async fn ended(&self) -> CrashReason {
        // It is readable once the process has ended; an error can only mean that it has.
        drop(self.pidfd.readable().await);
        let status = self.child.lock().wait();
        if let Some(reason) = *self.reason.lock() {
            return reason;
        }
        match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => CrashReason::Exit(code),
                (None, Some(libc::SIGKILL)) if self.has_run_out_of_memory() => CrashReason::Memory,
                (None, Some(signal)) => CrashReason::Signal(signal),
                (None, None) => CrashReason::Exit(-1),
            },
            Err(_) => CrashReason::Exit(-1),
        }
    }
}

impl Process {
    fn has_run_out_of_memory(&self) -> bool {
        (self.group.lock().as_ref()).is_some_and(Group::has_run_out_of_memory)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // It ends at once: the signal cannot be put off.
        self.child.lock().wait().ok();
    }
}
