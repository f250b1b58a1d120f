//! Which worker gets a call.

use std::sync::{Arc, atomic::Ordering};

use mozaiks_plugins::{Generation, Target};

use super::{State, WorkerPool};
use crate::worker::Worker;

impl WorkerPool {
    /// The first that has the target and is quick, so that short calls go together; else the one with the
    /// fewest calls.
    pub(super) fn choose(
        &self,
        state: &State,
        target: Target,
    ) -> Option<(Arc<Worker>, (Generation, Target))> {
        let able = |worker: &&Arc<Worker>| !worker.retiring.load(Ordering::Acquire);
        let workers = || state.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let quick = workers()
            .filter(able)
            .filter(|worker| worker.is_quick())
            .find_map(|worker| Some((Arc::clone(worker), worker.resolve(target)?)));
        if quick.is_some() {
            return quick;
        }
        // Each has its turn where several have as few.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % state.slots.len().max(1);
        let (later, first) = state.slots.split_at(turn);
        let turns = first.iter().chain(later);
        turns
            .filter_map(|slot| slot.worker.as_ref())
            .filter(able)
            .filter_map(|worker| Some((worker, worker.resolve(target)?)))
            .min_by_key(|(worker, _)| worker.running.count())
            .map(|(worker, resolved)| (Arc::clone(worker), resolved))
    }
}
