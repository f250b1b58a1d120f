//! Imports plugins on threads of their own, so that a module that hangs holds nobody else up.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use pyo3::{exceptions::PyLookupError, prelude::*};
use tokio::sync::oneshot;

use super::{
    caller::CallInfo,
    error,
    frames::OwnCode,
    interpreter::attach,
    progress::Progress,
    runtime_types::Entered,
    shared::{Code, Entry, Shared},
};
use mozaiks_plugins::{CallId, Generation, LoadError, LoadedPlugin, PluginSource};

const STACK_BYTES: usize = 16 * 1024 * 1024;

type Answer = Result<LoadedPlugin, LoadError>;

/// An import under way: the watchdog ends it at its deadline.
pub(super) struct Import {
    pub plugin: Arc<str>,
    /// Which modules and files are the plugin's own.
    pub own: OwnCode,
    pub deadline: Instant,
    /// Taken by whoever answers first.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    pub progress: Progress,
}

impl Import {
    /// Answers that it took too long; `false` where it has been answered.
    pub(super) fn time_out(&self, seconds: u64) -> bool {
        let Some(answer) = self.answer.lock().take() else {
            return false;
        };
        // The registry has gone where this fails.
        answer.send(Err(LoadError::TimedOut { seconds })).ok();
        true
    }

    /// Whether nobody waits any more.
    pub(super) fn is_answered(&self) -> bool {
        self.answer.lock().is_none()
    }
}

/// Starts an import.
pub(super) fn load(shared: &Arc<Shared>, source: PluginSource) -> oneshot::Receiver<Answer> {
    let (answer, receiver) = oneshot::channel();
    if shared.stopping.load(Ordering::Acquire) {
        answer.send(Err(LoadError::Stopped)).ok();
        return receiver;
    }
    let import = Arc::new(Import {
        plugin: source.name.clone(),
        own: own_code(&source, source.generation),
        deadline: Instant::now() + shared.limits.import_timeout,
        answer: Mutex::new(Some(answer)),
        progress: Progress::default(),
    });
    shared.watchdog.watch_import(import.clone());
    let (shared, mine) = (shared.clone(), import.clone());
    let spawned = std::thread::Builder::new()
        .name("mozaiks-import".into())
        .stack_size(STACK_BYTES)
        .spawn(move || attach(|py| run(py, &shared, &mine, &source)));
    if let Err(error) = spawned
        && let Some(answer) = import.answer.lock().take()
    {
        let summary = format!("no thread to import it on: {error}");
        let failed = LoadError::Raised {
            traceback: summary.clone(),
            summary,
        };
        answer.send(Err(failed)).ok();
    }
    receiver
}

fn run(py: Python<'_>, shared: &Arc<Shared>, import: &Import, source: &PluginSource) {
    let generation = source.generation;
    let _here = import.progress.bind(py);
    let before = import.progress.enter(CallId::next(), generation);
    let imported = import_plugin(py, shared, generation, source);
    import.progress.leave(py, before);
    let package = &import.own.package;
    let Some(answer) = import.answer.lock().take() else {
        // Too late: nobody will call it.
        match imported {
            Ok(_) => unload(shared, generation),
            Err(_) => discard(py, shared, generation, package),
        }
        return;
    };
    let result = imported.map_err(|error| {
        discard(py, shared, generation, package);
        if error.is_instance_of::<PyLookupError>(py) && is_ours(py, &error) {
            return LoadError::NoEntryPoint(error.value(py).to_string());
        }
        LoadError::Raised {
            summary: error::summary(py, &error),
            traceback: error::traceback(py, &error),
        }
    });
    if let Err(Ok(_)) = answer.send(result) {
        unload(shared, generation);
    }
}

/// `LookupError` itself comes from `load_plugin`; a plugin's is a `KeyError` or `IndexError`, or
/// has left more frames behind.
fn is_ours(py: Python<'_>, error: &PyErr) -> bool {
    error.get_type(py).is(py.get_type::<PyLookupError>())
        && error.traceback(py).is_some_and(|traceback| {
            traceback
                .getattr("tb_next")
                .is_ok_and(|next| next.is_none())
        })
}

fn own_code(source: &PluginSource, generation: Generation) -> OwnCode {
    let package = format!("mozaiks_plugin_{}_g{}", source.name, generation.0);
    OwnCode::new(package, &source.dir)
}

fn import_plugin(
    py: Python<'_>,
    shared: &Arc<Shared>,
    generation: Generation,
    source: &PluginSource,
) -> PyResult<LoadedPlugin> {
    let info = CallInfo {
        shared: shared.clone(),
        plugin: source.name.clone(),
        generation,
        principal: None,
        app_id: None,
        request_id: None,
    };
    let info = Bound::new(py, info)?;
    let entered = Entered::new(info.as_any())?;
    let code = Arc::new(Code {
        plugin: source.name.clone(),
        generation,
        own: own_code(source, generation),
        entry: OnceLock::new(),
        life: OnceLock::new(),
    });
    // Known from the start: what the import registers is part of it.
    shared.generations.write().insert(generation, code.clone());
    let loaded = super::native::module(py)?.call_method1(
        "load_plugin",
        (
            &code.own.package,
            source.dir.as_os_str(),
            source.entry.as_ref().map(|entry| entry.as_os_str()),
            source.has_parts,
        ),
    )?;
    drop(entered);
    let (function, is_async, doc, life, hooks): Imported = loaded.extract()?;
    // Set once: a generation is imported once.
    code.life.set(life).ok();
    let has_execute = function.is_some();
    if let Some(function) = function {
        code.entry.set(Entry { function, is_async }).ok();
    }
    Ok(LoadedPlugin {
        doc,
        has_execute,
        hooks,
    })
}

/// What `load_plugin` gives.
type Imported = (
    Option<Py<PyAny>>,
    bool,
    Option<String>,
    Option<Py<PyAny>>,
    Vec<String>,
);

/// Ends a generation: it takes no more calls, what it registered ends, and its modules go when its
/// running calls have ended. Needs no interpreter.
pub(super) fn unload(shared: &Shared, generation: Generation) {
    let code = shared.generations.write().remove(&generation);
    end_registrations(shared, generation);
    if let Some(code) = code {
        shared.watchdog.retire(code);
    }
}

/// Drops a package from `sys.modules`.
pub(super) fn forget_package(py: Python<'_>, package: &str) {
    let forgotten = super::native::module(py)
        .and_then(|native| native.call_method1("forget_package", (package,)));
    if let Err(error) = forgotten {
        let reason = error::summary(py, &error);
        tracing::warn!(package, reason, "plugin.not_forgotten");
    }
}

/// Undoes an import that failed half-way.
fn discard(py: Python<'_>, shared: &Shared, generation: Generation, package: &str) {
    let code = shared.generations.write().remove(&generation);
    drop(code);
    end_registrations(shared, generation);
    forget_package(py, package);
}

fn end_registrations(shared: &Shared, generation: Generation) {
    shared.host.forget_generation(generation);
    let ended: Vec<_> = {
        let mut handlers = shared.handlers.write();
        let ids: Vec<_> = handlers
            .iter()
            .filter(|(_, handler)| handler.code.generation == generation)
            .map(|(id, _)| *id)
            .collect();
        ids.iter().filter_map(|id| handlers.remove(id)).collect()
    };
    // Dropped after the lock: it may run the plugin's code.
    drop(ended);
}
