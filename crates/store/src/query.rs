//! Commands of plugins that are answered in batches, read by the driver's own cursors.
//!
//! A command goes to the server as it came. The driver keeps a cursor's session and server and
//! hands over each batch as the bytes that came from the server.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use mongodb::{
    ClientSession, Database,
    bson::{RawBsonRef, RawDocument, RawDocumentBuf},
    options::{RunCursorCommandOptions, SelectionCriteria},
    raw_batch_cursor::{RawBatch, RawBatchCursor, SessionRawBatchCursor},
};

use super::{StoreError, StoreErrorKind};

/// The first batch as the server sent it, and the cursor where there is more.
pub(super) struct FirstBatch {
    pub(super) reply: Bytes,
    pub(super) more: Option<(i64, OpenCursor)>,
}

/// A cursor that has more to give.
pub(super) struct OpenCursor {
    driver: Driver,
    /// Whether it waits for what has not happened yet.
    pub(super) watches: bool,
}

enum Driver {
    Plain(Box<RawBatchCursor>),
    /// With the session that it must be read in.
    InSession(Box<SessionRawBatchCursor>, i64),
}

impl OpenCursor {
    /// The session that it must be read in.
    pub(super) fn session(&self) -> Option<i64> {
        match &self.driver {
            Driver::Plain(_) => None,
            Driver::InSession(_, session) => Some(*session),
        }
    }
}

/// How a command is sent that is answered in batches.
pub(super) struct Reading {
    pub(super) command: RawDocumentBuf,
    /// Which servers may answer.
    pub(super) from: Option<SelectionCriteria>,
    /// How long a batch of a change stream is waited for.
    pub(super) wait: Option<Duration>,
    pub(super) watches: bool,
}

impl Reading {
    /// Sends it.
    pub(super) async fn start(
        &self,
        database: &Database,
        session: Option<(i64, &mut ClientSession)>,
    ) -> Result<FirstBatch, StoreError> {
        let command = database
            .run_raw_cursor_command(self.command.clone())
            .with_options(self.options());
        let (batch, driver) = match session {
            None => {
                let mut cursor = command.batch().await?;
                (cursor.next().await, Driver::Plain(Box::new(cursor)))
            }
            Some((id, session)) => {
                let mut cursor = command.session(&mut *session).batch().await?;
                let batch = cursor.stream(session).next().await;
                (batch, Driver::InSession(Box::new(cursor), id))
            }
        };
        let batch = batch.ok_or_else(|| invalid("an empty answer"))??;
        let id = cursor_id(&batch);
        let cursor = OpenCursor {
            driver,
            watches: self.watches,
        };
        Ok(FirstBatch {
            reply: bytes_of(&batch),
            more: (id != 0).then_some((id, cursor)),
        })
    }

    /// What the driver needs for the batches that follow.
    fn options(&self) -> RunCursorCommandOptions {
        let command = &self.command;
        let nested = command.get_document("cursor").ok();
        let mut options = RunCursorCommandOptions::default();
        options.batch_size = number(command, "batchSize")
            .or_else(|| nested.and_then(|cursor| number(cursor, "batchSize")))
            .filter(|size| *size > 0);
        options.comment = (command.get("comment").ok().flatten())
            .and_then(|comment| mongodb::bson::Bson::try_from(comment).ok());
        options.selection_criteria.clone_from(&self.from);
        options.max_time = self.wait;
        options
    }
}

/// Reads the next batch; gives the cursor back where there is more.
pub(super) async fn next_batch(
    mut cursor: OpenCursor,
    session: Option<&mut ClientSession>,
) -> Result<(Bytes, Option<OpenCursor>), StoreError> {
    let batch = match (&mut cursor.driver, session) {
        (Driver::Plain(cursor), _) => cursor.next().await,
        (Driver::InSession(cursor, _), Some(session)) => cursor.stream(session).next().await,
        (Driver::InSession(..), None) => return Err(invalid("the cursor's session has ended")),
    };
    let batch = batch.ok_or_else(|| invalid("the cursor has ended"))??;
    let has_more = cursor_id(&batch) != 0;
    Ok((bytes_of(&batch), has_more.then_some(cursor)))
}

fn bytes_of(batch: &RawBatch) -> Bytes {
    Bytes::copy_from_slice(batch.as_raw_document().as_bytes())
}

fn cursor_id(batch: &RawBatch) -> i64 {
    batch
        .as_raw_document()
        .get_document("cursor")
        .and_then(|cursor| cursor.get_i64("id"))
        .unwrap_or(0)
}

/// A whole number that is not negative; what else stands there is the server's to refuse.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number was checked to be whole and small enough"
)]
fn number(document: &RawDocument, key: &str) -> Option<u32> {
    match document.get(key).ok()?? {
        RawBsonRef::Int32(number) => u32::try_from(number).ok(),
        RawBsonRef::Int64(number) => i32::try_from(number).ok()?.try_into().ok(),
        RawBsonRef::Double(number)
            if number.fract() == 0.0 && (0.0..f64::from(i32::MAX)).contains(&number) =>
        {
            Some(number as u32)
        }
        _ => None,
    }
}

pub(super) fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

pub(super) fn malformed(error: mongodb::bson::error::Error) -> StoreError {
    invalid(format!("the command is not valid BSON: {error}"))
}
