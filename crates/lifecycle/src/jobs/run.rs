//! One run of a job, from its claim to its end.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bson::{Bson, DateTime};
use mozaiks_events::EventDraft;
use mozaiks_jobs::{Finish, Job};
use mozaiks_plugins::{
    CallError, CallKind, Input, Target,
    dispatch::{Call, DispatchError, PendingCall},
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    PluginJobs,
    repository::{Beginning, RunError, RunOf, RunStatus},
    runner::Room,
    spec::{Missed, ScheduledJob},
};

/// How often a run is begun whose gateways end in the middle of it.
const MAX_ATTEMPTS: u32 = 3;
/// How long a run waits before it asks a full plugin again.
const FULL_PLUGIN_PAUSE: Duration = Duration::from_millis(50);
/// After so many runs of a job it is looked whether there are too many in its history.
const PRUNE_EVERY: i64 = 64;

/// Sees a claimed entry through.
pub(super) async fn take(
    jobs: &Arc<PluginJobs>,
    job: Option<ScheduledJob>,
    entry: &Job,
    room: Room,
    stopped: watch::Receiver<bool>,
) {
    let Some(job) = job else {
        let reason = "the plugin has ended".to_owned();
        return end(jobs, entry, Finish::Release { reason }).await;
    };
    let run = Run {
        of: RunOf {
            app_id: &entry.app_id,
            plugin: job.plugin(),
            job: &job.name,
        },
        jobs,
        job: &job,
        entry,
    };
    if !job.function.generation.is_on_for(&entry.app_id) {
        return end(jobs, entry, Finish::Skipped).await;
    }
    if run.was_missed() {
        jobs.counters.missed.fetch_add(1, Relaxed);
        if let Err(error) = run.begin(RunStatus::Missed).await {
            run.unwritten(&error);
        }
        return end(jobs, entry, Finish::Skipped).await;
    }
    if entry.attempts > MAX_ATTEMPTS {
        return run.give_up().await;
    }
    run.go(room, stopped).await;
}

async fn end(jobs: &PluginJobs, entry: &Job, finish: Finish) {
    if let Err(error) = jobs.queue.finish_surely(entry, &finish).await {
        // The lease ends, and somebody runs it again.
        tracing::warn!(job = entry.id, error = %error, "plugin_job.end_not_written");
    }
}

struct Run<'a> {
    of: RunOf<'a>,
    jobs: &'a Arc<PluginJobs>,
    job: &'a ScheduledJob,
    entry: &'a Job,
}

/// How a run ended.
struct Ended {
    status: RunStatus,
    error: Option<RunError>,
}

