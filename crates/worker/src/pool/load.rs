//! Loads of a pool: what is loaded in one worker is loaded in all, or in none.

use std::sync::Arc;

use mozaiks_plugins::{Generation, LoadError, LoadedPlugin, PluginSource};
use tokio::sync::{mpsc, oneshot};

use super::{COMMANDS, Command, Record, Slot, WorkerPool, slot};

impl WorkerPool {
    pub(super) fn ensure_slots(&self, resting: bool) -> Vec<mpsc::Sender<Command>> {
        let mut state = self.state.lock();
        while !state.over && state.slots.len() < self.settings.size {
            let (commands, todo) = mpsc::channel(COMMANDS);
            let index = state.slots.len();
            state.slots.push(Slot {
                commands,
                worker: None,
                starting: !resting,
                resting,
            });
            if let Some(me) = self.me.upgrade() {
                self.handle
                    .spawn(slot::run(Arc::downgrade(&me), index, todo, resting));
            }
        }
        let slots = state.slots.iter();
        slots.map(|slot| slot.commands.clone()).collect()
    }

    /// Loads into every worker; a load that one of them cannot have is one that none has.
    pub(super) async fn load_everywhere(
        &self,
        source: PluginSource,
    ) -> Result<LoadedPlugin, LoadError> {
        if let Some(loaded) = self.load_described(&source).await {
            return Ok(loaded);
        }
        let generation = source.generation;
        {
            let record = Record {
                source: source.clone(),
                confirmed: false,
                steps: Vec::new(),
                loaded: None,
            };
            self.state.lock().records.insert(generation, record);
        }
        let mut answers = Vec::new();
        for commands in self.ensure_slots(false) {
            let (sender, receiver) = oneshot::channel();
            // Refused by a place that has ended, whose receiver says so.
            drop(commands.send(Command::Load(source.clone(), sender)).await);
            answers.push(receiver);
        }
        let mut outcome = Err(LoadError::Stopped);
        for (at, answer) in answers.into_iter().enumerate() {
            let loaded = answer.await.unwrap_or(Err(LoadError::Stopped));
            if at == 0 || (outcome.is_ok() && loaded.is_err()) {
                outcome = loaded;
            }
        }
        if let Ok(loaded) = &outcome {
            if let Some(record) = self.state.lock().records.get_mut(&generation) {
                record.confirmed = true;
                record.loaded = Some(loaded.clone());
            }
            self.describe(generation);
        } else {
            self.drop_load(generation);
        }
        outcome
    }

    pub(super) fn drop_load(&self, generation: Generation) {
        let (workers, is_last) = {
            let mut state = self.state.lock();
            state.records.remove(&generation);
            let workers = state.slots.iter().filter_map(|slot| slot.worker.clone());
            let workers: Vec<_> = workers.collect();
            (workers, state.records.is_empty())
        };
        self.host.forget_generation(generation);
        self.registrations.forget_generation(generation);
        for worker in workers {
            worker.unload(generation);
        }
        if is_last && self.settings.size == 1 {
            self.end();
        }
    }
}
