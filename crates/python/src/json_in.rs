//! Request bodies become Python dicts directly, with the verified identity put over the client's.

mod identities;
mod keys;
mod recorded;

use std::sync::Arc;

use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString},
};

use mozaiks_auth::Principal;
use mozaiks_plugins::{
    CallError,
    body::{self, BodyError, Record, Sink},
};

/// Whom a client's object is from: verified, and put over whatever the object says.
pub(super) struct Whose<'a> {
    /// The user, where one is behind the call.
    pub principal: Option<&'a Arc<Principal>>,
    /// The app that the call works for.
    pub app_id: Option<&'a str>,
    pub request_id: &'a str,
}

/// Parses an object that a client has sent and injects whose it is: the one place for every way in. What
/// was recorded when a large one was checked is not parsed again.
///
/// # Errors
/// [`CallError::InvalidJson`], [`CallError::NotAnObject`].
pub(super) fn parse_object<'py>(
    py: Python<'py>,
    object: &[u8],
    record: Option<&Record>,
    max_depth: usize,
    whose: &Whose<'_>,
) -> Result<Bound<'py, PyDict>, CallError> {
    let recorded = match record {
        Some(record) => recorded::object(py, object, record).map_err(CallError::Internal)?,
        None => None,
    };
    let data = match recorded {
        Some(data) => data,
        None => parse(py, object, max_depth)?,
    };
    inject(py, &data, whose).map_err(|error| CallError::Internal(error.to_string()))?;
    Ok(data)
}

fn parse<'py>(
    py: Python<'py>,
    object: &[u8],
    max_depth: usize,
) -> Result<Bound<'py, PyDict>, CallError> {
    match body::walk_object(object, max_depth, &mut Builder { py }) {
        Ok(Some(data)) => Ok(data),
        Ok(None) => Ok(PyDict::new(py)),
        Err(BodyError::Invalid(reason)) => Err(CallError::InvalidJson(reason)),
        Err(BodyError::WrongType(found)) => Err(CallError::NotAnObject(found.into())),
        Err(BodyError::Sink(reason)) => Err(CallError::Internal(reason)),
    }
}

/// Parses a handler's arguments.
///
/// # Errors
/// A sentence; the array is the gateway's own, so that is a bug.
pub(super) fn parse_arguments<'py>(
    py: Python<'py>,
    arguments: &[u8],
    max_depth: usize,
) -> Result<Bound<'py, PyList>, CallError> {
    // The arguments wrap a user's document in one array, and a request's in an object too.
    body::walk_array(arguments, max_depth + 2, &mut Builder { py })
        .map_err(|error| CallError::Internal(format!("a handler's arguments: {error}")))
}

fn inject(py: Python<'_>, data: &Bound<'_, PyDict>, whose: &Whose<'_>) -> PyResult<()> {
    let context = match whose.principal {
        Some(principal) => {
            let identity = identities::of(py, principal)?;
            // Each call has a context of its own: a plugin may change it.
            let context = identity.context.bind(py).copy()?;
            let roles = PyList::new(py, &identity.roles)?;
            context.set_item(intern!(py, "roles"), roles)?;
            data.set_item(intern!(py, "user_id"), &identity.user_id)?;
            data.set_item(intern!(py, "app_id"), &identity.app_id)?;
            context
        }
        None => {
            data.set_item(intern!(py, "user_id"), py.None())?;
            data.set_item(intern!(py, "app_id"), whose.app_id)?;
            identities::nobody(py, whose.app_id)?
        }
    };
    context.set_item(intern!(py, "request_id"), whose.request_id)?;
    data.set_item(intern!(py, "_context"), context)?;
    for reserved in [intern!(py, "_entitlements"), intern!(py, "user_jwt")] {
        if data.contains(reserved)? {
            data.del_item(reserved)?;
        }
    }
    Ok(())
}

/// Builds Python objects.
struct Builder<'py> {
    py: Python<'py>,
}

impl<'py> Builder<'py> {
    /// Takes a new reference from the C API, or the exception it has set.
    fn owned(&self, pointer: *mut ffi::PyObject) -> Result<Bound<'py, PyAny>, String> {
        // SAFETY: the callers pass what a C function has just returned as a new reference.
        unsafe { Bound::from_owned_ptr_or_err(self.py, pointer) }.map_err(|error| error.to_string())
    }
}

impl<'py> Sink for Builder<'py> {
    type Value = Bound<'py, PyAny>;
    type Key = Bound<'py, PyAny>;
    type Array = Bound<'py, PyList>;
    type Object = Bound<'py, PyDict>;

    fn null(&mut self) -> Self::Value {
        self.py.None().into_bound(self.py)
    }

    fn boolean(&mut self, value: bool) -> Self::Value {
        PyBool::new(self.py, value).to_owned().into_any()
    }

    fn integer(&mut self, value: i64) -> Result<Self::Value, String> {
        // SAFETY: attached; takes a plain integer.
        self.owned(unsafe { ffi::PyLong_FromLongLong(value) })
    }

    fn big_integer(&mut self, digits: &str) -> Result<Self::Value, String> {
        self.py
            .get_type::<PyInt>()
            .call1((digits,))
            .map_err(|error| error.to_string())
    }

    fn float(&mut self, value: f64) -> Result<Self::Value, String> {
        Ok(PyFloat::new(self.py, value).into_any())
    }

    fn string(&mut self, value: &str) -> Result<Self::Value, String> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn key(&mut self, value: &str) -> Result<Self::Key, String> {
        Ok(keys::string(self.py, value).into_any())
    }

    fn array(&mut self) -> Result<Self::Array, String> {
        Ok(PyList::empty(self.py))
    }

    fn push(&mut self, array: &mut Self::Array, value: Self::Value) -> Result<(), String> {
        array.append(value).map_err(|error| error.to_string())
    }

    fn end_array(&mut self, array: Self::Array) -> Self::Value {
        array.into_any()
    }

    fn object(&mut self) -> Result<Self::Object, String> {
        Ok(PyDict::new(self.py))
    }

    fn insert(
        &mut self,
        object: &mut Self::Object,
        key: Self::Key,
        value: Self::Value,
    ) -> Result<(), String> {
        object
            .set_item(key, value)
            .map_err(|error| error.to_string())
    }

    fn end_object(&mut self, object: Self::Object) -> Self::Value {
        object.into_any()
    }
}
