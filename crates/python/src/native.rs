//! The module `_mozaiks_native`: what the Python SDK is built on.
//!
//! Every function works for the plugin whose code calls it, which the runtime knows from the
//! context variable; plugin code cannot name another.

use bytes::Bytes;
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyCFunction},
    wrap_pyfunction,
};

use crate::{
    caller::{CallInfo, current_caller},
    code::Handler,
    driver::Driver,
    error::host_error,
    frames,
    host_link::HostLink,
    logging,
    runtime_types::{Kinds, native_module},
};
use mozaiks_plugins::{
    HostError,
    host::{HandlerId, Registration, RegistrationId},
};

/// Makes the module and Python's logging ready; called once, by the interpreter's start.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    // First: what loads plugins takes of it.
    let reading = std::ffi::CString::new(include_str!("bytecode.py"))?;
    PyModule::from_code(py, &reading, c"<mozaiks>", c"_mozaiks_bytecode")?;
    let code = std::ffi::CString::new(include_str!("bootstrap.py"))?;
    let module = PyModule::from_code(py, &code, c"<mozaiks>", c"_mozaiks_native")?;
    let sites = std::ffi::CString::new(include_str!("sites.py"))?;
    py.run(&sites, Some(&module.dict()), None)?;
    module.add_class::<CallInfo>()?;
    module.add_class::<Driver>()?;
    for function in functions(py, &module)? {
        module.add_function(function)?;
    }
    Kinds::prepare(py, &module)?;
    module.call_method0("install_logging")?;
    frames::look_in_audited_functions(py)?;
    Ok(())
}

fn functions<'py>(
    _py: Python<'py>,
    module: &Bound<'py, PyModule>,
) -> PyResult<Vec<Bound<'py, PyCFunction>>> {
    Ok(vec![
        wrap_pyfunction!(caller, module)?,
        wrap_pyfunction!(request, module)?,
        wrap_pyfunction!(request_blocking, module)?,
        wrap_pyfunction!(query, module)?,
        wrap_pyfunction!(publish, module)?,
        wrap_pyfunction!(register_handler, module)?,
        wrap_pyfunction!(unregister, module)?,
        wrap_pyfunction!(logging::log_record, module)?,
        wrap_pyfunction!(logging::log_text, module)?,
        wrap_pyfunction!(logging::log_flush, module)?,
    ])
}

fn raise(py: Python<'_>, error: &HostError) -> PyErr {
    host_error(py, error).map_or_else(|error| error, PyErr::from_value)
}

fn whoever_calls(py: Python<'_>) -> PyResult<Bound<'_, CallInfo>> {
    current_caller(py).ok_or_else(|| {
        PyRuntimeError::new_err(
            "this works only in a plugin's call, handler or import (a thread of the plugin's own \
             must run in a copy of its context: contextvars.copy_context().run)",
        )
    })
}

/// Who runs: `plugin`, `generation`, `request_id`, `app_id`, `user_id`, `username`, `roles`,
/// `is_superadmin`; None outside any plugin.
#[pyfunction]
fn caller(py: Python<'_>) -> Option<Bound<'_, CallInfo>> {
    current_caller(py)
}

/// Asks the gateway for something that takes time.
///
/// Args:
///     operation: What to do, such as `db.find`.
///     payload: Its arguments, as bytes.
///
/// Returns:
///     A future of the answer's bytes; only on the event loop.
///
/// Raises:
///     HostError: From the future, with the gateway's code and message.
#[pyfunction]
fn request<'py>(py: Python<'py>, operation: &str, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let info = whoever_calls(py)?;
    let info = info.get();
    let host = &info.host;
    if !on_loop_thread(py, host) {
        return Err(PyRuntimeError::new_err(
            "request() works on the gateway's event loop only; use request_blocking() elsewhere",
        ));
    }
    let event_loop = (host.looping.event_loop)
        .get()
        .ok_or_else(|| PyRuntimeError::new_err("the event loop has not started"))?;
    let future = event_loop
        .bind(py)
        .call_method0(pyo3::intern!(py, "create_future"))?;
    let payload = Bytes::copy_from_slice(payload);
    host.send(info.caller(), operation, payload, future.clone().unbind())
        .map_err(|error| raise(py, &error))?;
    Ok(future)
}

/// As `request`, from a pool thread: waits for the answer without holding the interpreter.
///
/// Args:
///     operation: What to do, such as `db.find`.
///     payload: Its arguments, as bytes.
///
/// Returns:
///     The answer's bytes.
///
/// Raises:
///     HostError: The gateway's code and message.
///     RuntimeError: On the event loop, which it would hold.
#[pyfunction]
fn request_blocking<'py>(
    py: Python<'py>,
    operation: &str,
    payload: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let info = whoever_calls(py)?;
    let info = info.get();
    let host = &info.host;
    if on_loop_thread(py, host) {
        return Err(PyRuntimeError::new_err(
            "request_blocking() would hold the event loop; use request() here",
        ));
    }
    let payload = Bytes::copy_from_slice(payload);
    let answer = host.wait(py, info.caller(), operation, payload);
    match answer {
        Ok(Ok(bytes)) => Ok(PyBytes::new(py, &bytes)),
        Ok(Err(error)) => Err(raise(py, &error)),
        Err(error) => Err(PyRuntimeError::new_err(format!(
            "the request failed: {error}"
        ))),
    }
}

