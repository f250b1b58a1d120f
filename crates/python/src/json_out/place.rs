//! Where the walk through a result is: the open containers, which keep it finite, and the path that is
//! told where a value cannot be sent.

use pyo3::{prelude::*, types::PyString};

use super::{Fault, Writer};
use crate::error::type_name;

/// A place in a container.
pub(super) enum Step {
    Key(Py<PyAny>),
    Index(usize),
    Field(String),
}

impl Writer {
    /// Opens a container.
    pub(super) fn enter(&mut self, container: &Bound<'_, PyAny>) -> Result<(), Fault> {
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
    pub(super) fn step(&mut self, step: Step) {
        if let Some((_, place)) = self.path.last_mut() {
            *place = step;
        }
    }

    /// `$.items[1].name`, shortened where it is very long.
    pub(super) fn path_text(&self, py: Python<'_>) -> String {
        const MAX_PATH_BYTES: usize = 512;
        let mut text = String::from("$");
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
        text
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
