//! Keys of objects as Python strings that are made once: clients send the same few again and again, and a
//! string that is kept has its hash, which a dict wants of each key.

use std::{cell::RefCell, hash::BuildHasher};

use foldhash::fast::RandomState;
use pyo3::{prelude::*, types::PyString};

/// Longer keys are not kept.
const LONGEST: usize = 48;
/// Keys kept a thread; one takes the place of another whose hash ends alike.
const PLACES: usize = 256;

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::new(Kept::new());
}

struct Kept {
    hasher: RandomState,
    places: Vec<Option<(Box<str>, Py<PyString>)>>,
}

impl Kept {
    fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            places: (0..PLACES).map(|_| None).collect(),
        }
    }
}

/// The key as a Python string.
pub(super) fn string<'py>(py: Python<'py>, key: &str) -> Bound<'py, PyString> {
    if key.len() > LONGEST {
        return PyString::new(py, key);
    }
    KEPT.with_borrow_mut(|kept| {
        let at = kept.hasher.hash_one(key) as usize % PLACES;
        let place = &mut kept.places[at];
        if let Some((text, string)) = place
            && **text == *key
        {
            return string.bind(py).clone();
        }
        let string = PyString::new(py, key);
        // Dropping a str runs no code of anybody's.
        *place = Some((key.into(), string.clone().unbind()));
        string
    })
}
