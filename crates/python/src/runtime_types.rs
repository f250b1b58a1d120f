//! Python objects that every call needs, looked up once.

use pyo3::{ffi, prelude::*, sync::PyOnceLock, types::PyBytes};

/// Types, functions and the context variable.
pub(super) struct Kinds {
    /// `asyncio.CancelledError`.
    pub cancelled_error: Py<PyAny>,
    /// Raised inside code that holds a thread past its limit.
    pub interrupted: Py<PyAny>,
    /// The native module's `HostError`.
    pub host_error: Py<PyAny>,
    /// `asyncio.Task`.
    pub task: Py<PyAny>,
    /// An `async def` that awaits its argument.
    pub await_any: Py<PyAny>,
    /// A byte for each instruction: 1 where CPython looks for asynchronous exceptions at its end.
    pub checked_instructions: Py<PyBytes>,
    /// The context variable with the running call's `Caller`.
    pub caller: Py<PyAny>,
}

static KINDS: PyOnceLock<Kinds> = PyOnceLock::new();

/// The native module's name in `sys.modules`.
const NATIVE: &str = "_mozaiks_native";

/// The native module.
///
/// # Errors
/// Where plugin code has removed it from `sys.modules`.
pub(super) fn native_module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(NATIVE)
}

impl Kinds {
    /// Looks everything up; called when the native module has been filled.
    pub(super) fn prepare(py: Python<'_>, native: &Bound<'_, PyModule>) -> PyResult<()> {
        let asyncio = py.import("asyncio")?;
        // SAFETY: attached; a static name and no default. The result is a new reference.
        let caller = unsafe {
            let variable = ffi::PyContextVar_New(c"mozaiks_caller".as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, variable)?
        };
        let kinds = Self {
            cancelled_error: asyncio.getattr("CancelledError")?.unbind(),
            interrupted: native.getattr("PluginInterrupted")?.unbind(),
            host_error: native.getattr("HostError")?.unbind(),
            task: asyncio.getattr("Task")?.unbind(),
            await_any: native.getattr("await_any")?.unbind(),
            checked_instructions: native
                .getattr("CHECKED_INSTRUCTIONS")?
                .cast_into::<PyBytes>()?
                .unbind(),
            caller: caller.unbind(),
        };
        // A second preparation in the process would find equal objects.
        KINDS.set(py, kinds).ok();
        Ok(())
    }

    /// What [`Self::prepare`] found.
    pub(super) fn get(py: Python<'_>) -> &Self {
        KINDS
            .get(py)
            .expect("invariant: the interpreter is prepared before anything runs in it")
    }
}

/// A context of its own in which `value` is the running call's `Caller`; entered until dropped.
pub(super) struct Entered<'py> {
    context: Bound<'py, PyAny>,
}

impl<'py> Entered<'py> {
    /// A new, empty context.
    ///
    /// # Errors
    /// Where memory ends.
    pub(super) fn new(value: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = value.py();
        // SAFETY: attached; each result is checked. The context is new, so entering it cannot fail
        // for being entered already, and it is left exactly once, in `drop`.
        unsafe {
            let context = Bound::from_owned_ptr_or_err(py, ffi::PyContext_New())?;
            if ffi::PyContext_Enter(context.as_ptr()) != 0 {
                return Err(PyErr::fetch(py));
            }
            let entered = Self { context };
            let caller = Kinds::get(py).caller.as_ptr();
            let token = ffi::PyContextVar_Set(caller, value.as_ptr());
            drop(Bound::from_owned_ptr_or_err(py, token)?);
            Ok(entered)
        }
    }

    /// A context that was left before.
    ///
    /// # Errors
    /// Where it is entered.
    #[cfg(not(Py_3_11))]
    pub(super) fn again(context: &Bound<'py, PyAny>) -> PyResult<Self> {
        // SAFETY: attached and a live context; it is left exactly once, in `drop`.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
            return Err(PyErr::fetch(context.py()));
        }
        Ok(Self {
            context: context.clone(),
        })
    }

    /// The context.
    pub(super) fn context(&self) -> &Bound<'py, PyAny> {
        &self.context
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: attached (the bound context shows it), and entered by `new`. It fails only where
        // code in between left it already; then there is nothing to leave.
        unsafe {
            if ffi::PyContext_Exit(self.context.as_ptr()) != 0 {
                ffi::PyErr_Clear();
            }
        }
    }
}
