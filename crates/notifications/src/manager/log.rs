//! What became of deliveries, for admins.

use serde_json::{Map, Value, json};

use super::{MAX_PAGE, NotificationsManager};
use crate::model::NotificationError;

impl NotificationsManager {
    /// The log of deliveries, newest first; `channel` and `status` narrow it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delivery_log(
        &self,
        app_id: &str,
        channel: Option<&str>,
        status: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Value>, NotificationError> {
        let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1);
        self.repository
            .list_jobs(app_id, channel, status, limit)
            .await
    }

    /// How many deliveries of each channel are queued, sent and failed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delivery_counts(&self, app_id: &str) -> Result<Value, NotificationError> {
        let mut counts = Map::new();
        for (queue, state, count) in self.repository.count_jobs(app_id).await? {
            let states = counts.entry(queue).or_insert_with(|| json!({}));
            let state = if state == "claimed" { "queued" } else { &state };
            let sum = states[state].as_i64().unwrap_or(0) + count;
            states[state] = Value::from(sum);
        }
        Ok(Value::Object(counts))
    }

    /// Puts a failed delivery back into its queue.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where there is no failed one of that id.
    pub async fn retry_delivery(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        self.repository.retry_job(app_id, id).await?;
        self.wakeups.wake_channels();
        Ok(())
    }
}
