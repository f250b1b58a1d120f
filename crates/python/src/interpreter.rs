//! Starts CPython: once in a process, signals off, never finalised.
//!
//! Only finds and configures the interpreter; it runs no plugin code.

use std::{
    ffi::{CStr, CString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use pyo3::{ffi, prelude::*, types::PyList};

use crate::inside;

/// The interpreter that the gateway was built against.
pub const BUILD_PYTHON: &str = env!("MOZAIKS_BUILD_PYTHON");
/// Its version, `3.11`.
pub const BUILD_VERSION: &str = env!("MOZAIKS_BUILD_PYTHON_VERSION");

/// A waiting thread gets the interpreter after this long. Python's own 5 ms would let one busy
/// thread take four fifths of the calls per second.
const SWITCH_INTERVAL_SECONDS: f64 = 0.0005;

/// The interpreter whose libraries this process uses; set once.
static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();

/// The interpreter whose libraries this process uses, once it has been started.
pub(super) fn running_executable() -> Option<&'static Path> {
    EXECUTABLE.get().map(PathBuf::as_path)
}

/// Starts CPython, or says how the first start in this process went.
///
/// # Errors
/// A sentence that says what is missing and what to do.
pub(super) fn initialize(configured: Option<&Path>, sdk: Option<&Path>) -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            let executable = find_executable(configured)?;
            EXECUTABLE.set(executable.clone()).ok();
            let sdk_dirs = sdk_dirs(sdk);
            // A thread of its own: whoever initialises becomes Python's main thread and keeps a
            // thread state for ever.
            std::thread::Builder::new()
                .name("mozaiks-python-init".into())
                .spawn(move || start(&executable, sdk_dirs))
                .map_err(|error| format!("cannot start a thread for Python: {error}"))?
                .join()
                .map_err(|_| "starting Python panicked".to_owned())?
        })
        .clone()
}

/// Starts CPython ahead of a runtime, with the modules that every plugin needs; no thread is left.
///
/// # Errors
/// As the start of a runtime.
pub fn prepare(
    configured: Option<&Path>,
    sdk: Option<&Path>,
    database: bool,
) -> Result<(), String> {
    initialize(configured, sdk)?;
    // The SDK may be missing, or what it needs: whoever imports it is told then.
    attach(|py| {
        for module in ["asyncio", "mozaiks.plugin._life"] {
            drop(py.import(module));
        }
        if database {
            drop(py.import("mozaiks.database"));
        }
    });
    Ok(())
}

/// Directories that the running interpreter reads: its libraries, packages and the SDK.
pub fn readable_dirs() -> Vec<PathBuf> {
    attach(|py| {
        let read = || -> PyResult<Vec<PathBuf>> {
            let sys = py.import("sys")?;
            let mut dirs: Vec<PathBuf> = sys.getattr("path")?.extract()?;
            for name in ["prefix", "exec_prefix", "base_prefix", "base_exec_prefix"] {
                dirs.push(sys.getattr(name)?.extract()?);
            }
            dirs.retain(|dir| dir.is_absolute());
            Ok(dirs)
        };
        read().unwrap_or_default()
    })
}

/// The interpreter whose packages plugins see.
fn find_executable(configured: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(running) = inside::running() {
        return refusal(configured).map_or_else(|| Ok(running.to_owned()), Err);
    }
    if let Some(path) = configured {
        return probe(path);
    }
    let venv = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let beside_cwd = std::env::current_dir().ok().map(|dir| dir.join(".venv"));
    let beside_binary = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|dir| dir.join(".venv")));
    for root in [venv, beside_cwd, beside_binary].into_iter().flatten() {
        let python = root.join("bin/python");
        if python.exists() {
            if version_of(&root).as_deref() == Some(BUILD_VERSION) {
                return Ok(python);
            }
            match probe(&python) {
                Ok(path) => return Ok(path),
                Err(reason) => tracing::warn!(python = %python.display(), reason, "python.skipped"),
            }
        }
    }
    if Path::new(BUILD_PYTHON).exists() {
        return Ok(PathBuf::from(BUILD_PYTHON));
    }
    probe(Path::new(&format!("python{BUILD_VERSION}"))).map_err(|reason| {
        format!(
            "no Python {BUILD_VERSION} found ({reason}); install it, or name its interpreter with \
             MOZAIKS_PYTHON"
        )
    })
}

