//! Results become JSON by one exhaustive rule.
//!
//! Never panics, never recurses without bound, never builds more than the limit. Python code that
//! runs on the way (`model_dump`, `isoformat`) may raise or change what is being walked.

use pyo3::{
    ffi, intern,
    prelude::*,
    types::{
        PyBool, PyBytes, PyDateTime, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
        PyTuple, PyType, PyTzInfoAccess as _,
    },
};

mod place;
mod text;
mod types;

use self::{
    place::Step,
    types::{Bson, Types},
};
use crate::error::type_name;
use mozaiks_plugins::{CallError, CallReply};

/// Limits of a result.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputLimits {
    /// Bytes of the JSON.
    pub max_bytes: usize,
    /// Nesting.
    pub max_depth: usize,
}

/// Why a value cannot be sent.
enum Fault {
    TooLarge,
    Unsendable(String),
}

/// Converts what `execute` returned.
///
/// # Errors
/// [`CallError::BadResult`], [`CallError::NotSerializable`], [`CallError::OutputTooLarge`].
pub(super) fn write_reply(
    result: &Bound<'_, PyAny>,
    limits: OutputLimits,
    action: Option<Box<str>>,
) -> Result<CallReply, CallError> {
    let py = result.py();
    let Ok(dict) = result.cast::<PyDict>() else {
        return Err(CallError::BadResult(type_name(result)));
    };
    let body = write_value(result, limits)?;
    let text = |key: &Bound<'_, PyString>| -> Option<Box<str>> {
        let value = dict.get_item(key).ok().flatten()?;
        let value = value.cast::<PyString>().ok()?;
        Some(value.to_str().ok()?.into())
    };
    let domain_failure = text(intern!(py, "error")).map(|_| text(intern!(py, "error_code")));
    Ok(CallReply {
        body: body.into(),
        domain_failure,
        action,
    })
}

/// Converts any value.
///
/// # Errors
/// As [`write_reply`], without [`CallError::BadResult`].
pub(super) fn write_value(
    value: &Bound<'_, PyAny>,
    limits: OutputLimits,
) -> Result<Vec<u8>, CallError> {
    let mut writer = Writer {
        out: Vec::with_capacity(256),
        limits,
        path: Vec::new(),
    };
    match writer.value(value) {
        Ok(()) => Ok(writer.out),
        Err(Fault::TooLarge) => Err(CallError::OutputTooLarge {
            limit_bytes: limits.max_bytes,
        }),
        Err(Fault::Unsendable(reason)) => Err(CallError::NotSerializable {
            path: writer.path_text(value.py()),
            reason,
        }),
    }
}

struct Writer {
    out: Vec<u8>,
    limits: OutputLimits,
    /// The containers that are open, and where in each the walk is.
    path: Vec<(usize, Step)>,
}

