//! One place of a pool: makes its worker, brings it up to what is loaded, and begins again when it ends.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use mozaiks_plugins::{LoadError, runtime::CrashReason};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Command, WorkerPool, rest};
use crate::{sampler, worker::Worker};

/// A worker that lived for so long did not die of its start.
const SETTLED: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// How often it is looked whether a worker that gets no new calls has any.
const LAST_CALLS: Duration = Duration::from_millis(20);
/// How long a step that is repeated in a new worker may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// A worker with the task that serves it, which ends with it.
struct Live {
    worker: Arc<Worker>,
    serving: JoinHandle<CrashReason>,
}

/// Keeps a place filled until its pool ends.
pub(super) async fn run(
    pool: Weak<WorkerPool>,
    index: usize,
    mut commands: mpsc::Receiver<Command>,
    mut resting: bool,
) {
    // Workers that did not last, in a row.
    let mut short_lives = 0;
    loop {
        let mut wanted = None;
        while resting {
            match commands.recv().await {
                None => return,
                // There is nothing to replace.
                Some(Command::Replace(_)) => {}
                Some(Command::Wake) => resting = false,
                Some(Command::Load(source, answer)) => {
                    wanted = Some((source, answer));
                    resting = false;
                }
            }
        }
        let Some(here) = pool.upgrade() else { return };
        let mut live = match start(&here, index).await {
            Ok(live) => live,
            Err(error) => {
                tracing::error!(pool = &*here.settings.name, error, "worker.not_started");
                short_lives += 1;
                refuse_loads(&mut commands, &error);
                here.give_up_waiting();
                drop(here);
                if !wait(&pool, short_lives).await {
                    return;
                }
                continue;
            }
        };
        drop(here);
        if let Some((source, answer)) = wanted {
            answer.send(live.worker.load(source).await).ok();
        }
        let reason = match serve(&pool, index, &mut commands, &mut live).await {
            Ending::Died(reason) => reason,
            Ending::Rests => {
                resting = true;
                continue;
            }
            Ending::Over => {
                live.worker.process.kill(CrashReason::Stopped);
                return;
            }
        };
        let Some(here) = pool.upgrade() else { return };
        here.lose(index);
        let lived = live.worker.since.elapsed();
        tracing::warn!(
            pool = &*here.settings.name,
            worker.pid = live.worker.process.pid(),
            reason = %reason,
            lived_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX),
            "worker.ended"
        );
        let too_many = here.crashes.note(&here.settings.name, reason);
        here.observer.worker_died(&here.settings.name, reason);
        if too_many && here.settings.quarantine {
            let crashes = here.crashes.of(&here.settings.name).recent;
            here.end();
            let name = &here.settings.name;
            here.observer.quarantined(name, reason, crashes);
            return;
        }
        drop(here);
        short_lives = if lived >= SETTLED { 0 } else { short_lives + 1 };
        // The first death in a row is made good at once.
        if short_lives > 1 && !wait(&pool, short_lives - 1).await {
            return;
        }
    }
}

/// How a worker's time ends.
enum Ending {
    Died(CrashReason),
    /// Nobody needs one.
    Rests,
    /// The pool has ended.
    Over,
}

/// Does what the pool asks of a living worker, until its end.
async fn serve(
    pool: &Weak<WorkerPool>,
    index: usize,
    commands: &mut mpsc::Receiver<Command>,
    live: &mut Live,
) -> Ending {
    let Some(idle) = pool.upgrade().map(|here| here.settings.idle) else {
        return Ending::Over;
    };
    loop {
        let worker = Arc::clone(&live.worker);
        tokio::select! {
            ended = &mut live.serving => return Ending::Died(ended.unwrap_or(CrashReason::Protocol)),
            () = rest::rested(&worker, idle) => {
                let Some(here) = pool.upgrade() else { return Ending::Over };
                if here.lay_down(index).is_some() {
                    end_gently(&here, live).await;
                    return Ending::Rests;
                }
            }
            command = commands.recv() => match command {
                None => return Ending::Over,
                Some(Command::Load(source, answer)) => {
                    let loaded = live.worker.load(source).await;
                    answer.send(loaded).ok();
                }
                Some(Command::Replace(number)) if number == live.worker.number => {
                    let Some(here) = pool.upgrade() else { return Ending::Over };
                    match start(&here, index).await {
                        Ok(new) => {
                            let old = std::mem::replace(live, new);
                            tokio::spawn(drain(here, old));
                        }
                        Err(error) => tracing::error!(
                            pool = &*here.settings.name, error, "worker.not_replaced"
                        ),
                    }
                }
                // Replaced already; awake already.
                Some(Command::Replace(_) | Command::Wake) => {}
            },
        }
    }
}

impl WorkerPool {
    fn lose(&self, index: usize) {
        let lost = {
            let mut state = self.state.lock();
            state.slots.get_mut(index).and_then(|slot| {
                slot.starting = true;
                slot.worker.take()
            })
        };
        drop(lost);
    }