fn on_loop_thread(_py: Python<'_>, host: &HostLink) -> bool {
    // SAFETY: attached, as the token shows.
    let here = unsafe { pyo3::ffi::PyThread_get_thread_ident() };
    host.looping.progress.thread() == here as u64
}

/// Asks the gateway for something it has in memory.
///
/// Args:
///     operation: What to ask, such as `websocket.connected_users`.
///     payload: Its arguments, as bytes.
///
/// Returns:
///     The answer's bytes.
///
/// Raises:
///     HostError: The gateway's code and message.
#[pyfunction]
fn query<'py>(py: Python<'py>, operation: &str, payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let info = whoever_calls(py)?;
    let info = info.get();
    let caller = info.caller();
    match py.detach(|| info.host.services.query(&caller, operation, payload)) {
        Ok(bytes) => Ok(PyBytes::new(py, &bytes)),
        Err(error) => Err(raise(py, &error)),
    }
}

/// Publishes an event and returns at once.
///
/// Args:
///     event: Its name, `{plugin}:{action_past_tense}`.
///     data: A JSON object, as bytes.
///
/// Raises:
///     HostError: The name or the data is not valid.
#[pyfunction]
fn publish(py: Python<'_>, event: &str, data: &[u8]) -> PyResult<()> {
    let info = whoever_calls(py)?;
    let info = info.get();
    let (caller, data) = (info.caller(), Bytes::copy_from_slice(data));
    py.detach(|| info.host.services.publish(&caller, event, data))
        .map_err(|error| raise(py, &error))
}

/// Registers a function with the gateway until it is unregistered or the plugin is unloaded.
///
/// Args:
///     kind: `event`, `websocket`, `route` or `execute`.
///     spec: A JSON object that says what exactly, as the kind wants it.
///     function: Called with what the kind gives; async or plain.
///
/// Returns:
///     A number for `unregister`.
///
/// Raises:
///     HostError: The kind is unknown, the specification not valid, or there are too many.
///     ValueError: The function cannot be called.
#[pyfunction]
fn register_handler(
    py: Python<'_>,
    kind: &str,
    spec: &[u8],
    function: &Bound<'_, PyAny>,
) -> PyResult<u64> {
    let info = whoever_calls(py)?;
    let info = info.get();
    if !function.is_callable() {
        return Err(PyValueError::new_err("the handler is not callable"));
    }
    let registration = Registration {
        kind: kind.into(),
        spec: Bytes::copy_from_slice(spec),
    };
    let is_async = native_module(py)?
        .call_method1("is_async", (function,))?
        .is_truthy()?;
    let host = &info.host;
    let Some(code) = host.codes.code(info.generation) else {
        return Err(PyRuntimeError::new_err(
            "this load of the plugin has ended: it can register nothing any more",
        ));
    };
    let id = HandlerId::next();
    let handler = Handler {
        code,
        function: function.clone().unbind(),
        is_async,
        registration: std::sync::OnceLock::new(),
    };
    let handler = std::sync::Arc::new(handler);
    host.codes.add_handler(id, handler.clone());
    let caller = info.caller();
    match py.detach(|| host.services.register(&caller, registration, id)) {
        Ok(registration) => {
            // Set once: the handler was made above.
            handler.registration.set(registration).ok();
            Ok(registration.0)
        }
        Err(error) => {
            drop(host.codes.remove_handler(id));
            Err(raise(py, &error))
        }
    }
}

/// Ends a registration; an unknown number is ignored.
///
/// Args:
///     registration: What `register_handler` returned.
#[pyfunction]
fn unregister(py: Python<'_>, registration: u64) -> PyResult<()> {
    let info = whoever_calls(py)?;
    let info = info.get();
    let host = &info.host;
    let registration = RegistrationId(registration);
    let removed = host.codes.unregister(info.generation, registration);
    if removed.is_some() {
        py.detach(|| host.services.unregister(registration));
    }
    Ok(())
}
