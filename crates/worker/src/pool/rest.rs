//! Pools without a worker: nobody has called for a while, or ever. The next call has one made.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use mozaiks_plugins::{
    CallReply, CallResult, Caller, Generation, LoadedPlugin, PluginSource, host::Registration,
};

use super::{Command, Description, Record, State, WorkerPool, life};
use crate::worker::Worker;

/// Times that a worker is looked at before it has rested for long enough.
const LOOKS: u32 = 4;

impl State {
    /// Has a worker made where one rests; whether one is on its way.
    pub(super) fn wake(&mut self) -> bool {
        let mut woken = false;
        for slot in &mut self.slots {
            // A place that is full of commands is not resting.
            if slot.resting && slot.commands.try_send(Command::Wake).is_ok() {
                (slot.resting, slot.starting) = (false, true);
                woken = true;
            }
        }
        woken
    }
}

/// Ends when the worker has had nothing to do for so long.
pub(super) async fn rested(worker: &Worker, idle: Option<Duration>) {
    let Some(idle) = idle else {
        return std::future::pending().await;
    };
    let (mut calls, mut since) = (worker.calls.load(Ordering::Relaxed), Instant::now());
    loop {
        // Nobody tells of calls that do not come.
        tokio::time::sleep(idle / LOOKS).await;
        let now = worker.calls.load(Ordering::Relaxed);
        if now != calls || !worker.running.is_idle() {
            (calls, since) = (now, Instant::now());
        } else if since.elapsed() >= idle {
            return;
        }
    }
}

impl WorkerPool {
    /// Whether it has no worker because nobody needs one.
    pub(super) fn rests(&self) -> bool {
        self.state.lock().slots.iter().any(|slot| slot.resting)
    }

    /// From here on there is no worker; gives the one that was. `None` where it has just got a call.
    pub(super) fn lay_down(&self, index: usize) -> Option<Arc<Worker>> {
        let mut state = self.state.lock();
        let slot = state.slots.get_mut(index)?;
        if !slot.worker.as_ref()?.running.is_idle() {
            return None;
        }
        slot.resting = true;
        let worker = slot.worker.take()?;
        worker.retiring.store(true, Ordering::Release);
        Some(worker)
    }

    /// Waits until a worker is there, where one rests, or is on its way.
    pub(super) async fn awaken(&self, patience: Duration) {
        let waited = tokio::time::timeout(patience, async {
            loop {
                let settled = self.settled.notified();
                {
                    let mut state = self.state.lock();
                    state.wake();
                    if !state.slots.iter().any(|slot| slot.starting) {
                        return;
                    }
                }
                settled.await;
            }
        });
        // Whoever waits then finds no worker, and says so.
        drop(waited.await);
    }

    /// Loads what is known well enough not to be looked at: its functions are registered as it has
    /// registered them before.
    pub(super) async fn load_described(&self, source: &PluginSource) -> Option<LoadedPlugin> {
        let file = self.settings.description.clone()?;
        let known = tokio::task::spawn_blocking(move || file.read());
        let known = known.await.ok().flatten()?;
        let caller = Caller {
            plugin: Arc::clone(&source.name),
            generation: source.generation,
            principal: None,
            app_id: None,
            request_id: None,
            call: None,
        };
        let record = Record {
            source: source.clone(),
            confirmed: true,
            steps: Vec::new(),
            loaded: Some(known.loaded.clone()),
        };
        (self.state.lock().records).insert(source.generation, record);
        for (kind, spec) in known.registrations {
            let registration = Registration { kind, spec };
            if let Err(error) = self.registrations.expect(&caller, registration) {
                // What it says now is not what it has said: a worker finds out.
                tracing::debug!(plugin.name = &*source.name, error = %error.message, "worker.description_refused");
                self.state.lock().records.remove(&source.generation);
                self.host.forget_generation(source.generation);
                self.registrations.forget_generation(source.generation);
                return None;
            }
        }
        self.ensure_slots(true);
        Some(known.loaded)
    }

    /// Keeps what a load has said of itself, where nothing of its own has to run at its start.
    pub(super) fn describe(&self, generation: Generation) {
        let Some(file) = self.settings.description.clone() else {
            return;
        };
        let loaded = {
            let state = self.state.lock();
            let record = state.records.get(&generation);
            record.and_then(|record| record.loaded.clone())
        };
        if let Some(loaded) = loaded.filter(|loaded| loaded.hooks.is_empty()) {
            let registrations = self.registrations.of(generation);
            // The disk may be slow.
            self.handle.spawn_blocking(move || {
                file.write(Description {
                    loaded,
                    registrations,
                });
            });
        }
    }

    /// The answer of a step that none of the plugin's own functions takes, while no worker is there.
    pub(super) fn step_at_rest(
        &self,
        generation: Generation,
        step: &life::Step,
    ) -> Option<CallResult> {
        let quiet = {
            let state = self.state.lock();
            let record = state.records.get(&generation)?;
            let rests = state.slots.iter().any(|slot| slot.resting);
            rests && record.loaded.as_ref()?.hooks.is_empty()
        };
        quiet.then(|| {
            self.note_step(generation, step.clone());
            Ok(CallReply {
                body: b"null".as_slice().into(),
                domain_failure: None,
                action: None,
            })
        })
    }
}