/// The interpreter whose packages plugins see, as it is started by itself; it may be asked who it is.
///
/// # Errors
/// A sentence that says what is missing and what to do.
pub fn executable(configured: Option<&Path>) -> Result<PathBuf, String> {
    find_executable(configured)
}

/// Why the interpreter that is configured cannot be used: Python has started this process, and another one
/// that runs it is configured.
pub fn refusal(configured: Option<&Path>) -> Option<String> {
    let (running, configured) = (inside::running()?, configured?);
    if inside::same_environment(running, configured) {
        return None;
    }
    match probe(configured) {
        Ok(found) if inside::same_environment(running, &found) => None,
        Ok(_) => Some(format!(
            "MOZAIKS_PYTHON names {}, but this gateway is installed into the environment of {} and runs on \
             that: unset it, or install the gateway there",
            configured.display(),
            running.display()
        )),
        Err(reason) => Some(reason),
    }
}

/// The version that a virtual environment says it has, as `3.11`: read in no time, where running its
/// interpreter takes longer than all else of the start.
fn version_of(environment: &Path) -> Option<String> {
    let text = std::fs::read_to_string(environment.join("pyvenv.cfg")).ok()?;
    let version = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        // virtualenv and uv write the longer name.
        matches!(key.trim(), "version" | "version_info").then(|| value.trim())
    })?;
    let mut numbers = version.split('.');
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}

/// Asks an interpreter who it is. The answer, not the path, counts: what is on `PATH` may be a
/// version manager's shim.
fn probe(python: &Path) -> Result<PathBuf, String> {
    let shown = python.display();
    let output = Command::new(python)
        .args([
            "-I",
            "-c",
            "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)",
        ])
        .output()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or_default();
        return Err(format!(
            "{shown} does not work as a Python interpreter: {last}"
        ));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut lines = stdout.lines();
    let (version, executable) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    if version != BUILD_VERSION {
        return Err(format!(
            "{shown} is Python {version}, but this gateway was built for Python {BUILD_VERSION}"
        ));
    }
    if executable.is_empty() {
        return Err(format!("{shown} does not say where its executable is"));
    }
    Ok(PathBuf::from(executable))
}

/// Attaches this thread to Python: the only way in. Never on a thread of the I/O runtime, which would
/// hold every connection up while it waits for the interpreter.
pub(super) fn attach<F, R>(work: F) -> R
where
    F: for<'py> FnOnce(Python<'py>) -> R,
{
    debug_assert!(
        tokio::runtime::Handle::try_current().is_err(),
        "a thread of the I/O runtime attached to Python"
    );
    Python::attach(work)
}

fn start(executable: &Path, sdk_dirs: Vec<PathBuf>) -> Result<(), String> {
    let runs_already = inside::running().is_some();
    if !runs_already {
        initialize_from_config(executable)?;
    }
    let prepared = attach(|py| {
        if runs_already {
            inside::forget_removed_variables(py)?;
        }
        set_up(py, sdk_dirs)
    });
    let prepared = prepared.map_err(|error: PyErr| error.to_string());
    prepared.map_err(|error| {
        format!(
            "preparing Python at {} failed: {error}",
            executable.display()
        )
    })
}

