//! Results become JSON by one exhaustive rule.
//!
//! Never panics, never recurses without bound, never builds more than the limit. Python code that
//! runs on the way (`model_dump`, `isoformat`) may raise or change what is being walked.

use pyo3::{
    ffi, intern,
    prelude::*,
    types::{
        PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
    },
};

mod types;

use self::types::{Bson, Types};
use crate::plugins::{CallError, CallReply};

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
            path: writer.path_text(),
            reason,
        }),
    }
}

/// A type's name without running plugin code.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    name.ok()
        .and_then(|name| name.to_str().ok().map(str::to_owned))
        .unwrap_or_else(|| "object".into())
}

/// Bytes of a string that are looked through at once for what needs an escape.
const ESCAPE_BLOCK_BYTES: usize = 64;

enum Step {
    Key(Py<PyAny>),
    Index(usize),
    Field(String),
}

struct Writer {
    out: Vec<u8>,
    limits: OutputLimits,
    /// The containers that are open, and where in each the walk is.
    path: Vec<(usize, Step)>,
}

impl Writer {
    fn value(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        // The exact types first: they are nearly all values.
        if value.is_none() {
            return self.raw(b"null");
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            return self.string(text);
        }
        if let Ok(flag) = value.cast_exact::<PyBool>() {
            return self.raw(if flag.is_true() { b"true" } else { b"false" });
        }
        if let Ok(number) = value.cast_exact::<PyInt>() {
            return self.integer(number);
        }
        if let Ok(number) = value.cast_exact::<PyFloat>() {
            return self.float(number.value());
        }
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
            self.step(Step::Key(key.clone().unbind()));
            self.key(dict, &key)?;
            self.raw(b":")?;
            self.value(&item)?;
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

    fn integer(&mut self, number: &Bound<'_, PyInt>) -> Result<(), Fault> {
        let mut overflow = 0;
        // SAFETY: attached and a live int; only the out parameter is written.
        let small =
            unsafe { ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut overflow) };
        if overflow == 0 {
            return self.display(small);
        }
        let text = self.digits(number)?;
        self.raw(text.as_bytes())
    }

    /// Decimal digits as `int` itself writes them, whatever a subclass's `__str__` does.
    fn digits(&self, number: &Bound<'_, PyInt>) -> Result<String, Fault> {
        let py = number.py();
        let written = py
            .get_type::<PyInt>()
            .call_method1(intern!(py, "__repr__"), (number,))
            .map_err(|_| Fault::Unsendable("an int of more than 4300 digits".into()))?;
        written
            .extract::<String>()
            .map_err(|error| raised(py, &error))
    }

    fn float(&mut self, number: f64) -> Result<(), Fault> {
        if !number.is_finite() {
            return Err(Fault::Unsendable(format!(
                "the float {number} has no JSON form"
            )));
        }
        serde_json::to_writer(&mut self.out, &number)
            .map_err(|error| Fault::Unsendable(error.to_string()))?;
        self.check_size(0)
    }

    fn datetime(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        let py = value.py();
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

    fn string(&mut self, text: &Bound<'_, PyString>) -> Result<(), Fault> {
        let Ok(text) = text.to_str() else {
            return Err(Fault::Unsendable("a string with a lone surrogate".into()));
        };
        if is_clean(text.as_bytes()) {
            self.check_size(text.len() + 2)?;
            self.out.reserve(text.len() + 2);
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
            return Ok(());
        }
        self.raw(b"\"")?;
        self.escaped(text)?;
        self.raw(b"\"")
    }

    fn escaped(&mut self, text: &str) -> Result<(), Fault> {
        self.check_size(text.len())?;
        for block in text.as_bytes().chunks(ESCAPE_BLOCK_BYTES) {
            if is_clean(block) {
                self.out.extend_from_slice(block);
            } else {
                self.escaped_block(block);
            }
        }
        self.check_size(0)
    }

    fn escaped_block(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&bytes[start..index]);
            start = index + 1;
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                control => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let escape = [
                        b'\\',
                        b'u',
                        b'0',
                        b'0',
                        HEX[usize::from(control >> 4)],
                        HEX[usize::from(control & 15)],
                    ];
                    self.out.extend_from_slice(&escape);
                }
            }
        }
        self.out.extend_from_slice(&bytes[start..]);
    }

    fn display(&mut self, number: i64) -> Result<(), Fault> {
        serde_json::to_writer(&mut self.out, &number)
            .map_err(|error| Fault::Unsendable(error.to_string()))?;
        self.check_size(0)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.out.extend_from_slice(bytes);
        self.check_size(0)
    }

    fn check_size(&self, more: usize) -> Result<(), Fault> {
        if self.out.len() + more > self.limits.max_bytes {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    /// Opens a container.
    fn enter(&mut self, container: &Bound<'_, PyAny>) -> Result<(), Fault> {
        let address = container.as_ptr() as usize;
        if self.path.len() >= self.limits.max_depth {
            let cycle = self.path.iter().any(|(open, _)| *open == address);
            return Err(Fault::Unsendable(if cycle {
                "a container that holds itself".into()
            } else {
                format!("nested deeper than {}", self.limits.max_depth)
            }));
        }
        self.path.push((address, Step::Index(0)));
        Ok(())
    }

    /// Says where in the innermost container the walk is.
    fn step(&mut self, step: Step) {
        if let Some((_, place)) = self.path.last_mut() {
            *place = step;
        }
    }

    fn path_text(&self) -> String {
        const MAX_PATH_BYTES: usize = 512;
        let mut text = String::from("$");
        Python::attach(|py| {
            for (_, step) in &self.path {
                match step {
                    Step::Index(index) => text.push_str(&format!("[{index}]")),
                    Step::Field(name) => text.push_str(&format!(".{name}")),
                    Step::Key(key) => {
                        let key = key.bind(py);
                        match key
                            .cast::<PyString>()
                            .ok()
                            .and_then(|key| key.to_str().ok())
                        {
                            Some(key) if is_plain(key) => text.push_str(&format!(".{key}")),
                            Some(key) => {
                                let short: String = key.chars().take(64).collect();
                                text.push_str(&format!("[{short:?}]"));
                            }
                            None => text.push_str(&format!(".<{}>", type_name(key))),
                        }
                    }
                }
                if text.len() > MAX_PATH_BYTES {
                    text.push('…');
                    break;
                }
            }
        });
        text
    }
}

/// Whether nothing needs an escape: no branch for each byte, so the compiler compares many at once.
fn is_clean(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |is, &byte| {
        is & (byte >= 0x20) & (byte != b'"') & (byte != b'\\')
    })
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn unsendable(value: &Bound<'_, PyAny>) -> Fault {
    Fault::Unsendable(format!("a value of type {}", type_name(value)))
}

fn raised(py: Python<'_>, error: &PyErr) -> Fault {
    Fault::Unsendable(format!(
        "converting it raised {}",
        super::error::summary(py, error)
    ))
}
