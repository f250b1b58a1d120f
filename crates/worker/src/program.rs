//! The program that this process runs, started once more: for a worker, for the embedded store.

use std::{
    ffi::OsString, os::unix::process::CommandExt as _, path::PathBuf, process::Command,
    sync::OnceLock,
};

/// How Python is started, and with what, where it runs this process.
static PYTHON: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();

/// What an interpreter may need to start, or to find its packages: the one started has them as this one had.
const OF_PYTHON: [&str; 5] = [
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "PYTHONPATH",
    "PYTHONUSERBASE",
];

/// Says that Python runs this process: further ones are `python script …`. Once, before any is started.
pub fn started_by(python: PathBuf, script: PathBuf) {
    // Said once, by the start of the process.
    drop(PYTHON.set((python, script)));
}

/// Starts one of the program's own commands, with nothing of this process's environment that it does not need.
pub fn command(name: &str) -> Command {
    let mut command = match PYTHON.get() {
        // A script's folder, unlike a module's, is not where the gateway happens to have been started.
        Some((python, script)) => {
            let mut command = Command::new(python);
            command.arg("-B").arg(script).env_clear();
            command.envs(OF_PYTHON.iter().filter_map(of_environment));
            command
        }
        // The same program, also where its file has been replaced since.
        None => {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("mozaiks").env_clear();
            command
        }
    };
    command.arg(name).env("LANG", "C.UTF-8");
    command
}

fn of_environment(name: &&'static str) -> Option<(&'static str, OsString)> {
    Some((*name, std::env::var_os(name)?))
}
