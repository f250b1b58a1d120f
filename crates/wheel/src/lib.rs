//! The gateway as an extension module: the same commands, on the Python that has imported it.
//!
//! `mozaiks_gateway/_launch.py` is the only caller. Neither function returns: like the binary's `main` they
//! end the process, as CPython is never finalised while threads of plugins may be in it.

use std::{ffi::OsString, panic::AssertUnwindSafe, path::PathBuf, process::exit};

use mozaiks_gateway::cli;
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As a Rust program that has panicked.
const EXIT_PANICKED: i32 = 101;

/// Runs one command of `mozaiks` and ends the process with its exit code.
///
/// Args:
///     python: The interpreter that runs, as it is started.
///     script: What it is started with for another process of the gateway.
///     arguments: The command line; the first is the program's name.
#[pyfunction]
fn mozaiks(py: Python<'_>, python: PathBuf, script: PathBuf, arguments: Vec<OsString>) {
    end_with(py, || cli::main_in_python(python, script, arguments));
}

/// Runs the embedded store as a program of its own and ends the process with its exit code.
///
/// Args:
///     arguments: The command line; the first is the program's name.
#[pyfunction]
fn docstore(py: Python<'_>, arguments: Vec<OsString>) {
    end_with(py, || cli::docstore(arguments));
}

fn end_with(py: Python<'_>, command: impl FnOnce() -> u8 + Send) {
    // Threads of plugins need the interpreter's lock.
    py.detach(|| {
        // Nothing is looked at after a panic.
        let command = AssertUnwindSafe(command);
        exit(std::panic::catch_unwind(command).map_or(EXIT_PANICKED, i32::from))
    })
}

#[pymodule]
fn _gateway(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(mozaiks, module)?)?;
    module.add_function(wrap_pyfunction!(docstore, module)?)
}