fn initialize_from_config(executable: &Path) -> Result<(), String> {
    let path = CString::new(executable.as_os_str().as_bytes())
        .map_err(|_| "the path of the Python interpreter contains a NUL byte".to_owned())?;
    // SAFETY: the config is initialised by CPython before any field is set, cleared on every way
    // out, and CPython has not been started yet (`initialize` runs this once).
    unsafe {
        let mut config = std::mem::MaybeUninit::<ffi::PyConfig>::zeroed();
        ffi::PyConfig_InitIsolatedConfig(config.as_mut_ptr());
        let mut config = config.assume_init();
        config.install_signal_handlers = 0;
        config.write_bytecode = 0;
        config.parse_argv = 0;
        config.configure_c_stdio = 0;
        let config_ptr: *mut ffi::PyConfig = &mut config;
        let mut status = ffi::PyConfig_SetBytesString(
            config_ptr,
            &raw mut (*config_ptr).program_name,
            path.as_ptr(),
        );
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::PyConfig_SetBytesString(
                config_ptr,
                &raw mut (*config_ptr).executable,
                path.as_ptr(),
            );
        }
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::Py_InitializeFromConfig(config_ptr);
        }
        ffi::PyConfig_Clear(config_ptr);
        if ffi::PyStatus_Exception(status) != 0 {
            let message = if status.err_msg.is_null() {
                "unknown error".into()
            } else {
                CStr::from_ptr(status.err_msg).to_string_lossy()
            };
            return Err(format!(
                "Python at {} could not be started: {message}. Its standard library is missing or \
                 of another version than {BUILD_VERSION}; name a working interpreter with \
                 MOZAIKS_PYTHON",
                executable.display()
            ));
        }
        ffi::PyEval_SaveThread();
    }
    Ok(())
}

fn set_up(py: Python<'_>, sdk_dirs: Vec<PathBuf>) -> PyResult<()> {
    let sys = py.import("sys")?;
    sys.call_method1("setswitchinterval", (SWITCH_INTERVAL_SECONDS,))?;
    let path = sys.getattr("path")?.cast_into::<PyList>()?;
    for dir in sdk_dirs {
        path.append(dir.into_os_string())?;
    }
    crate::native::install(py)
}

/// Where the Python SDK may lie when it is not installed in the environment.
pub fn sdk_dirs(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(dir) = configured {
        return vec![dir.to_owned()];
    }
    if inside::running().is_some() {
        // Installed with the gateway.
        return Vec::new();
    }
    let beside_cwd = std::env::current_dir()
        .ok()
        .map(|dir| dir.join("python-sdk"));
    let beside_binary = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|dir| dir.join("python-sdk")));
    [beside_cwd, beside_binary]
        .into_iter()
        .flatten()
        .filter(|dir| dir.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_says_which_python_it_has() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(version_of(dir.path()), None);
        for (text, found) in [
            ("home = /usr/bin\nversion = 3.11.7\n", Some("3.11")),
            ("version_info = 3.12.1.final.0\n", Some("3.12")),
            ("home = /usr/bin\n", None),
            ("version = 3\n", None),
        ] {
            std::fs::write(dir.path().join("pyvenv.cfg"), text).unwrap();
            assert_eq!(version_of(dir.path()).as_deref(), found, "{text:?}");
        }
    }

    #[test]
    fn what_python_noted_of_a_removed_variable_is_forgotten() {
        let python = std::env::var_os("MOZAIKS_TEST_PYTHON").map(PathBuf::from);
        initialize(python.as_deref(), None).unwrap();
        attach(|py| {
            // Noted by Python, and not in the environment: as if it had been removed since.
            let noted = c"import os, posix\nname = b'NOTED_BY_PYTHON_ALONE'\n\
                os.environb._data[name] = posix.environ[name] = b'a secret'";
            py.run(noted, None, None).unwrap();
            inside::forget_removed_variables(py).unwrap();
            let forgotten = c"import os, posix\nname = 'NOTED_BY_PYTHON_ALONE'\n\
                assert name not in os.environ and os.fsencode(name) not in posix.environ\n\
                assert os.environ['PATH'] and posix.environ[b'PATH']";
            py.run(forgotten, None, None).unwrap();
        });
    }
}
