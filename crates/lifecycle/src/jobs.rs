//! Scheduled jobs of plugins.
//!
//! A job is declared by a load of its plugin and runs as long as that load serves. For each app there is
//! one entry of the leased queue in the database: of all gateways in which the job is live one claims a
//! run, and until that run has ended nobody claims the next. Runs go through the dispatcher like any
//! other call, for the entry's app. How each went is kept for a while.

mod live;
mod repository;
mod run;
mod runner;
mod spec;
mod stats;
mod view;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bson::doc;
use mozaiks_config::PluginJobsConfig;
use mozaiks_events::EventBus;
use mozaiks_jobs::{JobError, JobQueue};
use mozaiks_plugins::{
    Generation, PluginFunction, dispatch::Dispatcher, host::RegistrationId, names::is_plugin_name,
};
use mozaiks_store::{CollectionSpec, Store};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::{live::Table, repository::Runs, spec::ScheduledJob, stats::Counters};
pub use self::{
    repository::{RUNS, RunFilter, RunRecord},
    runner::JobRunner,
    spec::{JobSpec, Missed},
    stats::JobStats,
    view::{JobView, LastRun, LiveJob},
};
use crate::{apps::KnownApps, error::LifeError};

/// The collection of entries, for [`Store::open`].
pub const ENTRIES: CollectionSpec = mozaiks_jobs::collection("plugin_jobs");

/// What the jobs work with.
pub struct Parts {
    /// The gateway's database.
    pub store: Arc<Store>,
    /// Calls the jobs' functions.
    pub dispatcher: Arc<Dispatcher>,
    /// Hears of runs that failed.
    pub events: Arc<EventBus>,
    /// The apps for which jobs run.
    pub apps: Arc<KnownApps>,
    /// What this gateway is called in the runs' history.
    pub gateway: String,
}

/// The apps for which jobs are declared, by queue.
type Declared = HashMap<Arc<str>, (Generation, HashSet<Arc<str>>)>;

/// The jobs of all plugins in this gateway.
pub struct PluginJobs {
    config: PluginJobsConfig,
    dispatcher: Arc<Dispatcher>,
    events: Arc<EventBus>,
    apps: Arc<KnownApps>,
    gateway: String,
    queue: Arc<JobQueue>,
    runs: Runs,
    table: Table,
    /// By queue, for which apps its job has been declared, and by which load. Touched by the runner only.
    declared: Mutex<Declared>,
    /// Wakes the runner: there is something to declare, to run, or room for it.
    wake: Notify,
    counters: Counters,
}

impl PluginJobs {
    /// No jobs yet; nothing runs before [`JobRunner::start`].
    pub fn new(parts: Parts, config: PluginJobsConfig) -> Arc<Self> {
        Arc::new(Self {
            table: Table::new(config.max_per_plugin),
            runs: Runs::new(Arc::clone(&parts.store), config.history_age),
            queue: JobQueue::new(parts.store, ENTRIES.name),
            dispatcher: parts.dispatcher,
            events: parts.events,
            apps: parts.apps,
            gateway: parts.gateway,
            declared: Mutex::default(),
            wake: Notify::new(),
            counters: Counters::default(),
            config,
        })
    }

