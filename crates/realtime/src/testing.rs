//! Parts that unit tests of this module share.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    AuthFailure, Authenticator, CloseCode, Hub, Identity, MessageRouter, PresenceSink, Realtime,
    RouteFailure, Routed, Sender,
};
use mozaiks_auth::Principal;
use mozaiks_config::RealtimeConfig;

fn principal(app_id: &str, user_id: &str, good_for_ms: u64) -> Arc<Principal> {
    Arc::new(Principal {
        app_id: app_id.into(),
        user_id: user_id.into(),
        username: None,
        roles: Vec::new(),
        is_superadmin: user_id == "root",
        expires_at_unix: good_for_ms,
        verified: mozaiks_auth::VerifiedContacts::default(),
    })
}

/// A verified user whose token is good for an hour.
pub(super) fn identity(app_id: &str, user_id: &str) -> Identity {
    PlainTokens.identity_of(&principal(app_id, user_id, 3_600_000))
}

/// Remembers what it was told.
#[derive(Default)]
pub(super) struct Presence(pub(super) Mutex<Vec<String>>);

impl PresenceSink for Presence {
    fn user_connected(&self, app_id: &Arc<str>, user_id: &Arc<str>) {
        self.0.lock().push(format!("+{app_id}/{user_id}"));
    }

    fn user_disconnected(&self, app_id: &Arc<str>, user_id: &Arc<str>) {
        self.0.lock().push(format!("-{app_id}/{user_id}"));
    }
}

/// Takes tokens `<app>/<user>` and `<app>/<user>/<milliseconds it is good for>`.
pub(super) struct PlainTokens;

impl Authenticator for PlainTokens {
    fn authenticate(
        &self,
        token: String,
    ) -> BoxFuture<'static, Result<Arc<Principal>, AuthFailure>> {
        Box::pin(async move {
            let mut parts = token.split('/');
            let (Some(app), Some(user)) = (parts.next(), parts.next()) else {
                return Err(AuthFailure {
                    error_code: "TOKEN_INVALID",
                    close: CloseCode::Unauthorized,
                });
            };
            let good_for_ms = parts.next().map_or(3_600_000, |ms| ms.parse().unwrap());
            Ok(principal(app, user, good_for_ms))
        })
    }

    fn identity_of(&self, principal: &Arc<Principal>) -> Identity {
        // Stands for milliseconds from now here.
        let good_for = Duration::from_millis(principal.expires_at_unix);
        Identity {
            principal: Arc::clone(principal),
            valid_until: Instant::now() + good_for,
        }
    }
}

/// Handles `echo` (answers through the hub), `fail`, `busy` and `wait` (never ends).
pub(super) struct Echo(pub(super) Arc<Hub>);

impl MessageRouter for Echo {
    fn count(&self, sender: &Principal) -> Result<(), RouteFailure> {
        let failure = RouteFailure {
            error_code: "RATE_LIMITED",
            error: "too often".into(),
        };
        if &*sender.user_id == "hasty" {
            return Err(failure);
        }
        Ok(())
    }

    fn route(&self, sender: &Sender, message_type: &str, message: &str) -> Routed {
        let failure = |error_code| RouteFailure {
            error_code,
            error: "it did not work".into(),
        };
        match message_type {
            "echo" => {
                let said: serde_json::Value = serde_json::from_str(message).unwrap();
                let answer = serde_json::json!({
                    "type": "echoed", "said": said, "by": sender.principal.user_id,
                });
                let answer = super::Message::from_value(&answer, 1 << 20).unwrap();
                let (hub, sender) = (Arc::clone(&self.0), sender.clone());
                Routed::Taken(Box::pin(async move {
                    hub.send_to_connection(
                        &sender.principal.app_id,
                        &sender.connection_id,
                        &answer,
                    );
                    Ok(())
                }))
            }
            "fail" => Routed::Taken(Box::pin(async move { Err(failure("PLUGIN_ERROR")) })),
            "busy" => Routed::Refused(failure("OVERLOADED")),
            "wait" => Routed::Taken(Box::pin(std::future::pending())),
            _ => Routed::Unknown,
        }
    }
}

/// A whole set of parts over a configuration.
pub(super) fn realtime(config: RealtimeConfig) -> (Arc<Realtime>, Arc<Presence>) {
    let config = Arc::new(config);
    let presence = Arc::new(Presence::default());
    let hub = Hub::new(
        Arc::clone(&config),
        Arc::clone(&presence) as Arc<dyn PresenceSink>,
    );
    let router = Arc::new(Echo(Arc::clone(&hub)));
    let realtime = Realtime::new(hub, config, Arc::new(PlainTokens), router);
    (realtime, presence)
}
