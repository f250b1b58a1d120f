//! Bodies: what we answer with, and reading what we are sent within its limits.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::error::ApiError;

/// An answer's body: complete bytes without a box on the hot path, axum's for everything else.
pub enum GatewayBody {
    /// Complete; `None` once it has been sent.
    Complete(Option<Bytes>),
    /// From a handler of the router.
    Streaming(axum::body::Body),
}

impl From<Bytes> for GatewayBody {
    fn from(bytes: Bytes) -> Self {
        Self::Complete(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Complete(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streaming(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Complete(bytes) => bytes.is_none(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Complete(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Streaming(body) => body.size_hint(),
        }
    }
}

/// Reads a request's whole body, at most `limit_bytes` of it and for at most `timeout`.
///
/// # Errors
/// `PAYLOAD_TOO_LARGE`, at once where the length is declared; `REQUEST_TIMEOUT`; `BAD_REQUEST` where
/// the body breaks off or its framing is broken.
pub async fn read_body<B>(body: B, limit_bytes: usize, timeout: Duration) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(ApiError::PayloadTooLarge { limit_bytes });
    }
    let mut reading = pin!(read_to_end(body, limit_bytes));
    // Most bodies came along with their head: they need no timer.
    if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await
    {
        return read;
    }
    tokio::time::timeout(timeout, reading)
        .await
        .unwrap_or(Err(ApiError::RequestTimeout))
}

async fn read_to_end<B>(body: B, limit_bytes: usize) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut joined: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::MalformedRequest)?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let so_far = joined.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + data.len() > limit_bytes {
            return Err(ApiError::PayloadTooLarge { limit_bytes });
        }
        match &mut joined {
            Some(joined) => joined.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let rest = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                let mut all =
                    BytesMut::with_capacity((so_far + data.len() + rest).min(limit_bytes));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                joined = Some(all);
            }
        }
    }
    Ok(joined.map_or(first, BytesMut::freeze))
}
