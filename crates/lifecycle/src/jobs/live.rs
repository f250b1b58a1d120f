//! The jobs that loads have declared: held until their load serves, live as long as it does.
//!
//! Whatever is taken out is given back to be dropped by the caller: with the last function of a load its
//! code is unloaded, which comes back here.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bson::DateTime;
use mozaiks_plugins::{Generation, GenerationPhase, host::RegistrationId};
use parking_lot::Mutex;

use super::spec::ScheduledJob;
use crate::error::LifeError;

/// All jobs by load.
pub(super) struct Table {
    max_per_plugin: usize,
    // Touched when jobs come and go, and by the runner; never held across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Vec<Entry>,
    /// By queue: each plugin has one live job of a name.
    live: HashMap<Arc<str>, Entry>,
    /// Plugins of which it is known what jobs they have, and whose others in the database may go.
    settled: BTreeSet<Arc<str>>,
    /// Whether there is something that the database may not know.
    undeclared: bool,
}

struct Entry {
    id: RegistrationId,
    job: ScheduledJob,
    /// When it is due next by the schedule.
    next: Option<DateTime>,
}

impl Entry {
    fn generation(&self) -> Generation {
        self.job.function.generation.id()
    }
}

impl Table {
    pub(super) fn new(max_per_plugin: usize) -> Self {
        Self {
            max_per_plugin,
            state: Mutex::default(),
        }
    }

    pub(super) fn add(&self, id: RegistrationId, job: ScheduledJob) -> Result<(), LifeError> {
        let phase = job.function.generation.phase();
        let entry = Entry {
            id,
            next: job.schedule.next_after(DateTime::now()),
            job,
        };
        let generation = entry.generation();
        let replaced = {
            let mut state = self.state.lock();
            let others = || {
                (state.held.iter().chain(state.live.values()))
                    .filter(|other| other.generation() == generation)
            };
            if others().count() >= self.max_per_plugin {
                return Err(LifeError::LimitExceeded(format!(
                    "a plugin has at most {} jobs (plugin_max_jobs)",
                    self.max_per_plugin
                )));
            }
            if others().any(|other| other.job.name == entry.job.name) {
                return Err(LifeError::Conflict {
                    message: format!("the plugin has a job {:?} already", &*entry.job.name),
                    list: Vec::new(),
                });
            }
            match phase {
                GenerationPhase::Loading => {
                    state.held.push(entry);
                    None
                }
                GenerationPhase::Active => {
                    state.undeclared = true;
                    state.live.insert(Arc::clone(&entry.job.queue), entry)
                }
                GenerationPhase::Retired => {
                    return Err(LifeError::NotFound(
                        "this load of the plugin has ended".into(),
                    ));
                }
            }
        };
        drop(replaced);
        Ok(())
    }

    /// Takes out the jobs for which `gone` says so.
    #[must_use]
    pub(super) fn remove(
        &self,
        gone: impl Fn(RegistrationId, &ScheduledJob) -> bool,
    ) -> Vec<ScheduledJob> {
        let mut state = self.state.lock();
        let State { held, live, .. } = &mut *state;
        let held = held.extract_if(.., |entry| gone(entry.id, &entry.job));
        let live = live.extract_if(|_, entry| gone(entry.id, &entry.job));
        held.chain(live.map(|(_, entry)| entry))
            .map(|entry| entry.job)
            .collect()
    }

    /// The jobs of one load become live, those of another end.
    #[must_use]
    pub(super) fn hand_over(&self, from: Option<Generation>, to: Generation) -> Vec<ScheduledJob> {
        let mut ended = match from {
            Some(from) => self.remove(|_, job| job.function.generation.id() == from),
            None => Vec::new(),
        };
        let mut state = self.state.lock();
        let State {
            held,
            live,
            settled,
            undeclared,
        } = &mut *state;
        settled.extend(ended.iter().map(|job| Arc::clone(job.plugin())));
        for mut entry in held.extract_if(.., |entry| entry.generation() == to) {
            entry.next = entry.job.schedule.next_after(DateTime::now());
            let old = live.insert(Arc::clone(&entry.job.queue), entry);
            ended.extend(old.map(|old| old.job));
        }
        let mut new = live.values().filter(|entry| entry.generation() == to);
        if let Some(entry) = new.next() {
            settled.insert(Arc::clone(entry.job.plugin()));
        }
        *undeclared |= !settled.is_empty();
        ended
    }

    /// The live job whose runs come from a queue.
    pub(super) fn find(&self, queue: &str) -> Option<ScheduledJob> {
        let state = self.state.lock();
        state.live.get(queue).map(|entry| entry.job.clone())
    }

    /// The live job of a plugin by its name.
    pub(super) fn named(&self, plugin: &str, name: &str) -> Option<ScheduledJob> {
        let state = self.state.lock();
        let mut jobs = state.live.values().map(|entry| &entry.job);
        jobs.find(|job| &**job.plugin() == plugin && &*job.name == name)
            .cloned()
    }

    /// All live jobs.
    pub(super) fn all(&self) -> Vec<ScheduledJob> {
        let state = self.state.lock();
        state.live.values().map(|entry| entry.job.clone()).collect()
    }

    /// The live jobs of one plugin, each with when it is due next.
    pub(super) fn of(&self, plugin: &str) -> Vec<(ScheduledJob, Option<DateTime>)> {
        let state = self.state.lock();
        (state.live.values())
            .filter(|entry| &**entry.job.plugin() == plugin)
            .map(|entry| (entry.job.clone(), entry.next))
            .collect()
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().live.len()
    }

    /// Whether there is something that the database may not know; asked once.
    pub(super) fn take_undeclared(&self) -> bool {
        std::mem::take(&mut self.state.lock().undeclared)
    }

    pub(super) fn take_settled(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.state.lock().settled)
    }

    pub(super) fn settle_again(&self, plugins: BTreeSet<Arc<str>>) {
        self.state.lock().settled.extend(plugins);
    }

    /// The queues to take runs from, but for those of plugins that have enough, and when the next of
    /// these is due.
    pub(super) fn queues(
        &self,
        has_enough: impl Fn(&str) -> bool,
        now: DateTime,
    ) -> (Vec<String>, Option<DateTime>) {
        let mut state = self.state.lock();
        let mut queues = Vec::with_capacity(state.live.len());
        let mut soonest: Option<DateTime> = None;
        for (queue, entry) in &mut state.live {
            if has_enough(entry.job.plugin()) {
                continue;
            }
            queues.push(queue.to_string());
            if entry.next.is_some_and(|next| next <= now) {
                entry.next = entry.job.schedule.next_after(now);
            }
            soonest = [soonest, entry.next].into_iter().flatten().min();
        }
        (queues, soonest)
    }
}
