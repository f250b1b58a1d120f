//! Where a Python thread is: whether an exception may be raised there, and how it came there.
//!
//! An asynchronous exception arrives between two instructions, also between taking a lock and the `try`
//! that gives it back. In the code of a plugin that costs the plugin a lock of its own; in the standard
//! library's it would cost everybody theirs. So it is sent only while the plugin's code is innermost, and
//! only at an instruction at whose end CPython looks for it. Code that is hardly ever there, as it logs or
//! opens files all the time, ends where it does that: such a function may fail anyway.
//!
//! From Python 3.13 on a thread that has just let another run does not see what was sent meanwhile before
//! it looks the next time: in the plugin's own code, or at the beginning of a function that this calls,
//! which has taken nothing yet. The one function that must not fail there is the end of a `with`
//! (`with_blocks`).

#[cfg(Py_3_13)]
mod with_blocks;

use std::path::Path;

use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyBytes, PyString},
};

use crate::{
    asked::end_if_asked,
    error,
    runtime_types::{Kinds, native_module},
};

/// Installed packages are not a plugin's own code, wherever they lie.
const INSTALLED: &str = "/site-packages/";

/// Most frames of a stack that are told.
const TOLD_FRAMES: usize = 24;

/// The code of one import of a plugin.
#[derive(Debug)]
pub(super) struct OwnCode {
    /// Its name in `sys.modules`.
    pub package: String,
    /// What the names of its modules begin with.
    below: String,
    /// The directory of its files, with a separator at the end.
    dir: String,
}

impl OwnCode {
    pub(super) fn new(package: String, dir: &Path) -> Self {
        Self {
            below: format!("{package}."),
            package,
            dir: format!("{}/", dir.display()),
        }
    }

    /// A file's path below the directory, where it is there.
    pub(super) fn below_its_dir<'a>(&self, file: &'a str) -> Option<&'a str> {
        file.strip_prefix(&self.dir)
    }

    /// Whether code of that module and file is of this import.
    pub(super) fn holds(&self, module: &str, file: &str) -> bool {
        !file.contains(INSTALLED)
            && (module == self.package
                || module.starts_with(&self.below)
                || file.starts_with(&self.dir))
    }
}

/// Whether the innermost frame of the thread is of code that `own` knows, and about to look for
/// exceptions. Runs no Python code, so that the thread cannot go on meanwhile. Unless `insisting`, code inside
/// a `with` is spared where its end could be what the exception prevents.
///
/// # Safety
/// `thread` is the state of a living thread.
pub(super) unsafe fn may_stop(
    py: Python<'_>,
    thread: *mut ffi::PyThreadState,
    own: &dyn Fn(&str, &str) -> bool,
    insisting: bool,
) -> bool {
    // Making the frame's object may collect garbage (before 3.12), and collecting runs Python code.
    let _still = NoCollection::begin(py);
    // SAFETY: attached, and living as the caller says; the result is a new reference or null.
    let frame = unsafe {
        let frame = ffi::PyThreadState_GetFrame(thread);
        Bound::from_owned_ptr_or_opt(py, frame.cast())
    };
    frame.is_some_and(|frame| {
        looks_next(&frame).unwrap_or(false)
            && is_own(&frame, own)
            && (insisting || !may_skip_an_end(frame, own))
    })
}

/// Whether the exception could keep a `with` of the plugin's code from ending.
#[cfg(Py_3_13)]
fn may_skip_an_end(frame: Bound<'_, PyAny>, own: &dyn Fn(&str, &str) -> bool) -> bool {
    let callers = std::iter::successors(Some(frame), |frame| {
        let caller = frame.getattr(intern!(frame.py(), "f_back")).ok()?;
        (!caller.is_none()).then_some(caller)
    });
    callers
        .take(TOLD_FRAMES)
        .take_while(|frame| is_own(frame, own))
        .any(|frame| with_blocks::holds(&frame).unwrap_or(true))
}

/// Exceptions arrive at the very instruction.
#[cfg(not(Py_3_13))]
fn may_skip_an_end(_frame: Bound<'_, PyAny>, _own: &dyn Fn(&str, &str) -> bool) -> bool {
    false
}

fn is_own(frame: &Bound<'_, PyAny>, own: &dyn Fn(&str, &str) -> bool) -> bool {
    let py = frame.py();
    let found = || -> PyResult<bool> {
        let code = frame.getattr(intern!(py, "f_code"))?;
        let file = code.getattr(intern!(py, "co_filename"))?;
        let globals = frame.getattr(intern!(py, "f_globals"))?;
        let globals = globals.cast::<pyo3::types::PyDict>()?;
        let module = globals.get_item(intern!(py, "__name__"))?;
        let module = module.as_ref().and_then(|name| text(name));
        Ok(own(
            module.unwrap_or_default(),
            text(&file).unwrap_or_default(),
        ))
    };
    found().unwrap_or(false)
}

