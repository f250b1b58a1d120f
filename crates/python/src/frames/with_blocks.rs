//! Whether a frame is inside a `with`, read from its function's exception table.
//!
//! The table has an entry for each stretch of instructions with the handler that an exception in it goes to:
//! start, length and target, and the depth of the stack, as numbers of six bits a byte. That of a `with`
//! begins with the call of its end.

use pyo3::{intern, prelude::*, types::PyBytes};

use crate::runtime_types::Kinds;

/// Bytes of an instruction.
const UNIT: usize = 2;

/// Handlers within handlers that are looked at.
const DEPTH: usize = 32;

/// What marks the call of a `with`'s end among the instructions.
const ENDS_WITH: u8 = 2;

/// One stretch of a function, in instructions.
#[derive(Debug, PartialEq, Eq)]
struct Covered {
    start: usize,
    end: usize,
    handler: usize,
}

/// Whether the frame's next instruction is inside a `with` of its function.
pub(super) fn holds(frame: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = frame.py();
    let at: isize = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let Ok(at) = usize::try_from(at) else {
        return Ok(false);
    };
    let code = frame.getattr(intern!(py, "f_code"))?;
    let table = code.getattr(intern!(py, "co_exceptiontable"))?;
    let table = table.cast::<PyBytes>()?.as_bytes();
    if table.is_empty() {
        return Ok(false);
    }
    let instructions = code.getattr(intern!(py, "co_code"))?;
    let instructions = instructions.cast::<PyBytes>()?.as_bytes();
    let kinds = Kinds::get(py).checked_instructions.bind(py).as_bytes();
    let ends_with = |at: usize| {
        // The first instruction of a handler keeps the exception.
        let number = instructions.get((at + 1) * UNIT).copied();
        number.is_some_and(|number| kinds.get(usize::from(number)) == Some(&ENDS_WITH))
    };
    Ok(is_inside(&entries(table), at / UNIT, ends_with))
}

/// Whether an exception at `at`, or in the handler that it goes to, and so on, comes to the end of a `with`.
fn is_inside(entries: &[Covered], mut at: usize, ends_with: impl Fn(usize) -> bool) -> bool {
    for _ in 0..DEPTH {
        let covers = |entry: &&Covered| (entry.start..entry.end).contains(&at);
        let Some(entry) = entries.iter().find(covers) else {
            return false;
        };
        if ends_with(entry.handler) {
            return true;
        }
        at = entry.handler;
    }
    true
}

fn entries(table: &[u8]) -> Vec<Covered> {
    let mut bytes = table.iter().copied();
    std::iter::from_fn(|| {
        let start = number(&mut bytes)?;
        let length = number(&mut bytes)?;
        let handler = number(&mut bytes)?;
        number(&mut bytes)?;
        Some(Covered {
            start,
            end: start + length,
            handler,
        })
    })
    .collect()
}

fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    const MORE: u8 = 0x40;
    const DIGIT: u8 = 0x3f;
    let mut value = 0;
    loop {
        let byte = bytes.next()?;
        value = value << 6 | usize::from(byte & DIGIT);
        if byte & MORE == 0 {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        // Start 3, length 70 (two digits), handler 80, depth 1 with its flag; then another entry.
        let table = [0x83, 0x41, 0x06, 0x41, 0x10, 0x03, 0x90, 0x02, 0x20, 0x00];
        let expected = [
            Covered {
                start: 3,
                end: 73,
                handler: 80,
            },
            Covered {
                start: 16,
                end: 18,
                handler: 32,
            },
        ];
        assert_eq!(entries(&table), expected);
    }

    #[test]
    fn a_try_inside_a_with_is_inside_it() {
        let entries = [
            // The body of the `try`, its handler, the body of the `with`.
            Covered {
                start: 10,
                end: 20,
                handler: 30,
            },
            Covered {
                start: 30,
                end: 40,
                handler: 50,
            },
            Covered {
                start: 60,
                end: 70,
                handler: 80,
            },
        ];
        let ends_with = |handler| handler == 50;
        assert!(is_inside(&entries, 12, ends_with));
        assert!(is_inside(&entries, 35, ends_with));
        assert!(!is_inside(&entries, 45, ends_with));
        assert!(!is_inside(&entries, 65, ends_with));
    }
}
