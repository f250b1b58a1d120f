//! Threads that are held by calls which should have ended: interrupted, and written off in the end.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    super::{
        pool::Worker,
        progress::{Interruption, Step},
        shared::Shared,
    },
    FORGET, GRACE, REPEAT, SETTLED, WRITE_OFF, code_of, interrupt,
};
use mozaiks_plugins::CallId;

/// What is known of them.
#[derive(Default)]
pub(super) struct HeldThreads {
    held: HashMap<CallId, Held>,
}

/// A thread held by a call that should have ended.
struct Held {
    step: Step,
    since: Instant,
    interrupted: Option<Instant>,
    named: bool,
}

impl HeldThreads {
    /// Looks once.
    pub(super) fn look(&mut self, shared: &Arc<Shared>, now: Instant) {
        let cancelled = shared.watchdog.state.lock().cancelled.clone();
        if cancelled.is_empty() {
            self.held.clear();
            return;
        }
        let mut busy: Vec<(Option<Arc<Worker>>, Step)> = shared
            .pool
            .busy_with(|call| cancelled.contains_key(&call))
            .into_iter()
            .map(|(worker, step)| (Some(worker), step))
            .collect();
        if let Some(step) = shared.loop_progress.current()
            && cancelled.contains_key(&step.call)
        {
            busy.push((None, step));
        }
        self.held.retain(|call, held| {
            busy.iter()
                .any(|(_, step)| step.call == *call && *step == held.step)
        });
        for (worker, step) in busy {
            self.free_thread(shared, now, worker.as_ref(), step);
        }
        // What no thread runs and the loop does not keep has ended.
        let tasks = shared.tasks.lock();
        let mut state = shared.watchdog.state.lock();
        state.cancelled.retain(|call, since| {
            self.held.contains_key(call)
                || tasks.contains_key(call)
                || now.duration_since(*since) < SETTLED
        });
        drop((tasks, state));
        for (call, since) in cancelled {
            if now.duration_since(since) >= FORGET {
                shared.cancelled.take(call);
            }
        }
    }

    /// A thread runs a call whose deadline has passed.
    fn free_thread(
        &mut self,
        shared: &Arc<Shared>,
        now: Instant,
        worker: Option<&Arc<Worker>>,
        step: Step,
    ) {
        let held = self.held.entry(step.call).or_insert(Held {
            step,
            since: now,
            interrupted: None,
            named: false,
        });
        if now.duration_since(held.since) < GRACE {
            return;
        }
        let code = code_of(shared, step.generation);
        let plugin = code.as_ref().map(|code| &*code.plugin);
        if !held.named {
            held.named = true;
            tracing::warn!(
                plugin.name = plugin,
                call = step.call.number(),
                "plugin.holds_thread: past its deadline, interrupting it"
            );
        }
        let progress = worker.map_or(&*shared.loop_progress, |worker| &worker.progress);
        let due = held
            .interrupted
            .is_none_or(|last| now.duration_since(last) >= REPEAT);
        if due && let Some(code) = &code {
            let own = |module: &str, file: &str| code.own.holds(module, file);
            if interrupt(progress, Some(step), &own) == Interruption::Sent {
                held.interrupted = Some(now);
            }
        }
        let lost = now.duration_since(held.since) >= GRACE + WRITE_OFF;
        if let (true, Some(worker)) = (lost, worker)
            && shared.pool.write_off(shared, worker)
        {
            tracing::error!(
                plugin.name = plugin,
                "plugin.thread_lost: it blocks in code that cannot be interrupted; another thread takes its place"
            );
        }
    }
}
