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
    let mut command = start(PYTHON.get());
    command.arg(name).env("LANG", "C.UTF-8");
    command
}

/// What changes when the program does: its version, and when its files were written.
pub fn stamp() -> String {
    let files = match PYTHON.get() {
        Some((python, script)) => vec![python.clone(), script.clone()],
        None => vec![PathBuf::from("/proc/self/exe")],
    };
    let written = files.iter().map(|file| {
        let file = std::fs::metadata(file).ok()?;
        Some((file.len(), file.modified().ok()?))
    });
    let written: Vec<_> = written.collect();
    format!("{} {written:?}", env!("CARGO_PKG_VERSION"))
}

fn start(python: Option<&(PathBuf, PathBuf)>) -> Command {
    let Some((python, script)) = python else {
        // The same program, also where its file has been replaced since.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("mozaiks").env_clear();
        return command;
    };
    // By its path: a module would be looked for where the gateway happens to have been started.
    let mut command = Command::new(python);
    command.arg("-B").arg(script).env_clear();
    command.envs(OF_PYTHON.iter().filter_map(of_environment));
    command
}

fn of_environment(name: &&'static str) -> Option<(&'static str, OsString)> {
    Some((*name, std::env::var_os(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_starts_itself_and_python_the_script() {
        let words = |command: &Command| -> Vec<OsString> {
            let program = command.get_program().to_owned();
            let arguments = command.get_args().map(ToOwned::to_owned);
            std::iter::once(program).chain(arguments).collect()
        };
        assert_eq!(words(&start(None)), ["/proc/self/exe"]);
        let python = ("/venv/bin/python".into(), "/venv/lib/main.py".into());
        let command = start(Some(&python));
        assert_eq!(
            words(&command),
            ["/venv/bin/python", "-B", "/venv/lib/main.py"]
        );
        // What is named is all that a process is given of this one's environment.
        assert!(
            command
                .get_envs()
                .all(|(name, _)| { OF_PYTHON.iter().any(|known| name == *known) })
        );
    }
}
