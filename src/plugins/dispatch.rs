//! One call of one plugin: limits, queue, deadline, cancellation. No HTTP.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    auth::Principal,
    plugins::{
        registry::Plugin,
        runtime::{CallError, CallReply, PluginRuntime},
    },
};

/// Why a call gave no dict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DispatchError {
    /// Switched off.
    #[error("the plugin is disabled")]
    Disabled,
    /// Not loaded; the reason is for admins only.
    #[error("the plugin is not available")]
    Unavailable(Arc<str>),
    /// The plugin's or the runtime's queue is full, or the gateway is draining.
    #[error("too many calls are waiting")]
    Overloaded,
    /// No answer within the limit; the call has been asked to stop.
    #[error("the plugin did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The call itself failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Sends calls to the runtime within each plugin's limits.
pub struct Dispatcher {}

impl Dispatcher {
    /// A dispatcher over a runtime.
    pub fn new(_runtime: Arc<dyn PluginRuntime>) -> Arc<Self> {
        unimplemented!()
    }

    /// Calls `execute` and waits for its dict, at most for the plugin's time limit. The call goes on
    /// when the returned future is dropped (a client that goes away does not cancel its call).
    pub async fn call(
        &self,
        _plugin: &Arc<Plugin>,
        _principal: Arc<Principal>,
        _request_id: Arc<str>,
        _body: Bytes,
    ) -> Result<CallReply, DispatchError> {
        unimplemented!()
    }

    /// Calls started and not yet ended: what draining waits for.
    pub fn in_flight(&self) -> usize {
        unimplemented!()
    }

    /// From now on every call is answered `Overloaded`.
    pub fn start_draining(&self) {
        unimplemented!()
    }
}
