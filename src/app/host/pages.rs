//! Events for pages: told over the live connections of the user in whose call they happened.

use std::{collections::VecDeque, sync::Arc};

use mozaiks_events::Event;
use mozaiks_realtime::{Hub, Message};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Events of which it is known that pages have been told: several plugins may want the same one told.
const REMEMBERED: usize = 4096;

/// Whose pages are told what.
pub struct Pages {
    hub: Arc<Hub>,
    max_push_bytes: usize,
    // Touched for each event that is told; never held across an await.
    told: Mutex<VecDeque<u64>>,
}

impl Pages {
    /// Over the live connections there are.
    pub fn new(hub: Arc<Hub>, max_push_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            hub,
            max_push_bytes,
            told: Mutex::default(),
        })
    }

    /// Tells the pages of the event's own user, once. What happened in nobody's call is told nobody.
    pub(super) fn tell(&self, event: &Event) {
        let Some(principal) = &event.principal else {
            return;
        };
        {
            let mut told = self.told.lock();
            if told.contains(&event.id) {
                return;
            }
            if told.len() == REMEMBERED {
                told.pop_front();
            }
            told.push_back(event.id);
        }
        let data: Value = serde_json::from_slice(&event.data.to_json()).unwrap_or_default();
        let frame = json!({"type": "plugin_event", "event": &*event.name, "data": data});
        match Message::from_value(&frame, self.max_push_bytes) {
            Ok(message) => {
                (self.hub).send_to_user(&event.app_id, &principal.user_id, &message);
            }
            Err(error) => {
                tracing::warn!(event.name = &*event.name, %error, "pages.not_told");
            }
        }
    }
}