fn text<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value.cast_exact::<PyString>().ok()?.to_str().ok()
}

/// Whether CPython looks for exceptions before the frame goes on to another function: a lock that the
/// instruction takes is not held yet, or its `with` is entered.
fn looks_next(frame: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = frame.py();
    let at: isize = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let Ok(at) = usize::try_from(at) else {
        // Nothing of it has run.
        return Ok(true);
    };
    let code = frame.getattr(intern!(py, "f_code"))?;
    let code = code.getattr(intern!(py, "co_code"))?;
    let instruction = code.cast::<PyBytes>()?.as_bytes().get(at).copied();
    let checked = Kinds::get(py).checked_instructions.bind(py).as_bytes();
    Ok(instruction.is_some_and(|number| checked.get(usize::from(number)) == Some(&1)))
}

/// Has calls that are over their time end where they open, import or connect: such a function may fail
/// anyway, so whoever calls it gives back what it holds. Called once in a process.
pub(super) fn look_in_audited_functions(_py: Python<'_>) -> PyResult<()> {
    type Hook = unsafe extern "C" fn(
        *const std::ffi::c_char,
        *mut ffi::PyObject,
        *mut std::ffi::c_void,
    ) -> std::ffi::c_int;
    unsafe extern "C" {
        fn PySys_AddAuditHook(hook: Hook, data: *mut std::ffi::c_void) -> std::ffi::c_int;
    }
    unsafe extern "C" fn hook(
        _event: *const std::ffi::c_char,
        _arguments: *mut ffi::PyObject,
        _data: *mut std::ffi::c_void,
    ) -> std::ffi::c_int {
        // SAFETY: CPython calls hooks on threads that hold the interpreter.
        let py = unsafe { Python::assume_attached() };
        match end_if_asked(py) {
            Ok(()) => 0,
            Err(error) => {
                error.restore(py);
                -1
            }
        }
    }
    // SAFETY: a function that lives as long as the process; it needs no data.
    match unsafe { PySys_AddAuditHook(hook, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(pyo3::exceptions::PyRuntimeError::new_err(
            "the audit hook was refused",
        )),
    }
}

/// Keeps the collector off until dropped.
struct NoCollection<'py> {
    was_on: bool,
    _attached: Python<'py>,
}

impl<'py> NoCollection<'py> {
    fn begin(py: Python<'py>) -> Self {
        // SAFETY: attached; sets a flag.
        let was_on = unsafe { ffi::PyGC_Disable() } == 1;
        Self {
            was_on,
            _attached: py,
        }
    }
}

impl Drop for NoCollection<'_> {
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: as above.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

/// One frame of a stack.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub module: String,
    pub file: String,
    pub line: u32,
    function: String,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} in {}", self.file, self.line, self.function)
    }
}

/// The stack of a thread, innermost first; empty where it runs no Python code.
pub(super) fn stack_of(py: Python<'_>, thread: u64) -> Vec<Told> {
    let told = native_module(py)
        .and_then(|native| native.call_method1("stack_of", (thread,)))
        .and_then(|frames| frames.extract::<Vec<(String, String, u32, String)>>());
    match told {
        Ok(frames) => frames
            .into_iter()
            .map(|(module, file, line, function)| Told {
                module,
                file,
                line,
                function,
            })
            .collect(),
        Err(raised) => {
            let reason = error::summary(py, &raised);
            tracing::warn!(reason, "python.stack_unreadable");
            Vec::new()
        }
    }
}

/// A stack in one line, innermost first.
pub(super) fn in_one_line(stack: &[Told]) -> String {
    let told: Vec<String> = stack
        .iter()
        .take(TOLD_FRAMES)
        .map(ToString::to_string)
        .collect();
    told.join(" < ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_is_the_imports_modules_and_files() {
        let own = OwnCode::new("mozaiks_plugin_a_g1".into(), Path::new("/plugins/a"));
        for (module, file, holds) in [
            ("mozaiks_plugin_a_g1", "<string>", true),
            ("mozaiks_plugin_a_g1.logic", "/elsewhere/logic.py", true),
            ("helpers", "/plugins/a/helpers.py", true),
            ("mozaiks_plugin_a_g12.logic", "/plugins/ab/logic.py", false),
            ("threading", "/usr/lib/python3.11/threading.py", false),
            ("yaml", "/plugins/a/venv/lib/site-packages/yaml.py", false),
            ("", "", false),
        ] {
            assert_eq!(own.holds(module, file), holds, "{module} {file}");
        }
    }
}
