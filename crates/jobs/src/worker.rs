//! Workers: claim jobs, hand them to their handler, and write down how they ended. Bounded in number,
//! stopped in order.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bson::DateTime;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    model::{Finish, Job, later},
    queue::JobQueue,
    stats::Counters,
};

/// What a handler says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The gateway stops: somebody else goes on.
    Interrupted,
    /// It may work later.
    Retry(String),
    /// It will not work.
    Failed(String),
}

/// Does the jobs of a worker's queues. A job whose worker died comes again, so doing it twice must do
/// no harm.
pub trait Handler: Send + Sync + 'static {
    /// Does a job. Dropped half-way where the lease is lost: another has the job then.
    fn run<'a>(&'a self, job: &'a Job, stopping: &'a Stopping) -> BoxFuture<'a, Outcome>;

    /// Hears of a job that is about to become a dead letter.
    fn give_up<'a>(&'a self, job: &'a Job, reason: &'a str) -> BoxFuture<'a, ()> {
        let _ = (job, reason);
        Box::pin(std::future::ready(()))
    }
}

/// Whether the gateway stops: long jobs look at it between two steps.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Whether it does.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Before the second attempt; doubles with each further one.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after this many attempts.
    pub fn after(&self, attempts: u32) -> Duration {
        let factor = 2u32.saturating_pow(attempts.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.longest)
    }
}

/// What a worker does, and how much of it.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The queues whose jobs it takes.
    pub queues: Vec<String>,
    /// Jobs under way at a time.
    pub concurrency: usize,
    /// How long a claim holds without a sign of life; it is lengthened three times as often.
    pub lease: Duration,
    /// How often it looks for jobs that nobody told it of.
    pub poll: Duration,
    /// Attempts of one job before it is a dead letter; a worker that died counts as one.
    pub attempts: u32,
    /// The wait between two attempts.
    pub retry: Backoff,
}

/// The workers of one part. They end when [`Self::stop`] is called, or at once when this is dropped.
pub struct Workers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }
}

impl Workers {
    /// Starts a worker. Must be called within a tokio runtime.
    pub fn start(
        &mut self,
        queue: Arc<JobQueue>,
        options: WorkerOptions,
        handler: Arc<dyn Handler>,
    ) {
        let worker = Worker {
            queue,
            options,
            handler,
            stopping: Stopping(self.stop.subscribe()),
        };
        self.tasks.spawn(work(Arc::new(worker)));
    }

    /// Takes no further job and waits for those under way.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Worker {
    queue: Arc<JobQueue>,
    options: WorkerOptions,
    handler: Arc<dyn Handler>,
    stopping: Stopping,
}

async fn work(worker: Arc<Worker>) {
    let (queue, options) = (&worker.queue, &worker.options);
    let wake = queue.wakeups.listen(options.queues.clone());
    let mut stopped = worker.stopping.0.clone();
    let permits = Arc::new(Semaphore::new(options.concurrency.max(1)));
    let mut running = JoinSet::new();
    while !*stopped.borrow_and_update() {
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            _ = stopped.changed() => break,
        };
        let Ok(permit) = permit else { break };
        match queue.claim(&options.queues, options.lease).await {
            Ok(Some(job)) => {
                let worker = Arc::clone(&worker);
                running.spawn(async move {
                    worker.run(&job).await;
                    drop(permit);
                });
            }
            outcome => {
                drop(permit);
                if let Err(error) = outcome {
                    Counters::add(&queue.counters.claim_errors);
                    tracing::debug!(queues = ?options.queues, error = %error, "no job could be claimed");
                }
                tokio::select! {
                    () = wake.notified() => {}
                    _ = tokio::time::timeout(options.poll, stopped.changed()) => {}
                }
            }
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

impl Worker {
    /// Does a claimed job, keeping its lease up.
    async fn run(&self, job: &Job) {
        let counters = &self.queue.counters;
        let _running = counters.run();
        if job.attempts > self.options.attempts {
            let reason = format!(
                "its worker ended {} times before it was done",
                job.attempts - 1
            );
            return self.end(job, Outcome::Failed(reason)).await;
        }
        let handling = AssertUnwindSafe(self.handler.run(job, &self.stopping)).catch_unwind();
        let outcome = tokio::select! {
            outcome = handling => outcome,
            () = self.queue.hold(job, self.options.lease) => {
                Counters::add(&counters.lost);
                tracing::warn!(job = job.id, queue = job.queue, "a job's lease ended: another has it");
                return;
            }
        };
        let outcome = outcome.unwrap_or_else(|_| {
            Counters::add(&counters.panicked);
            Outcome::Retry("its handler panicked".into())
        });
        self.end(job, outcome).await;
    }

    async fn end(&self, job: &Job, outcome: Outcome) {
        let counters = &self.queue.counters;
        let (counter, finish) = match outcome {
            Outcome::Done => (&counters.done, Finish::Done),
            Outcome::Interrupted => {
                let reason = "the gateway stopped".to_owned();
                (&counters.released, Finish::Release { reason })
            }
            Outcome::Retry(reason) if job.attempts < self.options.attempts => {
                let at = later(DateTime::now(), self.options.retry.after(job.attempts));
                (&counters.retried, Finish::Retry { at, reason })
            }
            Outcome::Retry(reason) | Outcome::Failed(reason) => {
                tracing::warn!(
                    job = job.id,
                    queue = job.queue,
                    attempts = job.attempts,
                    reason,
                    "a job failed for good"
                );
                self.handler.give_up(job, &reason).await;
                (&counters.failed, Finish::Failed { reason })
            }
        };
        match self.queue.finish_surely(job, &finish).await {
            Ok(true) => Counters::add(counter),
            Ok(false) => Counters::add(&counters.lost),
            // The lease ends and somebody does it again.
            Err(error) => {
                tracing::warn!(job = job.id, error = %error, "a job's end could not be stored");
            }
        }
    }
}
