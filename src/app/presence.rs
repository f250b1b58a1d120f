//! Who comes and goes, as events: `user:connected` and `user:disconnected`.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use mozaiks_events::{EventBus, EventDraft};
use mozaiks_realtime::{PresenceSink, Realtime};

/// How often users who cannot come back to anything are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Forgets users who have been away for long, for as long as the gateway runs.
pub(super) async fn sweep(realtime: Arc<Realtime>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        realtime.hub.sweep();
    }
}

/// Publishes a user's first and last connection.
pub struct PresenceEvents {
    events: Arc<EventBus>,
}

impl PresenceEvents {
    /// On this bus.
    pub fn new(events: Arc<EventBus>) -> Self {
        Self { events }
    }

    fn publish(&self, name: &'static str, app_id: &Arc<str>, user_id: &Arc<str>) {
        let data = json!({ "app_id": app_id, "user_id": user_id });
        let published = self.events.publish(EventDraft {
            app_id: Arc::clone(app_id),
            principal: None,
            request_id: None,
            name: name.into(),
            data: data.to_string().into(),
        });
        if let Err(error) = published {
            tracing::warn!(event = name, error = %error, "presence was not published");
        }
    }
}

impl PresenceSink for PresenceEvents {
    fn user_connected(&self, app_id: &Arc<str>, user_id: &Arc<str>) {
        self.publish("user:connected", app_id, user_id);
    }

    fn user_disconnected(&self, app_id: &Arc<str>, user_id: &Arc<str>) {
        self.publish("user:disconnected", app_id, user_id);
    }
}
