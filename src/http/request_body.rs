//! A request's body that tells whether its connection can be used once more.
//!
//! HTTP/1 has no way past a body but through it: a connection whose request was answered before its body
//! had come is closed after the answer. The answer has to say so, or a client takes the connection for
//! one that it may use again and loses its next request. The same goes for a body that does not end as
//! it should.

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

use super::{exchange::RequestContext, framing::BodyFraming};

/// Pieces that are taken from the connection when the body is dropped: what came along with the head is
/// in one.
const PIECES_TAKEN: usize = 2;

/// Whether the connection of a request ends with the answer.
#[derive(Debug, Default)]
pub struct MustClose(AtomicBool);

impl MustClose {
    /// True once the request's end is not where the next one begins.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyFault {
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    #[error("the body does not end as it should")]
    Framing,
}

/// What a client sends, read piece by piece.
pub(super) struct RequestBody {
    inner: Incoming,
    /// Of a body with a `Transfer-Encoding`.
    framing: Option<BodyFraming>,
    context: Arc<RequestContext>,
}

impl RequestBody {
    /// The body of the request that `context` belongs to.
    pub(super) fn new(
        inner: Incoming,
        framing: Option<BodyFraming>,
        context: Arc<RequestContext>,
    ) -> Self {
        Self {
            inner,
            framing,
            context,
        }
    }

    fn is_broken(&self) -> bool {
        self.framing.as_ref().is_some_and(BodyFraming::is_broken)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if self.is_broken() && polled.is_ready() {
            self.context.must_close.set();
            return Poll::Ready(Some(Err(BodyFault::Framing)));
        }
        polled.map_err(BodyFault::from)
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
        let mut ended = false;
        for _ in 0..PIECES_TAKEN {
            if self.inner.is_end_stream() {
                ended = true;
                break;
            }
            match Pin::new(&mut self.inner).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => {
                    ended = true;
                    break;
                }
                // It broke off, or is still to come.
                Poll::Ready(Some(Err(_))) | Poll::Pending => break,
            }
        }
        if self.is_broken() || !(ended || self.inner.is_end_stream()) {
            self.context.must_close.set();
        }
    }
}
