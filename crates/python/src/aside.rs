//! How a function went that the event loop had given to another thread.

use pyo3::{
    exceptions::{PyRuntimeError, PyStopIteration},
    intern,
    prelude::*,
};

/// On its way back to the loop.
pub(super) struct Ended {
    /// Of the event loop.
    pub future: Py<PyAny>,
    pub outcome: PyResult<Py<PyAny>>,
}

impl Ended {
    /// Tells who waits. On the loop's thread.
    ///
    /// # Errors
    /// What the future raises.
    pub(super) fn tell(self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        // Whoever awaited may have been cancelled meanwhile.
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        match self.outcome {
            Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
            Err(raised) => {
                // A future takes none: in a coroutine it would mean the end.
                let raised = if raised.is_instance_of::<PyStopIteration>(py) {
                    let told = PyRuntimeError::new_err("the function raised StopIteration");
                    told.set_cause(py, Some(raised));
                    told
                } else {
                    raised
                };
                future.call_method1(intern!(py, "set_exception"), (raised,))?
            }
        };
        Ok(())
    }
}
