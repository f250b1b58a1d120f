//! The coroutine that drives a plugin's: one for each call.

mod step;

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::{
    exceptions::PyStopIteration,
    intern,
    prelude::*,
    types::{PyDict, PyTuple},
};

use self::step::{Ended, as_coroutine, send, throw};
#[cfg(not(Py_3_11))]
use crate::runtime_types::Entered;
use crate::{
    call::{Call, CallEnvironment},
    runtime_types::Kinds,
};
use mozaiks_plugins::{CallError, CallId, Generation};

/// What a function is called with.
pub(super) enum Arguments {
    /// One dict.
    Data(Py<PyDict>),
    /// Any number.
    Positional(Py<PyTuple>),
    /// None: the function is an awaitable already.
    Awaitable,
}

/// The coroutine that a call's Task runs: it starts the plugin's function at its first step, passes
/// each step on, and answers the call at the end.
#[pyclass(frozen, module = "_mozaiks_native", weakref)]
pub(super) struct Driver {
    state: Mutex<State>,
    /// How the first step ended, if the Task has still to be told.
    untold: Mutex<Option<Untold>>,
    /// The call's context, where a Task has one of its own: before 3.11 it cannot be given.
    #[cfg(not(Py_3_11))]
    context: std::sync::OnceLock<Py<PyAny>>,
    environment: Arc<CallEnvironment>,
    id: CallId,
    generation: Generation,
}

enum State {
    /// Nothing has run.
    Start {
        function: Py<PyAny>,
        arguments: Arguments,
        call: Call,
    },
    /// The plugin's coroutine is suspended or runs.
    Running { coroutine: Py<PyAny>, call: Call },
    /// Answered.
    Done,
}

/// What a Task made after the first step has to learn at its own first step.
#[cfg_attr(
    Py_3_12,
    allow(dead_code, reason = "eager tasks run the first step themselves")
)]
enum Untold {
    /// The coroutine waits for this.
    Yielded(Py<PyAny>),
    /// It ended by its cancellation.
    Raised(PyErr),
    /// The Task was cancelled during the first step, and what the coroutine waits for was not: it is
    /// thrown when the coroutine goes on.
    Throw(Py<PyAny>),
}

impl Driver {
    pub(super) fn new(function: Py<PyAny>, arguments: Arguments, call: Call) -> Self {
        Self {
            environment: call.environment.clone(),
            id: call.id,
            generation: call.code.generation,
            untold: Mutex::default(),
            #[cfg(not(Py_3_11))]
            context: std::sync::OnceLock::new(),
            state: Mutex::new(State::Start {
                function,
                arguments,
                call,
            }),
        }
    }

    /// Whether the call has been answered.
    pub(super) fn is_done(&self) -> bool {
        matches!(*self.state.lock(), State::Done)
    }

