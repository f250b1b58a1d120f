//! Keeps a new Task's first step from being scheduled, so that it can be run at once: what
//! `eager_start` does on Python 3.12 and later.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCFunction, PyDict, PyTuple, PyType},
};

/// Whether this is what a Task schedules to take its next step.
fn is_step(callback: &Bound<'_, PyAny>) -> bool {
    static STEP_TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = callback.py();
    let kind = callback.get_type();
    if let Some(step) = STEP_TYPE.get(py) {
        return kind.is(step);
    }
    let found = kind.name().is_ok_and(|name| name == "TaskStepMethWrapper");
    if found {
        // The type is one for the process, whichever thread finds it first.
        STEP_TYPE.set(py, kind.unbind()).ok();
    }
    found
}

/// Keeps a new Task's first step from being scheduled.
pub(super) struct FirstStep {
    /// The loop's attributes: `call_soon` is put there while a Task is made.
    attributes: Py<PyDict>,
    stand_in: Py<PyAny>,
    caught: Arc<Mutex<Caught>>,
}

#[derive(Default)]
struct Caught {
    expecting: bool,
    step: Option<(Py<PyAny>, Py<PyAny>)>,
}

impl FirstStep {
    pub(super) fn new(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let caught = Arc::new(Mutex::new(Caught::default()));
        let real = event_loop.getattr("call_soon")?.unbind();
        let catching = caught.clone();
        let stand_in = PyCFunction::new_closure(
            py,
            None,
            None,
            move |arguments: &Bound<'_, PyTuple>,
                  options: Option<&Bound<'_, PyDict>>|
                  -> PyResult<Py<PyAny>> {
                let py = arguments.py();
                let context = match options {
                    Some(options) => options.get_item(intern!(py, "context"))?,
                    None => None,
                };
                // Only a Task's step comes alone, with a context and from native code; anything
                // else is a collected object's doing and is scheduled as ever.
                if let (1, Some(context)) = (arguments.len(), context) {
                    let callback = arguments.get_item(0)?;
                    let mut caught = catching.lock();
                    if caught.expecting && is_step(&callback) {
                        caught.expecting = false;
                        caught.step = Some((callback.unbind(), context.unbind()));
                        return Ok(py.None());
                    }
                }
                real.call(py, arguments, options)
            },
        )?;
        Ok(Self {
            attributes: event_loop
                .getattr("__dict__")?
                .cast_into::<PyDict>()?
                .unbind(),
            stand_in: stand_in.into_any().unbind(),
            caught,
        })
    }

    pub(super) fn capture<'py>(
        &self,
        py: Python<'py>,
        make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let attributes = self.attributes.bind(py);
        let name = intern!(py, "call_soon");
        self.caught.lock().expecting = true;
        attributes.set_item(name, &self.stand_in)?;
        let made = make();
        attributes.del_item(name)?;
        self.caught.lock().expecting = false;
        made
    }

    pub(super) fn take(&self) -> Option<(Py<PyAny>, Py<PyAny>)> {
        self.caught.lock().step.take()
    }
}
