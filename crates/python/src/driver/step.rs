//! One step of a coroutine, and how it ended.

use pyo3::{exceptions::PyStopIteration, ffi, intern, prelude::*};

use crate::runtime_types::Kinds;

/// How a step of a coroutine ended.
pub(super) enum Ended<'py> {
    Yielded(Bound<'py, PyAny>),
    Returned(Bound<'py, PyAny>),
    Raised(PyErr),
}

/// `coroutine.send(value)` without the exception that carries a returned value.
pub(super) fn send<'py>(coroutine: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Ended<'py> {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: attached and two live objects; `result` is a new reference unless an error is set.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => Ended::Yielded(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_RETURN => Ended::Returned(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_ERROR => Ended::Raised(PyErr::fetch(py)),
        }
    }
}

/// `coroutine.throw(…)`.
pub(super) fn throw<'py>(
    coroutine: &Bound<'py, PyAny>,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> Ended<'py> {
    let py = coroutine.py();
    match coroutine.call_method1(intern!(py, "throw"), arguments) {
        Ok(value) => Ended::Yielded(value),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            match error.value(py).getattr(intern!(py, "value")) {
                Ok(value) => Ended::Returned(value),
                Err(error) => Ended::Raised(error),
            }
        }
        Err(error) => Ended::Raised(error),
    }
}

/// A coroutine for anything awaitable.
pub(super) fn as_coroutine<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached and a live object.
    if unsafe { ffi::PyCoro_CheckExact(value.as_ptr()) } != 0 {
        return Ok(value.clone());
    }
    Kinds::get(value.py())
        .await_any
        .bind(value.py())
        .call1((value,))
}
