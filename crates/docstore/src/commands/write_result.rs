//! Failures of single statements within a write command, as drivers expect them.

use bson::{Bson, Document, doc};

use crate::error::{Code, CommandError, Result};

/// Failed statements, in order.
#[derive(Debug, Default)]
pub struct WriteErrors {
    /// `{index, code, errmsg, …}`.
    pub errors: Vec<Document>,
}

impl WriteErrors {
    /// Notes a failed statement. Failures of the store as a whole are passed on.
    pub fn add(&mut self, index: usize, error: CommandError) -> Result<()> {
        if is_fatal(&error) {
            return Err(error);
        }
        let mut entry = doc! {
            "index": i32::try_from(index).unwrap_or(i32::MAX),
            "code": error.code,
            "errmsg": error.message,
        };
        entry.extend(error.extra);
        self.errors.push(entry);
        Ok(())
    }

    /// `writeErrors`, if there are any.
    pub fn append_to(self, reply: &mut Document) {
        if !self.errors.is_empty() {
            let errors: Vec<Bson> = self.errors.into_iter().map(Bson::Document).collect();
            reply.insert("writeErrors", errors);
        }
    }
}

/// Whether the whole command fails, not only one statement.
pub fn is_fatal(error: &CommandError) -> bool {
    [
        Code::OutOfDiskSpace,
        Code::InternalError,
        Code::InterruptedAtShutdown,
        Code::NoSuchTransaction,
        Code::WriteConflict,
        Code::MaxTimeMSExpired,
    ]
    .iter()
    .any(|code| *code as i32 == error.code)
}

/// A count as an answer has it: 32 bits where it fits.
pub fn count(value: u64) -> Bson {
    match i32::try_from(value) {
        Ok(value) => Bson::Int32(value),
        Err(_) => Bson::Int64(i64::try_from(value).unwrap_or(i64::MAX)),
    }
}
