//! Python exceptions become plain text. No `PyErr` leaves the Python module.
//!
//! An exception is a plugin's own object: its `__str__` may raise, block or return megabytes.

use std::path::Path;

use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};

use crate::runtime_types::{Kinds, native_module};
use mozaiks_plugins::{CallError, HostError, runtime::HostTrouble};

const MAX_SUMMARY_CHARS: usize = 500;
const MAX_TRACEBACK_BYTES: usize = 64 * 1024;

/// `ValueError: …` on one line, at most 500 characters.
pub(super) fn summary(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    let name = type_name(value.as_any());
    let message = match value.str() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => "<its __str__ raised>".into(),
    };
    let line = if message.is_empty() {
        name
    } else {
        format!("{name}: {message}")
    };
    line.chars()
        .take(MAX_SUMMARY_CHARS)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// The summary of an import that failed, with the place in the plugin and, where a package is
/// missing, the command that installs it.
pub(super) fn import_summary(py: Python<'_>, error: &PyErr, dir: &Path) -> String {
    let line = summary(py, error);
    let arguments = (error.value(py), error.traceback(py), dir.as_os_str());
    let hint = native_module(py)
        .and_then(|module| module.call_method1("import_trouble", arguments))
        .and_then(|hint| hint.extract::<Option<String>>());
    match hint {
        Ok(Some(hint)) => format!("{line} ({hint})"),
        Ok(None) | Err(_) => line,
    }
}

/// The traceback as Python prints it, from the first frame on that is not the gateway's; at most
/// 64 KiB of it (the end, which says most).
pub(super) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let whole = error.traceback(py);
    let own = native_module(py)
        .and_then(|module| module.call_method1("own_frames", (whole.as_ref(),)))
        .ok();
    let trace = own.or_else(|| whole.map(Bound::into_any));
    // The exception's own `__traceback__` may not be set yet: it is handed over beside it.
    let arguments = (error.get_type(py), error.value(py), trace);
    let formatted = py
        .import("traceback")
        .and_then(|module| module.call_method1("format_exception", arguments))
        .and_then(|lines| PyString::new(py, "").call_method1("join", (lines,)));
    let text = match formatted {
        Ok(text) => match text.cast::<PyString>() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => summary(py, error),
        },
        Err(_) => summary(py, error),
    };
    if text.len() <= MAX_TRACEBACK_BYTES {
        return text;
    }
    let mut start = text.len() - MAX_TRACEBACK_BYTES;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    format!("[… {start} bytes left out]\n{}", &text[start..])
}

/// An exception that left a plugin's function.
pub(super) fn raised(py: Python<'_>, error: &PyErr, action: Option<Box<str>>) -> CallError {
    CallError::Raised {
        summary: summary(py, error),
        traceback: traceback(py, error),
        action,
        trouble: host_trouble(py, error),
    }
}

/// Whether an exception is trouble that the gateway has told of, by its type alone: nothing of the
/// plugin's runs.
fn host_trouble(py: Python<'_>, error: &PyErr) -> Option<HostTrouble> {
    let told = native_module(py)
        .and_then(|module| module.call_method1("host_trouble", (error.value(py),)))
        .ok()?;
    let (code, permission): (String, String) = told.extract().ok()?;
    match &*code {
        "DATABASE_UNAVAILABLE" => Some(HostTrouble::DatabaseUnavailable),
        "STORAGE_FULL" => Some(HostTrouble::StorageFull),
        "PERMISSION_DENIED" => Some(HostTrouble::PermissionDenied(permission.into())),
        "QUOTA_EXCEEDED" => Some(HostTrouble::QuotaExceeded),
        "ENTITY_NOT_MIGRATED" => Some(HostTrouble::EntityNotMigrated),
        _ => None,
    }
}

/// A type's name without running plugin code.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    name.ok()
        .and_then(|name| name.to_str().ok().map(str::to_owned))
        .unwrap_or_else(|| "object".into())
}

/// A host's error as the exception that plugin code sees.
pub(super) fn host_error<'py>(py: Python<'py>, error: &HostError) -> PyResult<Bound<'py, PyAny>> {
    let details = error
        .details
        .as_ref()
        .map(|details| PyBytes::new(py, details));
    Kinds::get(py)
        .host_error
        .bind(py)
        .call1((error.code, &error.message, details))
}
