//! Routes, layers and resources: the only axum beside the server.
//!
//! `routes` lists what there is, [`Gateway::answer`] the order of what happens to every request.
//! `POST /api/execute/{plugin}` is recognised before the router: at its rate the router's boxed
//! handlers and extractors are a good part of what a call costs.

mod admin;
mod arguments;
mod body;
mod client_address;
mod demo;
mod error;
mod exchange;
mod execute;
mod framing;
mod hooks;
mod identify;
mod json_body;
mod notifications;
mod openapi;
mod operations;
pub mod origin;
mod plugin_actions;
mod plugin_executions;
mod plugin_jobs;
mod plugin_life;
mod plugin_logs;
mod plugin_migrations;
mod plugin_parts;
mod plugin_permissions;
mod plugin_routes;
mod plugin_usage;
mod plugin_workers;
mod plugins;
mod rates;
mod request_body;
mod request_id;
mod routes;
mod settings;
mod slots;
mod state;
mod stored;
mod stream;
mod ticket;
mod typed;
mod widgets;
mod ws;

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::Router;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt as _;

pub use body::{BodyLimits, BodyRoom, GatewayBody, read_body};
pub use demo::page_of;
pub use error::ApiError;
pub use exchange::RequestContext;
pub use framing::BodyFraming;
pub use identify::{Admin, User};
pub use openapi::PluginDocument;
use request_body::RequestBody;
use state::AppState;
pub use state::{App, Life, Phase};
pub use ws::{SocketUpgrade, Wire};

use exchange::Exchange;
use mozaiks_telemetry::access::AccessRecord;
use request_id::RequestId;

/// Where calls of plugins go; the rest of the path is the plugin's name.
const EXECUTE: &str = "/api/execute/";

/// Answers requests. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    app: Arc<App>,
    router: Router,
}

impl Gateway {
    /// The gateway over its joined parts.
    pub fn new(app: Arc<App>) -> Self {
        let mut router = routes::router();
        if app.dev {
            router = router.merge(demo::routes());
        }
        let router = router
            .fallback(async || ApiError::NotFound)
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed {
                // The router adds the methods it knows to the answer.
                allow: HeaderValue::from_static(""),
            })
            .with_state(AppState(Arc::clone(&app)));
        Self { app, router }
    }

    /// Answers one request, which came from `peer`. The layers, in their order:
    ///
    /// 1. the exchange: request id, clock; at its end the headers every answer has, the counters
    ///    and the log line, also where the client goes away
    /// 2. a panic below becomes `INTERNAL_ERROR`
    /// 3. limits of the head that the protocol does not keep itself
    /// 4. origins: a preflight is answered here
    /// 5. execute, else the router; whoever has been identified is counted there, where rates are limited
    /// 6. who has not been is counted by address
    pub async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<GatewayBody> {
        let mut exchange = Exchange::begin(&self.app, &request, peer);
        let mut result = survive(self.dispatch(&mut exchange, request)).await;
        if let Err(error) = exchange.context().counting.address(&self.app) {
            result = Err(error);
        }
        exchange.finish(result)
    }

    /// The whole answer to a head that never became a request, counted and logged as one.
    pub fn refuse(&self, error: &ApiError, waited: Duration) -> Vec<u8> {
        let id = RequestId::generate();
        let (status, code) = error.status_and_code();
        self.app
            .metrics
            .requests_refused
            .fetch_add(1, Ordering::Relaxed);
        self.app.access.write(&AccessRecord {
            request_id: &id.text,
            // Whatever was sent there is not to be trusted.
            method: "-",
            path: "-",
            status: status.as_u16(),
            time: waited,
            error_code: Some(code),
            ..AccessRecord::default()
        });
        error::refusal_answer(error, &id.text)
    }

    async fn dispatch(
        &self,
        exchange: &mut Exchange<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<GatewayBody>, ApiError> {
        let framing = request.extensions().get::<BodyFraming>().cloned();
        let request =
            request.map(|body| RequestBody::new(body, framing, Arc::clone(exchange.context())));
        if let Err(error) = framing::check_head(&request) {
            exchange.context().must_close.set();
            return Err(error);
        }
        self.check_head(&request)?;
        if let Some(preflight) = self.app.origins.preflight(&request) {
            // Pages of good users ask so, without any credentials.
            exchange.context().counting.spare();
            return preflight;
        }
        if plugin_routes::split(request.uri().path()).is_some() {
            return plugin_routes::serve(&self.app, exchange, request).await;
        }
        if request.uri().path().starts_with(EXECUTE) {
            if request.method() != Method::POST {
                return Err(ApiError::MethodNotAllowed {
                    allow: HeaderValue::from_static("POST"),
                });
            }
            return execute::call_plugin(&self.app, exchange, request).await;
        }
        if rates::is_watching(request.uri().path()) {
            exchange.context().counting.spare();
        }
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Arc::clone(exchange.context()));
        let request = Request::from_parts(head, axum::body::Body::new(body));
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        exchange::open(response)
    }

    fn check_head<B>(&self, request: &Request<B>) -> Result<(), ApiError> {
        let uri = request.uri();
        let uri_bytes = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
        if uri_bytes > self.app.server.max_uri_bytes {
            return Err(ApiError::UriTooLong);
        }
        if request.headers().len() > self.app.server.max_headers {
            return Err(ApiError::HeadTooLarge);
        }
        Ok(())
    }
}

/// A handler's panic ends its request, not the connection or the process.
async fn survive<T>(handling: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let handled = AssertUnwindSafe(handling).catch_unwind().await;
    handled.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(ApiError::Internal(format!(
            "a handler panicked: {}",
            text.unwrap_or("without a message")
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_with_its_text_for_the_log() {
        let handling = async { panic!("index {} out of range", 7) };
        let error = survive::<()>(handling).await.unwrap_err();
        assert_eq!(error.status_and_code().1, "INTERNAL_ERROR");
        assert_eq!(
            error.internal(),
            Some("a handler panicked: index 7 out of range")
        );
        assert!(!error.message().contains("index"));
    }
}
