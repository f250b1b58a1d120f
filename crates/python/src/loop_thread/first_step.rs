//! The first step of a call, run at once; its Task is made when somebody looks for it or when the call
//! suspends.
//!
//! Most calls end in their first step and no code of theirs asks for the Task: making one costs more
//! than running it. So the step runs as part of whoever started it, and `asyncio.current_task` (with
//! `all_tasks`) is replaced by a function that makes the running step's Task if there is none yet.
//! From then on it is an ordinary Task: entered for the rest of the step, and told afterwards how the
//! step ended. Python 3.12 and later have `eager_start`; before 3.11 a Task cannot be given its
//! context, so the driver enters it at each step.

use std::{cell::RefCell, sync::Arc};

use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCFunction, PyDict, PyTuple, PyType},
};

use crate::{driver::Driver, error, runtime_types::Kinds};

thread_local! {
    /// The first step that this thread runs.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// A first step and the Task that has been made for it so far.
struct Running {
    driver: Py<Driver>,
    context: Py<PyAny>,
    maker: Arc<TaskMaker>,
    made: Option<Made>,
}

/// A Task, and the call of its next step that it wanted to schedule.
struct Made {
    task: Py<PyAny>,
    step: Option<Py<PyAny>>,
}

/// Runs first steps on one loop.
pub(super) struct FirstSteps {
    maker: Arc<TaskMaker>,
}

impl FirstSteps {
    pub(super) fn new(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let tasks = py.import("asyncio.tasks")?;
        let maker = Arc::new(TaskMaker::new(py, event_loop, &tasks)?);
        replace_look_ups(py, &tasks)?;
        Ok(Self { maker })
    }

    /// Runs the call's first step in `context`, which is entered. Gives its Task where it has one: the
    /// call has suspended, or somebody holds the Task.
    pub(super) fn run<'py>(
        &self,
        driver: &Bound<'py, Driver>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = driver.py();
        let running = Running {
            driver: driver.clone().unbind(),
            context: context.clone().unbind(),
            maker: Arc::clone(&self.maker),
            made: None,
        };
        // Steps do not nest on a loop; were it so, the outer one comes back below.
        let outer = RUNNING.replace(Some(running));
        let ended = driver.get().first_step(py);
        let running = RUNNING.replace(outer);
        let made = match running.and_then(|running| running.made) {
            Some(made) => {
                // It fails where code of the plugin has left or entered by itself.
                if let Err(raised) = self.maker.leave(py, &made.task) {
                    let reason = error::summary(py, &raised);
                    tracing::warn!(reason, "python.task_not_left");
                }
                driver.get().tell_task(ended, context);
                made
            }
            None => match ended {
                Ok(None) => return Ok(None),
                // Cancelled, and nobody has seen a Task that could be.
                Err(_) => return Ok(None),
                suspended => {
                    driver.get().tell_task(suspended, context);
                    self.maker.make(py, driver, context)?
                }
            },
        };
        let task = made.task.into_bound(py);
        if let Some(step) = made.step {
            step.call0(py)?;
        }
        Ok(Some(task))
    }
}

/// The running first step's Task, made now if need be; None where no first step runs here.
fn task_of_first_step<'py>(
    py: Python<'py>,
    event_loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    // Making a Task runs Python code, which may come back here: nothing stays borrowed.
    let found = RUNNING.with_borrow(|running| {
        let running = running.as_ref()?;
        if event_loop.is_some_and(|wanted| !wanted.is(&running.maker.event_loop)) {
            return None;
        }
        let made = running.made.as_ref().map(|made| made.task.clone_ref(py));
        Some((
            made,
            running.driver.clone_ref(py),
            running.context.clone_ref(py),
            Arc::clone(&running.maker),
        ))
    });
    let Some((made, driver, context, maker)) = found else {
        return Ok(None);
    };
    if let Some(task) = made {
        return Ok(Some(task.into_bound(py)));
    }
    let made = maker.make(py, driver.bind(py), context.bind(py))?;
    let task = made.task.bind(py).clone();
    maker.enter.bind(py).call1((&maker.event_loop, &task))?;
    RUNNING.with_borrow_mut(|running| {
        if let Some(running) = running {
            running.made = Some(made);
        }
    });
    Ok(Some(task))
}

