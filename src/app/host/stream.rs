//! `stream.*`: answers of plugins' routes that are written piece by piece.

use std::sync::Arc;

use bytes::Bytes;
use mozaiks_plugins::{Caller, Generation, streams::Streams};
use serde::Deserialize;

use super::{HostFuture, HostPart, host_error, read_json, unknown, write_json};

/// `stream.*`: answers of routes that come in pieces.
pub struct StreamPart {
    streams: Arc<Streams>,
}

impl StreamPart {
    /// Over the gateway's streams.
    pub fn new(streams: Arc<Streams>) -> Self {
        Self { streams }
    }
}

impl HostPart for StreamPart {
    fn prefix(&self) -> &'static str {
        "stream."
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        #[derive(Deserialize)]
        struct Close {
            stream: u64,
            failure: Option<String>,
        }
        let (streams, operation) = (Arc::clone(&self.streams), operation.to_owned());
        Box::pin(async move {
            match operation.as_str() {
                "stream.open" => match streams.open(caller.generation) {
                    Ok(id) => write_json(&id),
                    Err(error) => Err(host_error("OVERLOADED", error.to_string())),
                },
                // The stream's number in eight bytes, then the piece itself.
                "stream.write" => {
                    let Some(number) = payload.first_chunk::<8>() else {
                        return Err(host_error(
                            "VALIDATION_ERROR",
                            "a stream's number is missing",
                        ));
                    };
                    let id = u64::from_be_bytes(*number);
                    write_json(
                        &streams
                            .write(caller.generation, id, payload.slice(8..))
                            .await,
                    )
                }
                "stream.close" => {
                    let Close { stream, failure } = read_json(&payload)?;
                    streams.close(caller.generation, stream, failure).await;
                    write_json(&true)
                }
                other => Err(unknown(other)),
            }
        })
    }

    fn forget_generation(&self, generation: Generation) {
        self.streams.forget_generation(generation);
    }
}
