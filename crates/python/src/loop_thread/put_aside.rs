//! What the event loop gives to other threads: `asyncio.to_thread`, `run_in_executor(None, …)`, look-ups
//! of host names. Each plugin has its share of them, and keeps it until its functions have returned.

use std::sync::Arc;

use pyo3::{exceptions::PyRuntimeError, prelude::*};

use crate::{caller::current_caller, error, pool::PoolJob, pools::Pools};
use mozaiks_plugins::{HostError, SubmitError};

/// Called by the loop with a function that does not raise, and whether it is a look-up.
#[pyclass(frozen, module = "_mozaiks_native")]
pub(super) struct PutAside {
    pub pools: Arc<Pools>,
}

#[pymethods]
impl PutAside {
    fn __call__(&self, py: Python<'_>, function: Py<PyAny>, is_look_up: bool) -> PyResult<()> {
        let pool = if is_look_up {
            &self.pools.resolver
        } else {
            &self.pools.executor
        };
        // What runs for no plugin has one share together.
        let plugin = current_caller(py).map_or_else(|| "".into(), |info| info.get().plugin.clone());
        match pool.submit(PoolJob::Aside { plugin, function }) {
            Ok(()) => Ok(()),
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
