//! Numbers and strings as JSON text, within the limit of bytes.

use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyDateAccess as _, PyDateTime, PyInt, PyString, PyTimeAccess as _},
};

use super::{Fault, Writer, raised};
use mozaiks_json_text::is_clean;

/// Bytes of a string that are looked through at once for what needs an escape.
const ESCAPE_BLOCK_BYTES: usize = 64;

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Writer {
    pub(super) fn integer(&mut self, number: &Bound<'_, PyInt>) -> Result<(), Fault> {
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
    pub(super) fn digits(&self, number: &Bound<'_, PyInt>) -> Result<String, Fault> {
        let py = number.py();
        let written = py
            .get_type::<PyInt>()
            .call_method1(intern!(py, "__repr__"), (number,))
            .map_err(|_| Fault::Unsendable("an int of more than 4300 digits".into()))?;
        written
            .extract::<String>()
            .map_err(|error| raised(py, &error))
    }

    pub(super) fn float(&mut self, number: f64) -> Result<(), Fault> {
        if !number.is_finite() {
            return Err(Fault::Unsendable(format!(
                "the float {number} has no JSON form"
            )));
        }
        serde_json::to_writer(&mut self.out, &number)
            .map_err(|error| Fault::Unsendable(error.to_string()))?;
        self.check_size(0)
    }

    pub(super) fn string(&mut self, text: &Bound<'_, PyString>) -> Result<(), Fault> {
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

    /// A moment in UTC as `isoformat` writes it.
    pub(super) fn utc(&mut self, at: &Bound<'_, PyDateTime>) -> Result<(), Fault> {
        let mut text = *b"\"0000-00-00T00:00:00.000000+00:00\"";
        let mut write = |end: usize, digits: usize, number: u32| {
            let mut rest = number;
            for place in text[end - digits..end].iter_mut().rev() {
                *place = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        };
        write(5, 4, at.get_year().unsigned_abs());
        write(8, 2, at.get_month().into());
        write(11, 2, at.get_day().into());
        write(14, 2, at.get_hour().into());
        write(17, 2, at.get_minute().into());
        write(20, 2, at.get_second().into());
        let micros = at.get_microsecond();
        write(27, 6, micros);
        if micros == 0 {
            self.raw(&text[..20])?;
            return self.raw(&text[27..]);
        }
        self.raw(&text)
    }

    /// Bytes as a string of their hexadecimal digits.
    pub(super) fn hexadecimal(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.check_size(bytes.len() * 2 + 2)?;
        self.out.push(b'"');
        for byte in bytes {
            self.out.push(HEX[usize::from(byte >> 4)]);
            self.out.push(HEX[usize::from(byte & 15)]);
        }
        self.out.push(b'"');
        Ok(())
    }

    /// A string's inside; the quotes are the caller's.
    pub(super) fn escaped(&mut self, text: &str) -> Result<(), Fault> {
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

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.out.extend_from_slice(bytes);
        self.check_size(0)
    }

    fn check_size(&self, more: usize) -> Result<(), Fault> {
        if self.out.len() + more > self.limits.max_bytes {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }
}
