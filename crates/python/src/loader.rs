//! Imports plugins on threads of their own, so that a module that hangs holds nobody else up.
//!
//! Takes the tables of code, the link to the host, the watch and the limit of imports.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use pyo3::{exceptions::PyLookupError, prelude::*};
use tokio::sync::oneshot;

use crate::{
    caller::CallInfo,
    code::{Code, Entry},
    error,
    frames::OwnCode,
    import::{Answer, Import},
    interpreter::attach,
    parts::Parts,
    runtime_types::{Entered, native_module},
};
use mozaiks_plugins::{
    CallId, Generation, LoadError, LoadedPlugin, PluginSource, actions::DeclaredAction,
};

const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Starts an import.
pub(super) fn load(parts: &Arc<Parts>, source: PluginSource) -> oneshot::Receiver<Answer> {
    let (answer, receiver) = oneshot::channel();
    if parts.looping.is_stopping() {
        answer.send(Err(LoadError::Stopped)).ok();
        return receiver;
    }
    let import = Arc::new(Import::new(
        source.name.clone(),
        own_code(&source, source.generation),
        Instant::now() + parts.limits.import_timeout,
        answer,
    ));
    parts.watch.watch_import(import.clone());
    let (parts, mine) = (parts.clone(), import.clone());
    let spawned = std::thread::Builder::new()
        .name("mozaiks-import".into())
        .stack_size(STACK_BYTES)
        .spawn(move || attach(|py| run(py, &parts, &mine, &source)));
    if let Err(error) = spawned
        && let Some(answer) = import.take_answer()
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

fn run(py: Python<'_>, parts: &Parts, import: &Import, source: &PluginSource) {
    let generation = source.generation;
    let _here = import.progress.bind(py);
    let before = import.progress.enter(CallId::next(), generation);
    let imported = import_plugin(py, parts, generation, source);
    import.progress.leave(py, before);
    let package = &import.own.package;
    let Some(answer) = import.take_answer() else {
        // Too late: nobody will call it.
        match imported {
            Ok(_) => unload(parts, generation),
            Err(_) => discard(py, parts, generation, package),
        }
        return;
    };
    let result = imported.map_err(|error| {
        discard(py, parts, generation, package);
        if error.is_instance_of::<PyLookupError>(py) && is_ours(py, &error) {
            return LoadError::NoEntryPoint(error.value(py).to_string());
        }
        LoadError::Raised {
            summary: error::import_summary(py, &error, &source.dir),
            traceback: error::traceback(py, &error),
        }
    });
    if let Err(Ok(_)) = answer.send(result) {
        unload(parts, generation);
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
    parts: &Parts,
    generation: Generation,
    source: &PluginSource,
) -> PyResult<LoadedPlugin> {
    let info = CallInfo {
        host: parts.host.clone(),
        plugin: source.name.clone(),
        generation,
        principal: None,
        app_id: None,
        request_id: None,
        call: None,
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
    parts.codes.insert(code.clone());
    let native = native_module(py)?;
    if let Some(site) = &source.site {
        let arguments = (
            &code.own.package,
            &*source.name,
            site.dir.as_os_str(),
            site.first,
        );
        native.call_method1("enter_site", arguments)?;
    }
    let loaded = native.call_method1(
        "load_plugin",
        (
            &code.own.package,
            source.dir.as_os_str(),
            source.entry.as_ref().map(|entry| entry.as_os_str()),
            (source.has_parts, &source.parts),
            source.cache.as_ref().map(|folder| folder.as_os_str()),
        ),
    )?;
    drop(entered);
    let (function, is_async, doc, life, hooks, has_execute, actions, modules): Imported =
        loaded.extract()?;
    // Set once: a generation is imported once.
    code.life.set(life).ok();
    if let Some(function) = function {
        code.entry.set(Entry { function, is_async }).ok();
    }
    Ok(LoadedPlugin {
        doc,
        has_execute,
        hooks,
        actions: actions.into_iter().map(declared).collect(),
        cached_modules: modules.0,
        compiled_modules: modules.1,
    })
}

/// What `load_plugin` gives.
type Imported = (
    Option<Py<PyAny>>,
    bool,
    Option<String>,
    Option<Py<PyAny>>,
    Vec<String>,
    bool,
    Vec<ImportedAction>,
    (u64, u64),
);

/// Name, description and the two schemas.
type ImportedAction = (String, Option<String>, String, String);

fn declared((name, description, input, result): ImportedAction) -> DeclaredAction {
    DeclaredAction {
        name,
        description,
        input,
        result,
    }
}

/// Ends a generation: it takes no more calls, what it registered ends, and its modules go when its
/// running calls have ended. Needs no interpreter.
pub(super) fn unload(parts: &Parts, generation: Generation) {
    let code = parts.codes.remove(generation);
    end_registrations(parts, generation);
    if let Some(code) = code {
        parts.watch.retire(code);
    }
}

/// Drops a package from `sys.modules`.
pub(super) fn forget_package(py: Python<'_>, package: &str) {
    let forgotten = native_module(py).and_then(|native| {
        native.call_method1("forget_package", (package,))?;
        native.call_method1("leave_site", (package,))
    });
    if let Err(error) = forgotten {
        let reason = error::summary(py, &error);
        tracing::warn!(package, reason, "plugin.not_forgotten");
    }
}

/// Undoes an import that failed half-way.
fn discard(py: Python<'_>, parts: &Parts, generation: Generation, package: &str) {
    drop(parts.codes.remove(generation));
    end_registrations(parts, generation);
    forget_package(py, package);
}

fn end_registrations(parts: &Parts, generation: Generation) {
    parts.host.services.forget_generation(generation);
    drop(parts.codes.take_handlers(generation));
}
