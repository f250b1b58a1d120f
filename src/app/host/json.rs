//! Payloads and answers of operations that speak JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::host_error;
use mozaiks_plugins::HostError;

/// Reads a payload of JSON.
///
/// # Errors
/// `VALIDATION_ERROR` with what is wrong.
pub fn read_json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, HostError> {
    serde_json::from_slice(payload)
        .map_err(|error| host_error("VALIDATION_ERROR", error.to_string()))
}

/// The head and the body of a payload that has both: the length of the head in four bytes, and the two.
///
/// # Errors
/// `VALIDATION_ERROR` where it is cut short.
pub(super) fn head_and_body(payload: &Bytes) -> Result<(&[u8], Bytes), HostError> {
    let short = || host_error("VALIDATION_ERROR", "the request is cut short");
    let length = payload.first_chunk::<4>().ok_or_else(short)?;
    let end = usize::try_from(u32::from_be_bytes(*length))
        .ok()
        .and_then(|length| length.checked_add(4))
        .filter(|end| *end <= payload.len())
        .ok_or_else(short)?;
    Ok((&payload[4..end], payload.slice(end..)))
}

/// Writes an answer of JSON.
///
/// # Errors
/// `INTERNAL_ERROR` where the answer cannot be written as JSON.
pub fn write_json<T: Serialize>(answer: &T) -> Result<Bytes, HostError> {
    serde_json::to_vec(answer)
        .map(Bytes::from)
        .map_err(|error| host_error("INTERNAL_ERROR", error.to_string()))
}
