//! What the event loop gives to other threads: `asyncio.to_thread`, `run_in_executor(None, …)`, look-ups
//! of host names. Each plugin has its share of them, and keeps it until its functions have returned.

use std::sync::Arc;

use pyo3::{exceptions::PyRuntimeError, ffi, intern, prelude::*, types::PyTuple};

use crate::{
    caller::current_caller,
    error,
    pool::{Aside, PoolJob},
    pools::Pools,
};
use mozaiks_plugins::{HostError, SubmitError};

/// Called by the loop.
#[pyclass(frozen, module = "_mozaiks_native")]
pub(super) struct PutAside {
    pub pools: Arc<Pools>,
}

#[pymethods]
impl PutAside {
    /// Gives a function to another thread; a future of the loop for what it gives.
    #[pyo3(signature = (event_loop, is_look_up, *call))]
    fn __call__(
        &self,
        py: Python<'_>,
        event_loop: &Bound<'_, PyAny>,
        is_look_up: bool,
        call: Bound<'_, PyTuple>,
    ) -> PyResult<Py<PyAny>> {
        let pool = if is_look_up {
            &self.pools.resolver
        } else {
            &self.pools.executor
        };
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        // SAFETY: attached; a new reference or null with an exception set.
        let context = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
        let aside = Aside {
            // What runs for no plugin has one share together.
            plugin: current_caller(py).map_or_else(|| "".into(), |info| info.get().plugin.clone()),
            future: future.clone().unbind(),
            context: context.unbind(),
            call: call.unbind(),
        };
        match pool.submit(PoolJob::Aside(aside)) {
            Ok(()) => Ok(future.unbind()),
            Err(SubmitError::Full) => {
                let error = HostError {
                    code: "OVERLOADED",
                    message: "too many functions of the plugin wait for a thread".into(),
                    details: None,
                };
                Err(PyErr::from_value(error::host_error(py, &error)?))
            }
            Err(SubmitError::Stopped) => Err(PyRuntimeError::new_err("the gateway is stopping")),
        }
    }
}
