//! The tables of what is loaded: each import of a plugin, and the functions that it has registered.
//!
//! No lock of these is held while Python code may run: what is taken out is given back, to be dropped
//! by the caller.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use pyo3::prelude::*;

use crate::frames::OwnCode;
use mozaiks_plugins::{
    Generation, Target,
    host::{HandlerId, RegistrationId},
};

/// One import of one plugin.
pub(super) struct Code {
    pub plugin: Arc<str>,
    pub generation: Generation,
    /// Which modules and files are its own.
    pub own: OwnCode,
    /// `execute` or `run`, once the import has ended, where it has one.
    pub entry: OnceLock<Entry>,
    /// What runs the steps of the load's life, once the import has ended, where it has any.
    pub life: OnceLock<Option<Py<PyAny>>>,
}

/// A plugin's entry point.
pub(super) struct Entry {
    pub function: Py<PyAny>,
    /// Whether it gives a coroutine, and so belongs on the loop.
    pub is_async: bool,
}

/// A registered function.
pub(super) struct Handler {
    /// What it is part of: a handler that runs keeps its modules.
    pub code: Arc<Code>,
    pub function: Py<PyAny>,
    pub is_async: bool,
    /// The host's number for it, once it has given one.
    pub registration: OnceLock<RegistrationId>,
}

/// What a call calls.
pub(super) enum Function {
    /// The entry point of a load whose import has ended.
    Entry(Arc<Code>),
    /// A step in the life of such a load.
    Life(Arc<Code>),
    /// A migration of such a load's plugin.
    Migration(Arc<Code>),
    Handler(Arc<Handler>),
}

impl Function {
    /// What it is part of.
    pub(super) fn code(&self) -> &Arc<Code> {
        match self {
            Self::Entry(code) | Self::Life(code) | Self::Migration(code) => code,
            Self::Handler(handler) => &handler.code,
        }
    }

    /// Whether it gives a coroutine, and so belongs on the loop.
    pub(super) fn is_async(&self) -> bool {
        match self {
            Self::Entry(code) => code.entry.get().is_some_and(|entry| entry.is_async),
            Self::Life(_) | Self::Migration(_) => true,
            Self::Handler(handler) => handler.is_async,
        }
    }

    /// The function itself.
    pub(super) fn callable(&self, py: Python<'_>) -> Py<PyAny> {
        match self {
            Self::Entry(code) => match code.entry.get() {
                Some(entry) => entry.function.clone_ref(py),
                None => py.None(),
            },
            Self::Life(code) => match code.life.get() {
                Some(Some(run)) => run.clone_ref(py),
                Some(None) | None => py.None(),
            },
            Self::Migration(code) => migration_of(py, &code.own.package).unwrap_or_else(|error| {
                let reason = crate::error::summary(py, &error);
                tracing::error!(
                    plugin.name = &*code.plugin,
                    reason,
                    "the SDK runs no migrations"
                );
                py.None()
            }),
            Self::Handler(handler) => handler.function.clone_ref(py),
        }
    }
}

/// What runs a migration of a package's. Imported when the first one runs: most plugins have none.
fn migration_of(py: Python<'_>, package: &str) -> PyResult<Py<PyAny>> {
    let runner = py.import("mozaiks.plugin._migrate")?;
    Ok(runner.call_method1("of", (package,))?.unbind())
}

/// What is loaded. Written at load, unload and registration, read for every call.
#[derive(Default)]
pub(super) struct CodeTable {
    /// Plugins imported or being so.
    generations: RwLock<HashMap<Generation, Arc<Code>, RandomState>>,
    handlers: RwLock<HashMap<HandlerId, Arc<Handler>, RandomState>>,
}

impl CodeTable {
    /// What a call is to call; `None` where that is not loaded (any more).
    pub(super) fn function(&self, target: Target) -> Option<Function> {
        match target {
            Target::Execute(generation) => {
                let code = self.code(generation)?;
                code.entry.get()?;
                Some(Function::Entry(code))
            }
            Target::Life(generation) => {
                let code = self.code(generation)?;
                code.life.get()?.as_ref()?;
                Some(Function::Life(code))
            }
            Target::Migration(generation) => Some(Function::Migration(self.code(generation)?)),
            Target::Handler(handler) => {
                let handler = self.handlers.read().get(&handler).cloned()?;
                Some(Function::Handler(handler))
            }
        }
    }

    /// The code of a generation that is loaded.
    pub(super) fn code(&self, generation: Generation) -> Option<Arc<Code>> {
        self.generations.read().get(&generation).cloned()
    }

    /// An import has begun.
    pub(super) fn insert(&self, code: Arc<Code>) {
        self.generations.write().insert(code.generation, code);
    }

    /// A generation takes no more calls.
    #[must_use]
    pub(super) fn remove(&self, generation: Generation) -> Option<Arc<Code>> {
        self.generations.write().remove(&generation)
    }

    /// The loaded code that a module or file belongs to.
    pub(super) fn owner(&self, module: &str, file: &str) -> Option<Arc<Code>> {
        let generations = self.generations.read();
        let mut codes = generations.values();
        codes.find(|code| code.own.holds(module, file)).cloned()
    }

    /// A function is registered.
    pub(super) fn add_handler(&self, id: HandlerId, handler: Arc<Handler>) {
        self.handlers.write().insert(id, handler);
    }

    /// A registered function that was refused.
    #[must_use]
    pub(super) fn remove_handler(&self, id: HandlerId) -> Option<Arc<Handler>> {
        self.handlers.write().remove(&id)
    }

    /// Takes out what the host knows by that number, if it is that generation's: a plugin ends its own
    /// registrations only.
    #[must_use]
    pub(super) fn unregister(
        &self,
        generation: Generation,
        registration: RegistrationId,
    ) -> Option<Arc<Handler>> {
        let mut handlers = self.handlers.write();
        let id = handlers
            .iter()
            .find(|(_, handler)| {
                handler.code.generation == generation
                    && handler.registration.get() == Some(&registration)
            })
            .map(|(id, _)| *id)?;
        handlers.remove(&id)
    }

    /// Takes out all that a generation has registered.
    #[must_use]
    pub(super) fn take_handlers(&self, generation: Generation) -> Vec<Arc<Handler>> {
        let mut handlers = self.handlers.write();
        let of = |handler: &mut Arc<Handler>| handler.code.generation == generation;
        let taken = handlers.extract_if(|_, handler| of(handler));
        taken.map(|(_, handler)| handler).collect()
    }
}
