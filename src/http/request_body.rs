//! A request's body that tells whether it was left unread.
//!
//! HTTP/1 has no way past a body but through it: a connection whose request was answered before its body
//! had come is closed after the answer. The answer has to say so, or a client takes the connection for
//! one that it may use again and loses its next request.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::RequestContext;

/// Pieces that are taken from the connection when the body is dropped: what came along with the head is
/// in one.
const PIECES_TAKEN: usize = 2;

/// Whether the body of a request was dropped before its end.
#[derive(Debug, Default)]
pub struct BodyLeft(AtomicBool);

impl BodyLeft {
    /// True once the body has been dropped with something left to come.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a client sends, read piece by piece.
pub(super) struct RequestBody {
    inner: Incoming,
    context: Arc<RequestContext>,
}

impl RequestBody {
    /// The body of the request that `context` belongs to.
    pub(super) fn new(inner: Incoming, context: Arc<RequestContext>) -> Self {
        Self { inner, context }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..PIECES_TAKEN {
            if self.inner.is_end_stream() {
                return;
            }
            match Pin::new(&mut self.inner).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => return,
                // It broke off, or is still to come.
                Poll::Ready(Some(Err(_))) | Poll::Pending => break,
            }
        }
        if !self.inner.is_end_stream() {
            self.context.body_left.0.store(true, Ordering::Relaxed);
        }
    }
}
