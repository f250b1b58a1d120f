//! Python objects from what has been recorded of a checked body: containers are made in their size, and
//! a key that comes again is the same string.

use pyo3::{ffi, prelude::*, types::PyDict};

use super::{Builder, keys};
use mozaiks_plugins::body::{Reader, Record, Sink as _, Token};

/// Builds the object; `None` where the record is not of this body.
///
/// # Errors
/// A sentence where a value cannot be built (memory).
pub(super) fn object<'py>(
    py: Python<'py>,
    body: &[u8],
    record: &Record,
) -> Result<Option<Bound<'py, PyDict>>, String> {
    let Some(reader) = record.read(body) else {
        return Ok(None);
    };
    let mut building = Building {
        builder: Builder { py },
        keys: (0..record.keys()).map(|_| None).collect(),
        reader,
    };
    match building.reader.next_token() {
        Some(Token::Object(count)) => building.dict(count).map(Some),
        _ => Ok(None),
    }
}

struct Building<'py, 'a> {
    builder: Builder<'py>,
    reader: Reader<'a>,
    /// By number, once they have been met.
    keys: Vec<Option<Bound<'py, PyAny>>>,
}

impl<'py> Building<'py, '_> {
    // As deep as the check has let the body be.
    fn value(&mut self) -> Result<Bound<'py, PyAny>, String> {
        let builder = &mut self.builder;
        match self.reader.next_token().ok_or_else(ended)? {
            Token::Ascii(text) => builder.ascii(text),
            Token::Text(text) => builder.string(text),
            Token::Integer(number) => builder.integer(number),
            Token::Float(number) => builder.float(number),
            Token::Boolean(flag) => Ok(builder.boolean(flag)),
            Token::Null => Ok(builder.null()),
            Token::BigInteger(digits) => builder.big_integer(digits),
            Token::Object(count) => self.dict(count).map(Bound::into_any),
            Token::Array(count) => self.list(count),
            Token::Key(_) | Token::RareKey(_) => Err(ended()),
        }
    }

    fn list(&mut self, count: usize) -> Result<Bound<'py, PyAny>, String> {
        let size = ffi::Py_ssize_t::try_from(count).map_err(|error| error.to_string())?;
        // SAFETY: attached; a new list with `count` empty places, which Python's own code leaves alone.
        let list = self.builder.owned(unsafe { ffi::PyList_New(size) })?;
        for index in 0..size {
            let value = self.value()?;
            // SAFETY: the list is ours alone and has this place, which takes the reference over.
            unsafe { ffi::PyList_SET_ITEM(list.as_ptr(), index, value.into_ptr()) };
        }
        Ok(list)
    }

    fn dict(&mut self, count: usize) -> Result<Bound<'py, PyDict>, String> {
        let py = self.builder.py;
        let dict = PyDict::new(py);
        for _ in 0..count {
            let (number, rare) = match self.reader.next_token().ok_or_else(ended)? {
                Token::Key(number) => (number, None),
                Token::RareKey(text) => (0, Some(keys::string(py, text).into_any())),
                _ => return Err(ended()),
            };
            let key = match rare {
                Some(key) => key,
                None => self.key(number)?,
            };
            let value = self.value()?;
            // SAFETY: attached, three live objects.
            let set = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
            if set != 0 {
                return Err(PyErr::fetch(py).to_string());
            }
        }
        Ok(dict)
    }

    fn key(&mut self, number: usize) -> Result<Bound<'py, PyAny>, String> {
        let place = self.keys.get_mut(number).ok_or_else(ended)?;
        if let Some(key) = place {
            return Ok(key.clone());
        }
        let text = self.reader.key(number).ok_or_else(ended)?;
        let key = keys::string(self.builder.py, text).into_any();
        Ok(place.insert(key).clone())
    }
}

fn ended() -> String {
    "the record of a body does not fit it".to_owned()
}

impl<'py> Builder<'py> {
    /// A string of ASCII letters.
    fn ascii(&self, text: &str) -> Result<Bound<'py, PyAny>, String> {
        let size = ffi::Py_ssize_t::try_from(text.len()).map_err(|error| error.to_string())?;
        // SAFETY: attached; `size` bytes are read, each a code point.
        self.owned(unsafe {
            ffi::PyUnicode_FromKindAndData(
                ffi::PyUnicode_1BYTE_KIND as std::ffi::c_int,
                text.as_ptr().cast(),
                size,
            )
        })
    }
}
