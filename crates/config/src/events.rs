//! The event bus: how much it keeps, and for how long it tries.

use std::time::Duration;

/// The bounds of the event bus.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// Bytes of one event's data. `MOZAIKS_EVENT_MAX_BYTES`
    pub max_event_bytes: usize,
    /// Events waiting for one subscription. `MOZAIKS_EVENT_QUEUE_SIZE`
    pub queue_size: usize,
    /// Bytes of data waiting for one subscription. `MOZAIKS_EVENT_QUEUE_BYTES`
    pub queue_bytes: usize,
    /// Bytes of data that the whole bus holds before queues with more than their share shrink.
    /// `MOZAIKS_EVENT_TOTAL_BYTES`
    pub total_bytes: usize,
    /// Subscriptions at a time. `MOZAIKS_EVENT_MAX_SUBSCRIPTIONS`
    pub max_subscriptions: usize,
    /// Subscriptions of one plugin at a time. `MOZAIKS_EVENT_MAX_SUBSCRIPTIONS_PER_PLUGIN`
    pub max_subscriptions_per_owner: usize,
    /// One attempt of one delivery. `MOZAIKS_EVENT_DELIVERY_TIMEOUT_SECONDS`
    pub delivery_timeout: Duration,
    /// Waits before the second, third… attempt.
    pub retry_delays: Vec<Duration>,
    /// Events of one subscription waiting for their next attempt.
    pub max_waiting_retries: usize,
    /// Events kept of each name. `MOZAIKS_EVENT_HISTORY_SIZE`
    pub history_per_name: usize,
    /// Names (of each app) with a history. `MOZAIKS_EVENT_HISTORY_NAMES`
    pub history_names: usize,
    /// Bytes of data kept as history. `MOZAIKS_EVENT_HISTORY_BYTES`
    pub history_bytes: usize,
    /// How long subscribers of one priority may keep those of the next waiting.
    /// `MOZAIKS_EVENT_LEVEL_SECONDS`
    pub level_wait: Duration,
    /// Dead letters kept. `MOZAIKS_EVENT_DEAD_LETTERS`
    pub max_dead_letters: usize,
    /// Bytes of data kept as dead letters. `MOZAIKS_EVENT_DEAD_LETTER_BYTES`
    pub dead_letter_bytes: usize,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            max_event_bytes: 1024 * 1024,
            queue_size: 128 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            total_bytes: 256 * 1024 * 1024,
            max_subscriptions: 16 * 1024,
            max_subscriptions_per_owner: 1024,
            delivery_timeout: Duration::from_secs(30),
            level_wait: Duration::from_secs(5),
            retry_delays: vec![
                Duration::from_millis(500),
                Duration::from_secs(1),
                Duration::from_secs(2),
            ],
            max_waiting_retries: 1024,
            history_per_name: 100,
            history_names: 10_000,
            history_bytes: 32 * 1024 * 1024,
            max_dead_letters: 1000,
            dead_letter_bytes: 16 * 1024 * 1024,
        }
    }
}