/// Puts functions that know of first steps in the place of asyncio's.
fn replace_look_ups(py: Python<'_>, tasks: &Bound<'_, PyModule>) -> PyResult<()> {
    static REPLACED: PyOnceLock<()> = PyOnceLock::new();
    if REPLACED.get(py).is_some() {
        return Ok(());
    }
    let asyncio = py.import("asyncio")?;
    for (name, gives_the_task) in [(c"current_task", true), (c"all_tasks", false)] {
        let text = name.to_str().unwrap_or_default();
        let original = tasks.getattr(text)?.unbind();
        let documentation = if gives_the_task {
            c"Return the running task of the loop, or None."
        } else {
            c"Return a set of the unfinished tasks of the loop."
        };
        let look_up = move |arguments: &Bound<'_, PyTuple>,
                            options: Option<&Bound<'_, PyDict>>|
              -> PyResult<Py<PyAny>> {
            let py = arguments.py();
            let named = match options {
                Some(options) => options.get_item(intern!(py, "loop"))?,
                None => None,
            };
            let event_loop = match named {
                Some(event_loop) => Some(event_loop),
                None => arguments.get_item(0).ok(),
            };
            let task = task_of_first_step(py, event_loop.filter(|at| !at.is_none()).as_ref())?;
            match task {
                Some(task) if gives_the_task => Ok(task.unbind()),
                _ => original.call(py, arguments, options),
            }
        };
        let function = PyCFunction::new_closure(py, Some(name), Some(documentation), look_up)?;
        tasks.setattr(text, &function)?;
        asyncio.setattr(text, &function)?;
    }
    // A second loop of the process finds them replaced.
    REPLACED.set(py, ()).ok();
    Ok(())
}

/// Makes Tasks whose first step is not scheduled but kept.
struct TaskMaker {
    event_loop: Py<PyAny>,
    /// `asyncio.tasks._enter_task` and `_leave_task`.
    enter: Py<PyAny>,
    leave: Py<PyAny>,
    /// The loop's attributes: `call_soon` is put there while a Task is made.
    attributes: Py<PyDict>,
    stand_in: Py<PyAny>,
    caught: Arc<Mutex<Caught>>,
}

#[derive(Default)]
struct Caught {
    expecting: bool,
    step: Option<Py<PyAny>>,
}

impl TaskMaker {
    fn new(
        py: Python<'_>,
        event_loop: &Bound<'_, PyAny>,
        tasks: &Bound<'_, PyModule>,
    ) -> PyResult<Self> {
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
                // Only a Task's step comes alone and from native code; anything else is a
                // collected object's doing and is scheduled as ever.
                if arguments.len() == 1 {
                    let callback = arguments.get_item(0)?;
                    let mut caught = catching.lock();
                    if caught.expecting && is_step(&callback) {
                        caught.expecting = false;
                        caught.step = Some(callback.unbind());
                        return Ok(py.None());
                    }
                }
                real.call(py, arguments, options)
            },
        )?;
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            enter: tasks.getattr("_enter_task")?.unbind(),
            leave: tasks.getattr("_leave_task")?.unbind(),
            attributes: event_loop
                .getattr("__dict__")?
                .cast_into::<PyDict>()?
                .unbind(),
            stand_in: stand_in.into_any().unbind(),
            caught,
        })
    }

    fn leave(&self, py: Python<'_>, task: &Py<PyAny>) -> PyResult<()> {
        let arguments = (&self.event_loop, task);
        self.leave.bind(py).call1(arguments).map(drop)
    }

    fn make<'py>(
        &self,
        py: Python<'py>,
        driver: &Bound<'py, Driver>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Made> {
        let options = PyDict::new(py);
        options.set_item(intern!(py, "loop"), &self.event_loop)?;
        #[cfg(Py_3_11)]
        options.set_item(intern!(py, "context"), context)?;
        #[cfg(not(Py_3_11))]
        let _ = context;
        let attributes = self.attributes.bind(py);
        let name = intern!(py, "call_soon");
        self.caught.lock().expecting = true;
        attributes.set_item(name, &self.stand_in)?;
        let made = Kinds::get(py).task.bind(py).call((driver,), Some(&options));
        attributes.del_item(name)?;
        let step = {
            let mut caught = self.caught.lock();
            caught.expecting = false;
            caught.step.take()
        };
        // Without a step somebody else's `call_soon` got it: the Task is scheduled as ever.
        Ok(Made {
            task: made?.unbind(),
            step,
        })
    }
}

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
