//! Python types that results may hold, looked up once.

use pyo3::{prelude::*, sync::PyOnceLock};

/// Types that results may hold besides JSON's own.
pub(super) struct Types {
    pub(super) enumeration: Py<PyAny>,
    pub(super) datetime: Py<PyAny>,
    /// `datetime.timezone.utc`.
    pub(super) utc: Py<PyAny>,
    pub(super) date: Py<PyAny>,
    pub(super) time: Py<PyAny>,
    pub(super) uuid: Py<PyAny>,
    pub(super) decimal: Py<PyAny>,
    pub(super) dataclass_fields: Py<PyAny>,
}

impl Types {
    pub(super) fn get(py: Python<'_>) -> PyResult<&Self> {
        static TYPES: PyOnceLock<Types> = PyOnceLock::new();
        TYPES.get_or_try_init(py, || {
            let get = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
                Ok(py.import(module)?.getattr(name)?.unbind())
            };
            Ok(Self {
                enumeration: get("enum", "Enum")?,
                datetime: get("datetime", "datetime")?,
                utc: get("datetime", "timezone")?.getattr(py, "utc")?,
                date: get("datetime", "date")?,
                time: get("datetime", "time")?,
                uuid: get("uuid", "UUID")?,
                decimal: get("decimal", "Decimal")?,
                dataclass_fields: get("dataclasses", "fields")?,
            })
        })
    }
}

/// pymongo's own types. Looked up only once a plugin has imported them: no value of theirs exists
/// before.
pub(super) struct Bson {
    pub(super) object_id: Py<PyAny>,
    pub(super) decimal128: Py<PyAny>,
}

impl Bson {
    pub(super) fn loaded(py: Python<'_>) -> Option<&Self> {
        static BSON: PyOnceLock<Bson> = PyOnceLock::new();
        if let Some(bson) = BSON.get(py) {
            return Some(bson);
        }
        let modules = py.import("sys").ok()?.getattr("modules").ok()?;
        let get = |module: &str, name: &str| -> Option<Py<PyAny>> {
            Some(modules.get_item(module).ok()?.getattr(name).ok()?.unbind())
        };
        let bson = Self {
            object_id: get("bson.objectid", "ObjectId")?,
            decimal128: get("bson.decimal128", "Decimal128")?,
        };
        Some(BSON.get_or_init(py, || bson))
    }
}
