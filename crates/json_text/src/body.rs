//! The JSON that the gateway takes: one grammar, walked into whatever a [`Sink`] builds.
//!
//! The same walk checks a large body before it travels to Python and builds the Python dict there,
//! so the two cannot disagree. Nothing here knows Python.

mod record;

use jiter::{Jiter, JiterError, Peek};

pub use self::record::{Reader, Record, Token};

/// Most digits an integer may have: Python's own limit for converting text to `int`.
pub const MAX_INT_DIGITS: usize = 4300;

/// Nesting that is taken where nothing else is configured.
pub const MAX_DEPTH: usize = 64;

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON as the contract takes it; the sentence says what and where.
    #[error("{0}")]
    Invalid(String),
    /// JSON, but not of the wanted type; names the type that was found.
    #[error("found {0}")]
    WrongType(&'static str),
    /// The sink could not build a value (memory).
    #[error("{0}")]
    Sink(String),
}

/// Builds values while the text is walked.
pub trait Sink {
    /// A finished value.
    type Value;
    /// A finished key.
    type Key;
    /// An array being filled.
    type Array;
    /// An object being filled.
    type Object;

    /// `null`.
    fn null(&mut self) -> Self::Value;
    /// `true` or `false`.
    fn boolean(&mut self, value: bool) -> Self::Value;
    /// An integer that fits 64 bits.
    ///
    /// # Errors
    /// As all methods here: the value could not be built.
    fn integer(&mut self, value: i64) -> Result<Self::Value, String>;
    /// A larger integer, as its digits with an optional minus sign.
    fn big_integer(&mut self, digits: &str) -> Result<Self::Value, String>;
    /// A finite float.
    fn float(&mut self, value: f64) -> Result<Self::Value, String>;
    /// A string.
    fn string(&mut self, value: &str) -> Result<Self::Value, String>;
    /// An object's key.
    fn key(&mut self, value: &str) -> Result<Self::Key, String>;
    /// Starts an array.
    fn array(&mut self) -> Result<Self::Array, String>;
    /// Appends to an array.
    fn push(&mut self, array: &mut Self::Array, value: Self::Value) -> Result<(), String>;
    /// Ends an array.
    fn end_array(&mut self, array: Self::Array) -> Self::Value;
    /// Starts an object.
    fn object(&mut self) -> Result<Self::Object, String>;
    /// Sets a key; of duplicates the last wins.
    fn insert(
        &mut self,
        object: &mut Self::Object,
        key: Self::Key,
        value: Self::Value,
    ) -> Result<(), String>;
    /// Ends an object.
    fn end_object(&mut self, object: Self::Object) -> Self::Value;
}

/// Checks a body without building anything. An empty one counts as `{}`.
///
/// # Errors
/// [`BodyError::Invalid`] where it is no JSON, [`BodyError::WrongType`] where it is no object.
pub fn check_object(body: &[u8], max_depth: usize) -> Result<(), BodyError> {
    walk_object(body, max_depth, &mut Check).map(|_| ())
}

/// Checks that a body is JSON of any kind.
///
/// # Errors
/// What is wrong with it.
pub fn check_value(body: &[u8], max_depth: usize) -> Result<(), String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".into());
    }
    match check_object(body, max_depth) {
        Ok(()) | Err(BodyError::WrongType(_)) => Ok(()),
        Err(BodyError::Invalid(reason) | BodyError::Sink(reason)) => Err(reason),
    }
}

/// Walks a JSON object into the sink; `None` for an empty body.
///
/// # Errors
/// As [`check_object`], and [`BodyError::Sink`].
pub fn walk_object<S: Sink>(
    body: &[u8],
    max_depth: usize,
    sink: &mut S,
) -> Result<Option<S::Object>, BodyError> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut walker = Walker {
        jiter: Jiter::new(body),
        sink,
        max_depth,
    };
    let peek = walker.peek()?;
    if peek == Peek::Object {
        let object = walker.object(1)?;
        walker.finish()?;
        return Ok(Some(object));
    }
    Err(wrong_type(body, max_depth, peek))
}

/// Walks a JSON array into the sink.
///
/// # Errors
/// As [`walk_object`], with "array" for "object".
pub fn walk_array<S: Sink>(
    body: &[u8],
    max_depth: usize,
    sink: &mut S,
) -> Result<S::Array, BodyError> {
    let mut walker = Walker {
        jiter: Jiter::new(body),
        sink,
        max_depth,
    };
    let peek = walker.peek()?;
    if peek == Peek::Array {
        let array = walker.array(1)?;
        walker.finish()?;
        return Ok(array);
    }
    Err(wrong_type(body, max_depth, peek))
}

/// A document of another type is only "not an object" if it is JSON at all.
fn wrong_type(body: &[u8], max_depth: usize, peek: Peek) -> BodyError {
    let mut walker = Walker {
        jiter: Jiter::new(body),
        sink: &mut Check,
        max_depth,
    };
    let checked = walker
        .peek()
        .and_then(|peek| walker.value(peek, 0))
        .and_then(|()| walker.finish());
    match checked {
        Err(error) => error,
        Ok(()) => BodyError::WrongType(match peek {
            Peek::Null => "null",
            Peek::True | Peek::False => "a boolean",
            Peek::String => "a string",
            Peek::Array => "an array",
            Peek::Object => "an object",
            _ => "a number",
        }),
    }
}