impl Run<'_> {
    /// Whether its time has passed and the job leaves such runs out.
    fn was_missed(&self) -> bool {
        let late = DateTime::now().timestamp_millis() - self.entry.due_at.timestamp_millis();
        let grace = i64::try_from(self.jobs.config.grace.as_millis()).unwrap_or(i64::MAX);
        // One that somebody began, or has asked for, is not late.
        let is_first = self.entry.attempts == 1 && !self.entry.asked;
        is_first && late > grace && self.job.missed == Missed::Skip
    }

    async fn begin(
        &self,
        status: RunStatus,
    ) -> Result<bson::oid::ObjectId, crate::error::LifeError> {
        let runs = &self.jobs.runs;
        if self.entry.attempts > 1 {
            runs.mark_lost(self.of).await?;
        }
        let beginning = Beginning {
            of: self.of,
            status,
            asked: self.entry.asked,
            due_at: self.entry.due_at,
            attempt: self.entry.attempts,
            gateway: &self.jobs.gateway,
        };
        runs.begin(&beginning).await
    }

    async fn give_up(&self) {
        let summary = format!("its gateway ended {MAX_ATTEMPTS} times in the middle of it");
        let error = RunError {
            summary: summary.clone(),
            traceback: None,
        };
        match self.begin(RunStatus::Failed).await {
            Ok(id) => {
                let ended = Ended {
                    status: RunStatus::Failed,
                    error: Some(error),
                };
                self.tell(&id.to_hex(), &ended, Duration::ZERO);
                self.write_end(id, &ended, Duration::ZERO).await;
            }
            Err(error) => self.unwritten(&error),
        }
        end(self.jobs, self.entry, Finish::Failed { reason: summary }).await;
    }

    async fn go(&self, room: Room, stopped: watch::Receiver<bool>) {
        let id = match self.begin(RunStatus::Running).await {
            Ok(id) => id,
            // Nobody would know of the run: it is tried again when the lease ends.
            Err(error) => return self.unwritten(&error),
        };
        let _running = self.jobs.counters.run();
        let lease = self.jobs.config.lease;
        let mut lost = std::pin::pin!(self.jobs.queue.hold(self.entry, lease));
        let started = Instant::now();
        let run_id = id.to_hex();
        let mut pending = tokio::select! {
            pending = self.call(&run_id, stopped.clone()) => pending,
            () = &mut lost => return self.lose(id, started).await,
        };
        let outcome = match &mut pending {
            Ok(pending) => tokio::select! {
                outcome = &mut *pending => outcome.map(drop),
                () = &mut lost => {
                    // Another gateway may run it by now.
                    pending.cancel();
                    return self.lose(id, started).await;
                }
            },
            Err(NotCalled::Stopped) => {
                let reason = "the gateway stopped".to_owned();
                end(self.jobs, self.entry, Finish::Release { reason }).await;
                // It has not been run, and somebody else will.
                return self.write_end(id, &Ended::lost(), started.elapsed()).await;
            }
            Err(NotCalled::Refused(error)) => Err(error.clone()),
        };
        let took = started.elapsed();
        let ended = Ended::of(outcome);
        self.tell(&run_id, &ended, took);
        self.write_end(id, &ended, took).await;
        if let Ok(pending) = &mut pending {
            // Whoever ignores the end of its time keeps the job from its next run, and nobody else's.
            drop(room);
            let mut stopped = stopped;
            tokio::select! {
                () = pending.ended() => {}
                () = &mut lost => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
        let finish = match ended.error {
            None => Finish::Done,
            Some(error) => Finish::Failed {
                reason: error.summary,
            },
        };
        end(self.jobs, self.entry, finish).await;
    }

    /// Puts the call on its way; a plugin that is full is asked again.
    async fn call(
        &self,
        run_id: &str,
        stopped: watch::Receiver<bool>,
    ) -> Result<PendingCall, NotCalled> {
        let due_at = self.entry.due_at.try_to_rfc3339_string().ok();
        let about = json!([{
            "job": &*self.job.name,
            "run_id": run_id,
            "app_id": self.entry.app_id,
            "due_at": due_at,
            "attempt": self.entry.attempts,
            "trigger": if self.entry.asked { "manual" } else { "schedule" },
        }]);
        let arguments: bytes::Bytes = about.to_string().into();
        let waited = Instant::now();
        loop {
            let call = Call {
                kind: CallKind::Job,
                target: Target::Handler(self.job.function.handler),
                input: Input::Arguments(arguments.clone()),
                principal: None,
                app_id: Some(self.entry.app_id.as_str().into()),
                request_id: format!("job-{run_id}").into(),
                timeout: Some(self.job.timeout),
            };
            let generation = Arc::clone(&self.job.function.generation);
            match self.jobs.dispatcher.invoke(generation, call) {
                Ok(pending) => return Ok(pending),
                Err(DispatchError::Overloaded) if *stopped.borrow() => {
                    return Err(NotCalled::Stopped);
                }
                Err(DispatchError::Overloaded) if waited.elapsed() < self.job.timeout => {
                    tokio::time::sleep(FULL_PLUGIN_PAUSE).await;
                }
                Err(error) => return Err(NotCalled::Refused(error)),
            }
        }
    }

    async fn lose(&self, id: bson::oid::ObjectId, started: Instant) {
        self.jobs.counters.lost.fetch_add(1, Relaxed);
        tracing::warn!(
            plugin.name = self.of.plugin,
            job.name = self.of.job,
            "plugin_job.lost: its lease has ended, and another gateway may run it"
        );
        self.write_end(id, &Ended::lost(), started.elapsed()).await;
    }

    /// Says how the run went: counters, log, event.
    fn tell(&self, run_id: &str, ended: &Ended, took: Duration) {
        let counters = &self.jobs.counters;
        let counter = match ended.status {
            RunStatus::Succeeded => &counters.succeeded,
            RunStatus::TimedOut => &counters.timed_out,
            RunStatus::Failed | RunStatus::Running | RunStatus::Missed | RunStatus::Lost => {
                &counters.failed
            }
        };
        counter.fetch_add(1, Relaxed);
        let Some(error) = &ended.error else { return };
        tracing::event!(
            target: "plugin",
            tracing::Level::ERROR,
            plugin.name = self.of.plugin,
            job.name = self.of.job,
            app.id = self.of.app_id,
            request.id = format!("job-{run_id}"),
            reason = error.summary,
            traceback = error.traceback.as_deref(),
            elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "plugin_job.failed"
        );
        let data = json!({
            "plugin": self.of.plugin,
            "job": self.of.job,
            "run_id": run_id,
            "status": ended.status,
            "error": error.summary,
        });
        let published = self.jobs.events.publish(EventDraft {
            app_id: self.of.app_id.into(),
            principal: None,
            request_id: None,
            name: "plugin_job_failed".into(),
            data: data.to_string().into(),
        });
        if let Err(error) = published {
            tracing::error!(error = %error, "plugin_job.event_not_published");
        }
    }

    async fn write_end(&self, id: bson::oid::ObjectId, ended: &Ended, took: Duration) {
        let runs = &self.jobs.runs;
        let ended = runs.end(id, ended.status, took, ended.error.as_ref()).await;
        if let Err(error) = ended {
            self.unwritten(&error);
        }
        let number = match self.entry.fields.get("runs") {
            Some(Bson::Int64(runs)) => *runs,
            Some(Bson::Int32(runs)) => i64::from(*runs),
            _ => return,
        };
        if number > 0
            && number % PRUNE_EVERY == 0
            && let Err(error) = runs.prune(self.of, self.jobs.config.history_runs).await
        {
            self.unwritten(&error);
        }
    }

    fn unwritten(&self, error: &crate::error::LifeError) {
        tracing::warn!(
            plugin.name = self.of.plugin,
            job.name = self.of.job,
            error = %error,
            "plugin_job.run_not_written"
        );
    }
}

/// Why a run was not begun.
enum NotCalled {
    /// The gateway stops.
    Stopped,
    Refused(DispatchError),
}

impl Ended {
    fn of(outcome: Result<(), DispatchError>) -> Self {
        let (status, summary, traceback) = match outcome {
            Ok(()) => {
                return Self {
                    status: RunStatus::Succeeded,
                    error: None,
                };
            }
            Err(DispatchError::TimedOut(limit)) => {
                let summary = format!("it did not end within {} s", limit.as_secs_f64());
                (RunStatus::TimedOut, summary, None)
            }
            Err(DispatchError::Call(CallError::Raised {
                summary, traceback, ..
            })) => (RunStatus::Failed, summary, Some(traceback)),
            Err(other) => (RunStatus::Failed, other.to_string(), None),
        };
        Self {
            status,
            error: Some(RunError { summary, traceback }),
        }
    }

    fn lost() -> Self {
        Self {
            status: RunStatus::Lost,
            error: None,
        }
    }
}
