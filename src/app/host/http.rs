//! `http.*`: requests of plugins to others, within their permissions.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use mozaiks_lifecycle::usage::PluginUsage;
use mozaiks_outbound::{Asking, Outbound, OutboundError, Request};
use mozaiks_plugins::{Caller, HostError};
use serde::Deserialize;
use serde_json::json;

use super::{
    Guard, HostFuture, HostPart, RegistrySlot, host_error, json::head_and_body, read_json, unknown,
};

/// `http.*`: requests to others.
pub struct HttpPart {
    outbound: Arc<Outbound>,
    guard: Arc<Guard>,
    registry: RegistrySlot,
    usage: Arc<PluginUsage>,
}

impl HttpPart {
    /// Over the gateway's way out.
    pub fn new(
        outbound: Arc<Outbound>,
        guard: Arc<Guard>,
        registry: RegistrySlot,
        usage: Arc<PluginUsage>,
    ) -> Self {
        Self {
            outbound,
            guard,
            registry,
            usage,
        }
    }

    /// Requests that a manifest allows its plugin at a time.
    fn max_connections(&self, caller: &Caller) -> Option<usize> {
        let generation = self.registry.get()?.generation_of(caller)?;
        let limits = &generation.manifest()?.resource_limits;
        let limit = (limits.get("network_connections"))
            .or_else(|| limits.get("networkConnections"))?
            .as_u64()?;
        usize::try_from(limit).ok()
    }
}

/// What comes before the body.
#[derive(Deserialize)]
struct Head {
    method: String,
    url: String,
    api: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    timeout: Option<f64>,
    #[serde(default = "yes")]
    follow_redirects: bool,
}

fn yes() -> bool {
    true
}

impl HostPart for HttpPart {
    fn prefix(&self) -> &'static str {
        "http."
    }

    /// `http.request`: the length of a head in four bytes, the head as JSON, the body; and so the answer,
    /// whose head is `{status, headers, url}`.
    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        if operation != "http.request" {
            let error = unknown(operation);
            return Box::pin(async move { Err(error) });
        }
        let (outbound, guard) = (Arc::clone(&self.outbound), Arc::clone(&self.guard));
        let max_connections = self.max_connections(&caller);
        let plugin = self.registry.get().and_then(|all| all.find(&caller.plugin));
        let usage = Arc::clone(&self.usage);
        Box::pin(async move {
            let permissions = guard.permissions(&caller);
            let request = read(&payload)?;
            if let Some(api) = &request.api
                && !permissions.may_call(api)
            {
                return Err(guard.deny(&caller, "http.request", format!("api:{api}")));
            }
            let asking = Asking {
                plugin: &caller.plugin,
                may_reach: &|host, port, is_default| permissions.may_reach(host, port, is_default),
                max_connections,
            };
            let sent = outbound.send(asking, request).await;
            let has_left = !matches!(
                sent,
                Err(OutboundError::Invalid(_)
                    | OutboundError::NotPermitted(_)
                    | OutboundError::Denied(_)
                    | OutboundError::TooMany(_))
            );
            if let (true, Some(plugin), Some(app_id)) = (has_left, &plugin, &caller.app_id) {
                usage.note_connection(plugin, app_id);
            }
            match sent {
                Ok(answer) => {
                    let head = json!({
                        "status": answer.status,
                        "headers": answer.headers,
                        "url": answer.url,
                    });
                    framed(&head.to_string(), &answer.body)
                }
                Err(OutboundError::NotPermitted(permission)) => {
                    Err(guard.deny(&caller, "http.request", permission))
                }
                Err(error) => Err(host_error(code(&error), error.to_string())),
            }
        })
    }
}

fn code(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::Invalid(_) => "VALIDATION_ERROR",
        OutboundError::NotPermitted(_) => super::guard::PERMISSION_DENIED,
        OutboundError::Denied(_) => "NETWORK_DENIED",
        OutboundError::TooMany(_) => "LIMIT_EXCEEDED",
        OutboundError::TimedOut(_) => "UPSTREAM_TIMEOUT",
        OutboundError::Upstream(_) => "UPSTREAM_ERROR",
    }
}

fn read(payload: &Bytes) -> Result<Request, HostError> {
    let (head, body) = head_and_body(payload)?;
    let head: Head = read_json(head)?;
    let timeout = match head.timeout {
        None => None,
        Some(seconds) => Some(
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|timeout| !timeout.is_zero())
                .ok_or_else(|| host_error("VALIDATION_ERROR", "timeout must be more than 0"))?,
        ),
    };
    Ok(Request {
        method: head.method,
        url: head.url,
        api: head.api,
        headers: head.headers,
        body,
        timeout,
        follow_redirects: head.follow_redirects,
    })
}

fn framed(head: &str, body: &[u8]) -> Result<Bytes, HostError> {
    let length = u32::try_from(head.len())
        .map_err(|_| host_error("UPSTREAM_ERROR", "the answer has too many headers"))?;
    let mut framed = BytesMut::with_capacity(4 + head.len() + body.len());
    framed.put_u32(length);
    framed.put_slice(head.as_bytes());
    framed.put_slice(body);
    Ok(framed.freeze())
}