    /// Takes a job of a load: at once where the load serves, else with its hand-over.
    ///
    /// # Errors
    /// [`LifeError::Invalid`] naming what does not fit, [`LifeError::Conflict`] where the load has a job
    /// of that name, [`LifeError::LimitExceeded`].
    pub fn register(
        &self,
        id: RegistrationId,
        spec: &JobSpec,
        function: &PluginFunction,
    ) -> Result<(), LifeError> {
        let job = ScheduledJob::new(spec, function.clone(), self.config.timeout)?;
        self.table.add(id, job)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Ends a job: a run under way goes on.
    pub fn unregister(&self, id: RegistrationId) {
        drop(self.table.remove(|other, _| other == id));
    }

    /// From here on the jobs of one load run, and those of the load before no more.
    pub fn hand_over(&self, from: Option<Generation>, to: Generation) {
        drop(self.table.hand_over(from, to));
        self.wake.notify_one();
    }

    /// A load is gone, and its jobs.
    pub fn forget_generation(&self, generation: Generation) {
        drop(
            self.table
                .remove(|_, job| job.function.generation.id() == generation),
        );
    }

    /// Makes a job due now in an app.
    ///
    /// # Errors
    /// [`LifeError::NotFound`], [`LifeError::Conflict`] while it runs, or what the database says.
    pub async fn run_now(&self, app_id: &str, plugin: &str, job: &str) -> Result<(), LifeError> {
        let key = entry_key(plugin, job, app_id);
        match self.queue.run_now(app_id, &key).await {
            // One that lives here and has not been declared yet, or whose entry somebody took out.
            Err(JobError::NotFound) => {
                let live = self.table.named(plugin, job).ok_or(JobError::NotFound)?;
                self.queue.put_recurring(live.entry(app_id)).await?;
                self.queue.run_now(app_id, &key).await?;
            }
            other => other?,
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Declares what is live to the database, and takes out what plugins no longer have. What this gateway
    /// has declared before it trusts to be there, unless all is looked at.
    async fn declare(&self, all: bool) -> Result<(), LifeError> {
        let live = self.table.all();
        self.take_out_gone(&live).await?;
        let apps = self.apps.all();
        let mut wanted = Vec::new();
        {
            let mut declared = self.declared.lock();
            if all {
                declared.clear();
            }
            declared.retain(|queue, _| live.iter().any(|job| job.queue == *queue));
            for job in &live {
                let generation = job.function.generation.id();
                let known = declared.get(&job.queue);
                let known = known.filter(|(of, _)| *of == generation);
                let is_new = |app: &&Arc<str>| known.is_none_or(|(_, apps)| !apps.contains(*app));
                let new: Vec<_> = apps.iter().filter(is_new).cloned().collect();
                if !new.is_empty() {
                    wanted.push((job, new));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let queues: Vec<&str> = wanted.iter().map(|(job, _)| &*job.queue).collect();
        let stored = doc! { "queue": { "$in": queues } };
        let stored = self.queue.recurring(stored).await?;
        let stored: HashMap<&str, _> = stored.iter().map(|entry| (&*entry.id, entry)).collect();
        for (job, apps) in wanted {
            for app_id in &apps {
                let key = entry_key(job.plugin(), &job.name, app_id);
                if stored
                    .get(&*key)
                    .is_some_and(|entry| job.is_stored_as(entry))
                {
                    continue;
                }
                self.queue.put_recurring(job.entry(app_id)).await?;
            }
            let generation = job.function.generation.id();
            let mut declared = self.declared.lock();
            let known = declared
                .entry(Arc::clone(&job.queue))
                .or_insert_with(|| (generation, HashSet::new()));
            if known.0 != generation {
                *known = (generation, HashSet::new());
            }
            known.1.extend(apps);
        }
        Ok(())
    }

    /// Takes out the entries of jobs that plugins had before and have no longer.
    async fn take_out_gone(&self, live: &[ScheduledJob]) -> Result<(), LifeError> {
        let settled = self.table.take_settled();
        if settled.is_empty() {
            return Ok(());
        }
        let plugins: Vec<&str> = settled.iter().map(|plugin| &**plugin).collect();
        let queues: Vec<&str> = live.iter().map(|job| &*job.queue).collect();
        let gone = doc! { "plugin": { "$in": plugins }, "queue": { "$nin": queues } };
        if let Err(error) = self.queue.remove_recurring_where(gone).await {
            self.table.settle_again(settled);
            return Err(error.into());
        }
        Ok(())
    }
}

/// The id of an entry. Names of plugins and jobs hold no colon; the app's comes last, as it may.
fn entry_key(plugin: &str, job: &str, app_id: &str) -> String {
    debug_assert!(is_plugin_name(plugin));
    format!("{plugin}:{job}:{app_id}")
}
