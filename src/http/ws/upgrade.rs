//! The handover of a connection: a handler says what follows its 101, the server, which knows what
//! the connection is made of, does it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use parking_lot::Mutex;

use mozaiks_realtime::Wire;

/// What is done with the socket, and with what had already been read from it.
type Serve = Box<dyn FnOnce(Wire, Bytes) -> BoxFuture<'static, ()> + Send>;

/// What follows an answer with status 101. Travels in the answer's extensions.
pub struct SocketUpgrade {
    upgrade: OnUpgrade,
    serve: Serve,
}

/// Extensions are cloned with their response; there is one upgrade all the same.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<SocketUpgrade>>>);

impl SocketUpgrade {
    pub(super) fn new(upgrade: OnUpgrade, serve: Serve) -> Self {
        Self { upgrade, serve }
    }

    pub(super) fn attach<B>(self, response: &mut Response<B>) {
        let slot = Slot(Arc::new(Mutex::new(Some(self))));
        response.extensions_mut().insert(slot);
    }

    /// Takes it out of an answer that has one.
    pub fn take<B>(response: &mut Response<B>) -> Option<Self> {
        response.extensions_mut().remove::<Slot>()?.0.lock().take()
    }

    /// Waits until the 101 is out, then serves the socket until it ends. `open` unwraps the
    /// connection; where it cannot, the connection is dropped.
    pub async fn serve(self, open: impl FnOnce(Upgraded) -> Option<(Wire, Bytes)>) {
        // Fails where the client went away before the answer was out.
        let Ok(upgraded) = self.upgrade.await else {
            return;
        };
        match open(upgraded) {
            Some((socket, leftover)) => (self.serve)(socket, leftover).await,
            None => tracing::error!("an upgraded connection is not a socket"),
        }
    }
}
