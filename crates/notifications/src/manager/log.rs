//! What became of deliveries, for admins.

use std::collections::BTreeMap;

use super::{MAX_PAGE, NotificationsManager};
use crate::{
    jobs::{DELIVERIES, job_view, known_state, states_of},
    model::NotificationError,
    views::JobView,
};
use mozaiks_jobs::{JobFilter, QueueStats};

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
    ) -> Result<Vec<JobView>, NotificationError> {
        let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1);
        let one = channel.map(|channel| [channel]);
        let states = status.map(states_of).unwrap_or_default();
        let filter = JobFilter {
            app_id,
            queues: one.as_ref().map_or(&DELIVERIES[..], |one| &one[..]),
            states: &states,
            limit,
            ..JobFilter::default()
        };
        let jobs = self.jobs.list(&filter).await?;
        Ok(jobs.iter().map(job_view).collect())
    }

    /// How many deliveries of each channel are queued, sent and failed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delivery_counts(
        &self,
        app_id: &str,
    ) -> Result<BTreeMap<String, BTreeMap<String, i64>>, NotificationError> {
        let mut counts = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (queue, state, count) in self.jobs.count(app_id).await? {
            let states = counts.entry(queue).or_default();
            *states.entry(known_state(&state).to_owned()).or_default() += count;
        }
        Ok(counts)
    }

    /// Puts a failed delivery back into its queue.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where there is no failed one of that id.
    pub async fn retry_delivery(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        match self.jobs.revive(app_id, &DELIVERIES, id).await {
            Err(mozaiks_jobs::JobError::NotFound) => {
                Err(NotificationError::NotFound("failed delivery"))
            }
            outcome => Ok(outcome?),
        }
    }

    /// What has become of deliveries and other jobs in this process.
    pub fn job_stats(&self) -> QueueStats {
        self.jobs.stats()
    }
}