    /// Runs the first step outside of the Task. `Some` is what the coroutine waits for.
    ///
    /// # Errors
    /// The coroutine's cancellation.
    #[cfg(not(Py_3_12))]
    pub(super) fn first_step<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.step(py, |coroutine| send(coroutine, &py.None().into_bound(py)))
    }

    /// Keeps how the first step ended for the Task's own first step, and the context it ran in.
    #[cfg(not(Py_3_12))]
    pub(super) fn tell_task(
        &self,
        ended: PyResult<Option<Bound<'_, PyAny>>>,
        context: &Bound<'_, PyAny>,
    ) {
        #[cfg(Py_3_11)]
        let _ = context;
        // Told once.
        #[cfg(not(Py_3_11))]
        self.context.set(context.clone().unbind()).ok();
        *self.untold.lock() = match ended {
            Ok(None) => None,
            Ok(Some(value)) => Some(Untold::Yielded(value.unbind())),
            Err(error) => Some(Untold::Raised(error)),
        };
    }

    /// Goes on with `value`, or with what the first step has left to do.
    fn go_on<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let untold = self.untold.lock().take();
        match untold {
            None => self.step(py, |coroutine| send(coroutine, value)),
            Some(Untold::Yielded(value)) => Ok(Some(value.into_bound(py))),
            Some(Untold::Raised(error)) => Err(error),
            Some(Untold::Throw(error)) => {
                self.step(py, |coroutine| throw(coroutine, (error.into_bound(py),)))
            }
        }
    }

    /// As a Task does whose coroutine was cancelled in the step in which it began to wait: what it
    /// waits for is cancelled, or else its next step.
    fn cancel_wait<'py>(
        &self,
        value: Bound<'py, PyAny>,
        error: Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = value.py();
        // With the message that `Task.cancel` was given.
        let cancel = || -> PyResult<bool> {
            let message = error.getattr(intern!(py, "args"))?.cast_into::<PyTuple>()?;
            let cancel = value.getattr(intern!(py, "cancel"))?;
            cancel.call1(message)?.is_truthy()
        };
        let cancelled = !value.is_none() && cancel().unwrap_or(false);
        if !cancelled {
            *self.untold.lock() = Some(Untold::Throw(error.unbind()));
        }
        Ok(Some(value))
    }

    /// Ends the call with an error where no task could be made for it.
    pub(super) fn fail(&self, error: CallError) {
        if let Some(call) = self.take_call() {
            call.end(Err(error));
        }
    }

    fn take_call(&self) -> Option<Call> {
        // What the old state held is dropped after the lock: it may run Python code.
        let old = std::mem::replace(&mut *self.state.lock(), State::Done);
        match old {
            State::Start { call, .. } | State::Running { call, .. } => Some(call),
            State::Done => None,
        }
    }

    /// The plugin's coroutine; at the first step the plugin's function is called for it.
    fn coroutine<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = self.state.lock();
        if let State::Running { coroutine, .. } = &*state {
            return Ok(Some(coroutine.bind(py).clone()));
        }
        let State::Start {
            function,
            arguments,
            call,
        } = std::mem::replace(&mut *state, State::Done)
        else {
            return Ok(None);
        };
        // Set before the plugin runs, so that an error below still finds the call to answer.
        *state = State::Running {
            coroutine: py.None(),
            call,
        };
        drop(state);
        let function = function.into_bound(py);
        let made = match arguments {
            Arguments::Data(data) => function.call1((data,))?,
            Arguments::Positional(arguments) => function.call1(arguments.into_bound(py))?,
            Arguments::Awaitable => function,
        };
        let coroutine = as_coroutine(&made)?;
        if let State::Running {
            coroutine: place, ..
        } = &mut *self.state.lock()
        {
            *place = coroutine.clone().unbind();
        }
        Ok(Some(coroutine))
    }

    /// Runs one step and passes on what came of it: `Some` is what the Task is to wait for.
    fn step<'py>(
        &self,
        py: Python<'py>,
        run: impl FnOnce(&Bound<'py, PyAny>) -> Ended<'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        #[cfg(not(Py_3_11))]
        let _inside = match self.context.get() {
            Some(context) => Some(Entered::again(context.bind(py))?),
            None => None,
        };
        let before = self
            .environment
            .looping
            .progress
            .enter(self.id, self.generation);
        let ended = match self.coroutine(py) {
            Ok(Some(coroutine)) => run(&coroutine),
            Ok(None) => Ended::Returned(py.None().into_bound(py)),
            Err(error) => Ended::Raised(error),
        };
        let outcome = match ended {
            Ended::Yielded(value) => {
                self.environment.looping.progress.leave(py, before);
                return Ok(Some(value));
            }
            Ended::Returned(value) => Ok(value),
            Ended::Raised(error) => Err(error),
        };
        // The Task must see its cancellation; anything else has been answered and logged once.
        let cancelled = match &outcome {
            Err(error) if error.is_instance(py, Kinds::get(py).cancelled_error.bind(py)) => {
                Some(error.clone_ref(py))
            }
            _ => None,
        };
        // Converting may run the plugin's code too, so it still counts as this step.
        let finished = self.take_call();
        if let Some(call) = finished {
            call.finish(py, outcome);
            drop(self.environment.calls.end(self.id));
        }
        self.environment.looping.progress.leave(py, before);
        cancelled.map_or(Ok(None), Err)
    }
}

#[pymethods]
impl Driver {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let step = self.go_on(py, &py.None().into_bound(py));
        if matches!(step, Ok(None)) {
            self.environment.looping.flush_if_idle();
        }
        step
    }

    fn send<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let step = self.go_on(py, value);
        self.returned(step)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        kind: &Bound<'py, PyAny>,
        value: Option<&Bound<'py, PyAny>>,
        traceback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let untold = self.untold.lock().take();
        let step = match (untold, value, traceback) {
            (Some(Untold::Yielded(waited)), ..) => {
                self.cancel_wait(waited.into_bound(py), kind.clone())
            }
            // Ended, and cancelled besides.
            (Some(Untold::Raised(error)), ..) => Err(error),
            _ if self.is_done() => Err(PyErr::from_value(kind.clone())),
            (_, None, None) => self.step(py, |coroutine| throw(coroutine, (kind,))),
            (_, value, traceback) => {
                self.step(py, |coroutine| throw(coroutine, (kind, value, traceback)))
            }
        };
        self.returned(step)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let coroutine = match &*self.state.lock() {
            State::Running { coroutine, .. } => Some(coroutine.clone_ref(py)),
            State::Start { .. } | State::Done => None,
        };
        let closed = match coroutine {
            Some(coroutine) => coroutine.call_method0(py, intern!(py, "close")).map(drop),
            None => Ok(()),
        };
        self.fail(CallError::Cancelled);
        closed
    }

    /// What is not the driver's own is the plugin's coroutine's: its name, frame and code, for
    /// `Task.get_stack`, `repr` and debuggers.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let inner = match &*self.state.lock() {
            State::Running { coroutine, .. } => coroutine.clone_ref(py),
            State::Start { function, .. } => function.clone_ref(py),
            State::Done => py.None(),
        };
        inner.into_bound(py).getattr(name)
    }
}

impl Driver {
    /// `send` and `throw` tell the end by an exception.
    fn returned<'py>(
        &self,
        step: PyResult<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match step {
            Ok(Some(value)) => Ok(value),
            Ok(None) => {
                self.environment.looping.flush_if_idle();
                Err(PyStopIteration::new_err(()))
            }
            Err(error) => {
                self.environment.looping.flush_if_idle();
                Err(error)
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A Task that is collected without having run to its end leaves nobody waiting.
        self.fail(CallError::Cancelled);
        self.environment.outbox.flush();
    }
}