impl Writer {
    /// Writes what holds nothing else and is of JSON's own types, exactly: nearly all values are. `None`
    /// for everything else.
    #[inline]
    fn plain(&mut self, value: &Bound<'_, PyAny>) -> Option<Result<(), Fault>> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            return Some(self.string(text));
        }
        if let Ok(number) = value.cast_exact::<PyInt>() {
            return Some(self.integer(number));
        }
        if value.is_none() {
            return Some(self.raw(b"null"));
        }
        if let Ok(flag) = value.cast_exact::<PyBool>() {
            return Some(self.raw(if flag.is_true() { b"true" } else { b"false" }));
        }
        let number = value.cast_exact::<PyFloat>().ok()?;
        Some(self.float(number.value()))
    }

    fn value(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        match self.plain(value) {
            Some(written) => written,
            None => self.container(value),
        }
    }

    /// What [`Self::plain`] does not write.
    fn container(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            return self.dict(dict);
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            return self.list(list);
        }
        self.other(value)
    }

    /// Subclasses and everything that is not JSON's own.
    fn other(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        let py = value.py();
        let types = Types::get(py).map_err(|error| raised(py, &error))?;
        // What documents of a database are full of.
        let kind = value.get_type();
        if kind.is(&types.datetime) {
            return self.datetime(value);
        }
        if Bson::loaded(py).is_some_and(|bson| kind.is(&bson.object_id)) {
            return self.object_id(value);
        }
        let is = |kind: &Py<PyAny>| value.is_instance(kind.bind(py)).unwrap_or(false);
        if is(&types.enumeration) {
            let inner = self.attribute(value, "value")?;
            return self.nested(value, Step::Field("value".into()), &inner);
        }
        if let Ok(text) = value.cast::<PyString>() {
            return self.string(text);
        }
        if let Ok(number) = value.cast::<PyInt>() {
            return self.integer(number);
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            return self.float(number.value());
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.list(list);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.sequence(value, tuple.iter().map(Ok));
        }
        if value.cast::<PySet>().is_ok() || value.cast::<PyFrozenSet>().is_ok() {
            let items = value.try_iter().map_err(|error| raised(py, &error))?;
            return self.sequence(value, items);
        }
        if is(&types.datetime) {
            return self.datetime(value);
        }
        if is(&types.date) || is(&types.time) {
            return self.text_of(value, "isoformat");
        }
        if is(&types.uuid) || is(&types.decimal) {
            return self.text_of(value, "__str__");
        }
        if Bson::loaded(py).is_some_and(|bson| is(&bson.object_id) || is(&bson.decimal128)) {
            return self.text_of(value, "__str__");
        }
        self.object(value)
    }

    /// Dataclasses and what has `model_dump`; the last rule before giving up.
    fn object(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        let py = value.py();
        if value.is_instance_of::<PyType>() {
            return Err(unsendable(value));
        }
        let kind = value.get_type();
        if kind.hasattr(intern!(py, "model_dump")).unwrap_or(false) {
            let dumped = value
                .call_method0(intern!(py, "model_dump"))
                .map_err(|error| raised(py, &error))?;
            return self.nested(value, Step::Field("model_dump()".into()), &dumped);
        }
        if !kind
            .hasattr(intern!(py, "__dataclass_fields__"))
            .unwrap_or(false)
        {
            return Err(unsendable(value));
        }
        let types = Types::get(py).map_err(|error| raised(py, &error))?;
        let fields = types
            .dataclass_fields
            .bind(py)
            .call1((value,))
            .map_err(|error| raised(py, &error))?;
        let fields = fields.cast::<PyTuple>().map_err(|_| unsendable(value))?;
        self.enter(value)?;
        self.raw(b"{")?;
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.raw(b",")?;
            }
            let name = self.attribute(&field, "name")?;
            self.step(Step::Key(name.clone().unbind()));
            let name = name.cast::<PyString>().map_err(|_| unsendable(&name))?;
            self.string(name)?;
            self.raw(b":")?;
            let item = value.getattr(name).map_err(|error| raised(py, &error))?;
            self.value(&item)?;
        }
        self.path.pop();
        self.raw(b"}")
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>) -> Result<(), Fault> {
        let py = dict.py();
        self.enter(dict)?;
        self.raw(b"{")?;
        let length = dict.len();
        let mut position: ffi::Py_ssize_t = 0;
        let mut first = true;
        loop {
            let mut key = std::ptr::null_mut();
            let mut item = std::ptr::null_mut();
            // SAFETY: attached, a live dict; `PyDict_Next` checks the position against the dict as
            // it is now, and both borrowed results become references of our own at once.
            let (key, item) = unsafe {
                if ffi::PyDict_Next(
                    dict.as_ptr(),
                    &raw mut position,
                    &raw mut key,
                    &raw mut item,
                ) == 0
                {
                    break;
                }
                (
                    Bound::from_borrowed_ptr(py, key),
                    Bound::from_borrowed_ptr(py, item),
                )
            };
            if !first {
                self.raw(b",")?;
            }
            first = false;
            let written = self
                .key(dict, &key)
                .and_then(|()| self.raw(b":"))
                .map(|()| self.plain(&item));
            match written {
                Ok(Some(Ok(()))) => continue,
                // Where the walk is matters to errors and to what is within.
                Ok(Some(Err(fault))) | Err(fault) => {
                    self.step(Step::Key(key.unbind()));
                    return Err(fault);
                }
                Ok(None) => self.step(Step::Key(key.unbind())),
            }
            self.container(&item)?;
            if dict.len() != length {
                return Err(Fault::Unsendable(
                    "the dict changed while it was being sent".into(),
                ));
            }
        }
        self.path.pop();
        self.raw(b"}")
    }

    fn key(&mut self, dict: &Bound<'_, PyDict>, key: &Bound<'_, PyAny>) -> Result<(), Fault> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.string(text);
        }
        let number = key
            .cast::<PyInt>()
            .ok()
            .filter(|_| !key.is_instance_of::<PyBool>());
        let Some(number) = number else {
            return Err(Fault::Unsendable(format!(
                "a key of type {}",
                type_name(key)
            )));
        };
        let text = self.digits(number)?;
        if dict.contains(&text).unwrap_or(true) {
            return Err(Fault::Unsendable(format!(
                "the int key {text} is there as a string too"
            )));
        }
        self.raw(b"\"")?;
        self.raw(text.as_bytes())?;
        self.raw(b"\"")
    }

    fn list(&mut self, list: &Bound<'_, PyList>) -> Result<(), Fault> {
        self.enter(list)?;
        self.raw(b"[")?;
        let mut index = 0;
        // The length is asked each time: code run for an item may shorten the list.
        while index < list.len() {
            let Ok(item) = list.get_item(index) else {
                break;
            };
            if index > 0 {
                self.raw(b",")?;
            }
            self.step(Step::Index(index));
            self.value(&item)?;
            index += 1;
        }
        self.path.pop();
        self.raw(b"]")
    }

    fn sequence<'py>(
        &mut self,
        owner: &Bound<'py, PyAny>,
        items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
    ) -> Result<(), Fault> {
        self.enter(owner)?;
        self.raw(b"[")?;
        for (index, item) in items.enumerate() {
            let item = item.map_err(|error| raised(owner.py(), &error))?;
            if index > 0 {
                self.raw(b",")?;
            }
            self.step(Step::Index(index));
            self.value(&item)?;
        }
        self.path.pop();
        self.raw(b"]")
    }

    /// Writes `inner` in place of `owner`; counts as a level, so that it ends.
    fn nested(
        &mut self,
        owner: &Bound<'_, PyAny>,
        step: Step,
        inner: &Bound<'_, PyAny>,
    ) -> Result<(), Fault> {
        self.enter(owner)?;
        self.step(step);
        self.value(inner)?;
        self.path.pop();
        Ok(())
    }

    fn object_id(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        // Its bytes; where pymongo keeps them elsewhere one day, it says itself what they are.
        let kept = value.getattr(intern!(value.py(), "_ObjectId__id"));
        match kept
            .as_ref()
            .ok()
            .and_then(|kept| kept.cast::<PyBytes>().ok())
        {
            Some(bytes) => self.hexadecimal(bytes.as_bytes()),
            None => self.text_of(value, "__str__"),
        }
    }

    fn datetime(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        let py = value.py();
        if let Ok(exact) = value.cast_exact::<PyDateTime>() {
            let zone = exact.get_tzinfo();
            let is_utc =
                zone.is_none_or(|zone| Types::get(py).is_ok_and(|types| zone.is(&types.utc)));
            if is_utc {
                return self.utc(exact);
            }
        }
        let offset = value
            .call_method0(intern!(py, "utcoffset"))
            .map_err(|error| raised(py, &error))?;
        let text = self.call_text(value, "isoformat")?;
        self.raw(b"\"")?;
        self.escaped(&text)?;
        if offset.is_none() {
            self.raw(b"+00:00")?;
        }
        self.raw(b"\"")
    }

    fn text_of(&mut self, value: &Bound<'_, PyAny>, method: &str) -> Result<(), Fault> {
        let text = self.call_text(value, method)?;
        self.raw(b"\"")?;
        self.escaped(&text)?;
        self.raw(b"\"")
    }

    fn call_text(&self, value: &Bound<'_, PyAny>, method: &str) -> Result<String, Fault> {
        let py = value.py();
        let text = value
            .call_method0(method)
            .map_err(|error| raised(py, &error))?;
        text.extract::<String>().map_err(|error| raised(py, &error))
    }

    fn attribute<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        name: &str,
    ) -> Result<Bound<'py, PyAny>, Fault> {
        value
            .getattr(name)
            .map_err(|error| raised(value.py(), &error))
    }
}

fn unsendable(value: &Bound<'_, PyAny>) -> Fault {
    Fault::Unsendable(format!("a value of type {}", type_name(value)))
}

fn raised(py: Python<'_>, error: &PyErr) -> Fault {
    Fault::Unsendable(format!(
        "converting it raised {}",
        crate::error::summary(py, error)
    ))
}
