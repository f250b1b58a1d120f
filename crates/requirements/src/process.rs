//! A program that is run to its end, or to the end of its time, with what it says.

use std::{
    ffi::OsString,
    io::{self, PipeReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

/// Bytes of what a program says that are kept; what comes before the last ones is left out.
const KEPT_BYTES: usize = 256 * 1024;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// What an interpreter may need to start.
const OF_PYTHON: [&str; 2] = ["LD_LIBRARY_PATH", "PYTHONHOME"];

/// How it ended.
pub(crate) struct Ended {
    /// `None` where it did not end in time.
    pub succeeded: Option<bool>,
    /// What it said, on both of its streams.
    pub text: String,
}

/// Variables of this process that any interpreter is given.
pub(crate) fn of_python() -> impl Iterator<Item = (&'static str, OsString)> {
    OF_PYTHON
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// Runs a program until that moment; then it is killed with all it has started.
pub(crate) fn run(mut command: Command, end: Instant) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    end_with_parent(&mut command);
    let child = command.spawn()?;
    // Its ends of the pipe: only the program's own are left.
    drop(command);
    let reading = std::thread::spawn(move || read(reader));
    let succeeded = wait(child, end)?;
    let text = reading.join().unwrap_or_default();
    Ok(Ended { succeeded, text })
}

fn wait(mut child: Child, end: Instant) -> io::Result<Option<bool>> {
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status.success());
        }
        if Instant::now() >= end {
            break None;
        }
        // The system has no wait for one child with a limit that a thread beside others could use.
        std::thread::sleep(LOOK);
    };
    // Also what it has left behind, which would keep the pipe open. Refused where nothing is left.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    if status.is_none() {
        child.wait()?;
    }
    Ok(status)
}

fn read(mut reader: PipeReader) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 8192];
    // A stream that breaks has said what it had to say.
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > 2 * KEPT_BYTES {
            kept.drain(..kept.len() - KEPT_BYTES);
        }
    }
    kept.drain(..kept.len().saturating_sub(KEPT_BYTES));
    String::from_utf8_lossy(&kept).into_owned()
}

/// A gateway that is gone waits for nothing.
#[expect(unsafe_code, reason = "a system call between fork and exec")]
fn end_with_parent(command: &mut Command) {
    // SAFETY: one system call, which takes no lock and no memory.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_it_says_is_kept_and_how_it_ended() {
        let ended = run(shell("echo one; echo two >&2; exit 3"), later()).unwrap();
        assert_eq!((ended.succeeded, &*ended.text), (Some(false), "one\ntwo\n"));
        let ended = run(shell("true"), later()).unwrap();
        assert_eq!((ended.succeeded, &*ended.text), (Some(true), ""));
        let much = format!("yes | head -c {}; echo end", 4 * KEPT_BYTES);
        let ended = run(shell(&much), later()).unwrap();
        assert_eq!(ended.text.len(), KEPT_BYTES);
        assert!(ended.text.ends_with("end\n"));
    }

    #[test]
    fn its_time_ends_and_all_it_has_started() {
        let script = "sleep 600 & echo $!; wait";
        let ended = run(shell(script), Instant::now() + Duration::from_millis(300)).unwrap();
        assert_eq!(ended.succeeded, None);
        // It has said who it started: that one goes too.
        let child = ended.text.trim();
        let lives = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat"));
            state.is_ok_and(|state| !state.contains(") Z "))
        };
        let limit = later();
        while lives() {
            assert!(Instant::now() < limit, "{child} lives");
            std::thread::yield_now();
        }
        // What is left behind does not keep it waiting.
        let ended = run(shell("sleep 600 & true"), later()).unwrap();
        assert_eq!(ended.succeeded, Some(true));
    }
}