struct Walker<'j, 's, S> {
    jiter: Jiter<'j>,
    sink: &'s mut S,
    max_depth: usize,
}

impl<S: Sink> Walker<'_, '_, S> {
    fn peek(&mut self) -> Result<Peek, BodyError> {
        self.jiter.peek().map_err(|error| invalid(&error))
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        self.jiter.finish().map_err(|error| invalid(&error))
    }

    fn value(&mut self, peek: Peek, depth: usize) -> Result<S::Value, BodyError> {
        match peek {
            Peek::String => {
                let text = self.jiter.known_str().map_err(|error| invalid(&error))?;
                self.sink.string(text).map_err(BodyError::Sink)
            }
            Peek::Object => {
                let object = self.object(depth + 1)?;
                Ok(self.sink.end_object(object))
            }
            Peek::Array => {
                let array = self.array(depth + 1)?;
                Ok(self.sink.end_array(array))
            }
            Peek::Null => {
                self.jiter.known_null().map_err(|error| invalid(&error))?;
                Ok(self.sink.null())
            }
            Peek::True | Peek::False => {
                let value = self
                    .jiter
                    .known_bool(peek)
                    .map_err(|error| invalid(&error))?;
                Ok(self.sink.boolean(value))
            }
            peek => self.number(peek),
        }
    }

    fn array(&mut self, depth: usize) -> Result<S::Array, BodyError> {
        self.check_depth(depth)?;
        let mut array = self.sink.array().map_err(BodyError::Sink)?;
        let mut next = self.jiter.known_array().map_err(|error| invalid(&error))?;
        while let Some(peek) = next {
            let value = self.value(peek, depth)?;
            self.sink.push(&mut array, value).map_err(BodyError::Sink)?;
            next = self.jiter.array_step().map_err(|error| invalid(&error))?;
        }
        Ok(array)
    }

    fn object(&mut self, depth: usize) -> Result<S::Object, BodyError> {
        self.check_depth(depth)?;
        let mut object = self.sink.object().map_err(BodyError::Sink)?;
        let mut next = match self.jiter.known_object().map_err(|error| invalid(&error))? {
            Some(key) => Some(self.sink.key(key).map_err(BodyError::Sink)?),
            None => None,
        };
        while let Some(key) = next {
            let peek = self.peek()?;
            let value = self.value(peek, depth)?;
            self.sink
                .insert(&mut object, key, value)
                .map_err(BodyError::Sink)?;
            next = match self.jiter.next_key().map_err(|error| invalid(&error))? {
                Some(key) => Some(self.sink.key(key).map_err(BodyError::Sink)?),
                None => None,
            };
        }
        Ok(object)
    }

    fn number(&mut self, peek: Peek) -> Result<S::Value, BodyError> {
        if !(peek.into_inner().is_ascii_digit() || peek == Peek::Minus) {
            let index = self.jiter.current_index();
            return Err(BodyError::Invalid(format!(
                "expected a value at byte {index}"
            )));
        }
        let index = self.jiter.current_index();
        let bytes = self
            .jiter
            .known_number_bytes(peek)
            .map_err(|error| invalid(&error))?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| BodyError::Invalid(format!("invalid number at byte {index}")))?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let built = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
                return Err(BodyError::Invalid(format!(
                    "invalid number at byte {index}"
                )));
            }
            if digits.len() > MAX_INT_DIGITS {
                return Err(BodyError::Invalid(format!(
                    "the integer at byte {index} has more than {MAX_INT_DIGITS} digits"
                )));
            }
            match text.parse() {
                Ok(value) => self.sink.integer(value),
                Err(_) => self.sink.big_integer(text),
            }
        } else {
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => self.sink.float(value),
                Ok(_) => {
                    return Err(BodyError::Invalid(format!(
                        "the number at byte {index} is out of range"
                    )));
                }
                Err(_) => {
                    return Err(BodyError::Invalid(format!(
                        "invalid number at byte {index}"
                    )));
                }
            }
        };
        built.map_err(BodyError::Sink)
    }

    fn check_depth(&self, depth: usize) -> Result<(), BodyError> {
        if depth > self.max_depth {
            return Err(BodyError::Invalid(format!(
                "nested deeper than {}",
                self.max_depth
            )));
        }
        Ok(())
    }
}

fn invalid(error: &JiterError) -> BodyError {
    BodyError::Invalid(format!("{} at byte {}", error.error_type, error.index))
}

/// Builds nothing.
struct Check;

impl Sink for Check {
    type Value = ();
    type Key = ();
    type Array = ();
    type Object = ();

    fn null(&mut self) {}
    fn boolean(&mut self, _: bool) {}
    fn integer(&mut self, _: i64) -> Result<(), String> {
        Ok(())
    }
    fn big_integer(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn float(&mut self, _: f64) -> Result<(), String> {
        Ok(())
    }
    fn string(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn key(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn array(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn push(&mut self, (): &mut (), (): ()) -> Result<(), String> {
        Ok(())
    }
    fn end_array(&mut self, (): ()) {}
    fn object(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn insert(&mut self, (): &mut (), (): (), (): ()) -> Result<(), String> {
        Ok(())
    }
    fn end_object(&mut self, (): ()) {}
}

#[cfg(test)]
mod tests;
