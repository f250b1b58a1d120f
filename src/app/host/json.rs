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

/// Writes an answer of JSON.
///
/// # Errors
/// `INTERNAL_ERROR` where the answer cannot be written as JSON.
pub fn write_json<T: Serialize>(answer: &T) -> Result<Bytes, HostError> {
    serde_json::to_vec(answer)
        .map(Bytes::from)
        .map_err(|error| host_error("INTERNAL_ERROR", error.to_string()))
}
