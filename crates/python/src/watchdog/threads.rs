//! Threads that are held by calls which should have ended: interrupted, and written off in the end.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{FORGET, GRACE, REPEAT, SETTLED, WRITE_OFF, code_of, interrupt};
use crate::{
    parts::Parts,
    pool::Worker,
    progress::{Interruption, Step},
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
    pub(super) fn look(&mut self, parts: &Parts, now: Instant) {
        let cancelled = parts.watch.cancelled();
        if cancelled.is_empty() {
            self.held.clear();
            return;
        }
        let mut busy: Vec<(Option<Arc<Worker>>, Step)> = parts
            .pools
            .plain
            .busy_with(|call| cancelled.contains_key(&call))
            .into_iter()
            .map(|(worker, step)| (Some(worker), step))
            .collect();
        if let Some(step) = parts.looping.progress.current()
            && cancelled.contains_key(&step.call)
        {
            busy.push((None, step));
        }
        self.held.retain(|call, held| {
            busy.iter()
                .any(|(_, step)| step.call == *call && *step == held.step)
        });
        for (worker, step) in busy {
            self.free_thread(parts, now, worker.as_ref(), step);
        }
        // What no thread runs and the loop does not keep has ended.
        let calls = &parts.environment.calls;
        parts.watch.keep_cancelled(|call, since| {
            self.held.contains_key(&call)
                || calls.is_suspended(call)
                || now.duration_since(since) < SETTLED
        });
        for (call, since) in cancelled {
            if now.duration_since(since) >= FORGET {
                calls.take_asked(call);
            }
        }
    }

    /// A thread runs a call whose deadline has passed.
    fn free_thread(
        &mut self,
        parts: &Parts,
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
        let code = code_of(parts, step.generation);
        let plugin = code.as_ref().map(|code| &*code.plugin);
        if !held.named {
            held.named = true;
            tracing::warn!(
                plugin.name = plugin,
                call = step.call.number(),
                "plugin.holds_thread: past its deadline, interrupting it"
            );
        }
        let progress = worker.map_or(&parts.looping.progress, |worker| &worker.progress);
        let due = held
            .interrupted
            .is_none_or(|last| now.duration_since(last) >= REPEAT);
        if due && let Some(code) = &code {
            let own = |module: &str, file: &str| code.own.holds(module, file);
            // Before it is written off it is ended wherever it is.
            let insisting = now.duration_since(held.since) >= GRACE + WRITE_OFF / 2;
            if interrupt(progress, Some(step), &own, insisting) == Interruption::Sent {
                held.interrupted = Some(now);
            }
        }
        let lost = now.duration_since(held.since) >= GRACE + WRITE_OFF;
        if let (true, Some(worker)) = (lost, worker)
            && parts.pools.plain.write_off(worker)
        {
            tracing::error!(
                plugin.name = plugin,
                "plugin.thread_lost: it blocks in code that cannot be interrupted; another thread takes its place"
            );
        }
    }
}