    /// From here on calls go to it.
    fn put_ready(&self, index: usize, worker: &Arc<Worker>) {
        let old = {
            let mut state = self.state.lock();
            state.slots.get_mut(index).and_then(|slot| {
                (slot.starting, slot.resting) = (false, false);
                slot.worker.replace(Arc::clone(worker))
            })
        };
        if let Some(old) = old {
            old.retiring.store(true, Ordering::Release);
        }
        self.flush();
        self.prune();
        self.settled.notify_waiters();
    }

    /// Ends registrations that no worker has brought again, once none is on its way.
    fn prune(&self) {
        let is_whole = {
            let state = self.state.lock();
            let mut slots = state.slots.iter();
            !slots.any(|slot| slot.starting || slot.resting)
        };
        if is_whole {
            self.registrations.prune();
        }
    }
}

/// Makes a worker that has everything that is loaded.
async fn start(pool: &Arc<WorkerPool>, index: usize) -> Result<Live, String> {
    let settings = &pool.settings;
    let made = pool.spawner.make(&settings.confinement, &settings.watched);
    let (fresh, enforced) = made.await?;
    let made = Worker::new(
        fresh,
        enforced,
        Arc::clone(&pool.host),
        Arc::clone(&pool.registrations),
        pool.settings.max_requests,
    );
    let (worker, incoming) = made.ok_or("it was taken already")?;
    let serving = tokio::spawn(Arc::clone(&worker).serve(incoming));
    tokio::spawn(sampler::watch(
        Arc::downgrade(pool),
        index,
        Arc::downgrade(&worker),
    ));
    let records: Vec<_> = {
        let state = pool.state.lock();
        let confirmed = state.records.values().filter(|record| record.confirmed);
        confirmed.cloned().collect()
    };
    let mut taken = HashSet::new();
    for record in records {
        let (name, generation) = (Arc::clone(&record.source.name), record.source.generation);
        let again = match worker.load(record.source).await {
            Ok(_) => {
                let steps = &record.steps;
                pool.repeat_steps(&worker, generation, steps, STEP_TIMEOUT)
                    .await
            }
            Err(error) => Err(error.whole()),
        };
        if let Err(error) = again {
            if serving.is_finished() {
                pool.registrations.lose_worker(worker.number);
                return Err(format!("it has ended while it loaded {name}"));
            }
            tracing::error!(plugin.name = &*name, error, "worker.plugin_not_loaded");
        }
        taken.extend(record.steps.into_iter().map(|step| (generation, step)));
    }
    // Apps may have come meanwhile.
    loop {
        let missed = pool.missed_steps(&worker, &taken);
        if missed.is_empty() || serving.is_finished() {
            break;
        }
        for (generation, step) in missed {
            let step = std::slice::from_ref(&step);
            let again = pool.repeat_steps(&worker, generation, step, STEP_TIMEOUT);
            if let Err(error) = again.await {
                tracing::error!(generation = generation.0, error, "worker.step_not_taken");
            }
            taken.insert((generation, step[0].clone()));
        }
    }
    pool.put_ready(index, &worker);
    Ok(Live { worker, serving })
}

/// Lets a worker that was replaced finish what it has.
async fn drain(pool: Arc<WorkerPool>, mut old: Live) {
    end_gently(&pool, &mut old).await;
    pool.prune();
}

/// Ends a worker that gets no new calls once it has answered those that it has.
async fn end_gently(pool: &WorkerPool, old: &mut Live) {
    let end = Instant::now() + pool.settings.drain_timeout;
    loop {
        // Looked at after a moment: a call may be on its way to it from before.
        tokio::time::sleep(LAST_CALLS).await;
        let is_done = old.worker.running.count() == 0 || old.serving.is_finished();
        if is_done || Instant::now() >= end {
            break;
        }
    }
    old.worker.process.kill(CrashReason::Stopped);
    if !old.serving.is_finished() {
        drop((&mut old.serving).await);
    }
}

fn refuse_loads(commands: &mut mpsc::Receiver<Command>, error: &str) {
    while let Ok(command) = commands.try_recv() {
        if let Command::Load(_, answer) = command {
            let summary = format!("no worker for it: {error}");
            let refused = LoadError::Raised {
                traceback: summary.clone(),
                summary,
            };
            answer.send(Err(refused)).ok();
        }
    }
}

/// Waits longer each time, and never as long as another; whether there is still something to do.
async fn wait(pool: &Weak<WorkerPool>, times: u32) -> bool {
    let longest = FIRST_BACKOFF.saturating_mul(1 << times.min(16));
    let longest = longest.min(LONGEST_BACKOFF);
    // Half of it to all of it.
    let share = RandomState::new().hash_one(Instant::now()) % 512;
    let share = u32::try_from(share).unwrap_or(0) + 512;
    tokio::time::sleep(longest * share / 1024).await;
    pool.upgrade().is_some_and(|pool| !pool.state.lock().over)
}
