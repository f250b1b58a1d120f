//! Takes due runs from the database, as many as there is room for.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bson::DateTime;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use super::{PluginJobs, run};

/// How often it is looked whether every live job has its entry in the database.
const DECLARE_INTERVAL: Duration = Duration::from_secs(15);
/// The same where apps may come, and plugins be switched off in one of them.
const DECLARE_INTERVAL_OF_MANY: Duration = Duration::from_secs(2);
/// The least that is waited for a run that is about to be due.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Runs jobs until it is stopped.
pub struct JobRunner {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl JobRunner {
    /// Starts it. Must be called within a tokio runtime.
    pub fn start(jobs: &Arc<PluginJobs>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(work(Arc::clone(jobs), stopped));
        Self { stop, task }
    }

    /// From here on no further run begins.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Takes no further run and waits for those under way.
    pub async fn stop(self) {
        self.close();
        // A panic has been reported by the runtime.
        self.task.await.ok();
    }
}

/// How many runs each plugin has under way.
#[derive(Default)]
struct Shares(Mutex<HashMap<Arc<str>, usize>>);

/// Room for one run, of all and of its plugin; given back when dropped.
pub(super) struct Room {
    jobs: Arc<PluginJobs>,
    shares: Arc<Shares>,
    plugin: Arc<str>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    fn take(
        jobs: &Arc<PluginJobs>,
        shares: &Arc<Shares>,
        plugin: &Arc<str>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        *shares.0.lock().entry(Arc::clone(plugin)).or_default() += 1;
        Self {
            jobs: Arc::clone(jobs),
            shares: Arc::clone(shares),
            plugin: Arc::clone(plugin),
            _permit: permit,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut shares = self.shares.0.lock();
        if let Some(count) = shares.get_mut(&self.plugin) {
            *count -= 1;
            if *count == 0 {
                shares.remove(&self.plugin);
            }
        }
        drop(shares);
        // The plugin may have had its share, and more to do.
        self.jobs.wake.notify_one();
    }
}

async fn work(jobs: Arc<PluginJobs>, mut stopped: watch::Receiver<bool>) {
    let config = &jobs.config;
    let permits = Arc::new(Semaphore::new(config.concurrency.max(1)));
    let share = (config.concurrency / 2).max(1);
    let shares = Arc::new(Shares::default());
    let mut runs = JoinSet::new();
    let mut declared: Option<Instant> = None;
    let declare_interval = if jobs.apps.are_many() {
        DECLARE_INTERVAL_OF_MANY
    } else {
        DECLARE_INTERVAL
    };
    while !*stopped.borrow_and_update() {
        while runs.try_join_next().is_some() {}
        let is_stale = declared.is_none_or(|at| at.elapsed() >= declare_interval);
        if jobs.table.take_undeclared() || is_stale {
            declared = match jobs.declare().await {
                Ok(()) => Some(Instant::now()),
                Err(error) => {
                    tracing::warn!(error = %error, "plugin_jobs.not_declared");
                    // With the next look.
                    None
                }
            };
        }
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            _ = stopped.changed() => break,
        };
        let Ok(permit) = permit else { break };
        let now = DateTime::now();
        let has_enough = |plugin: &str| shares.0.lock().get(plugin).is_some_and(|n| *n >= share);
        let (queues, soonest) = jobs.table.queues(has_enough, now);
        let claimed = if queues.is_empty() {
            Ok(None)
        } else {
            jobs.queue.claim(&queues, config.lease).await
        };
        match claimed {
            Ok(Some(entry)) => {
                // Gone where it ended in between: then somebody else may have it.
                let job = jobs.table.find(&entry.queue);
                let plugin = entry.queue.split(':').next().unwrap_or_default().into();
                let room = Room::take(&jobs, &shares, &plugin, permit);
                let (jobs, stopped) = (Arc::clone(&jobs), stopped.clone());
                runs.spawn(async move { run::take(&jobs, job, &entry, room, stopped).await });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(error = %error, "plugin_jobs.not_claimed"),
        }
        drop(permit);
        let due = soonest.map_or(config.poll, |at| until(at).min(config.poll));
        tokio::select! {
            () = jobs.wake.notified() => {}
            _ = tokio::time::timeout(due, stopped.changed()) => {}
        }
    }
    while runs.join_next().await.is_some() {}
}

/// How long it is until then.
fn until(at: DateTime) -> Duration {
    let ms = at.timestamp_millis() - DateTime::now().timestamp_millis();
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).max(SHORTEST_WAIT)
}
