//! A loop that one piece of code holds: who it is goes to the log at once, and in the end it is
//! interrupted.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    super::{
        frames::{self, Told},
        interpreter::attach,
        progress::Interruption,
        shared::Shared,
    },
    GRACE, REPEAT, interrupt,
};
use mozaiks_plugins::Generation;

/// A loop that does not turn and whose thread has begun no other step meanwhile.
pub(super) struct LoopHold {
    steps: u64,
    since: Instant,
    named: bool,
    interrupted: Option<Instant>,
}

/// Says which plugin keeps the interpreter itself, so that not even its stack can be read. `told` and the
/// result say whether that has been done.
pub(super) fn tell_of_native_code(shared: &Shared, now: Instant, told: bool) -> bool {
    let Some(since) = *shared.watchdog.asking.lock() else {
        return false;
    };
    let waited = now.saturating_duration_since(since);
    if told || waited < shared.limits.hold_warning {
        return told;
    }
    // One of those that run; which, only the interpreter knows.
    let plain = shared.pool.busy_with(|_| true);
    let steps = plain.into_iter().map(|(_, step)| step);
    let names: BTreeSet<_> = shared
        .loop_progress
        .current()
        .into_iter()
        .chain(steps)
        .filter_map(|step| super::code_of(shared, step.generation))
        .map(|code| code.plugin.to_string())
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    tracing::warn!(
        plugin.name = names.join(", "),
        waited_ms = millis(waited),
        "python.interpreter_held: native code of one of these plugins does not let go of it"
    );
    true
}

/// Looks once whether the loop is held.
pub(super) fn look(hold: &mut Option<LoopHold>, shared: &Arc<Shared>, now: Instant) {
    let Some(sent) = *shared.ping_sent.lock() else {
        *hold = None;
        return;
    };
    let steps = shared.loop_progress.steps();
    let fresh = |since| LoopHold {
        steps,
        since,
        named: false,
        interrupted: None,
    };
    let hold = hold.get_or_insert_with(|| fresh(sent));
    if hold.steps != steps {
        // Many short steps: it is busy, not held.
        *hold = fresh(now);
    }
    let held = now.saturating_duration_since(hold.since);
    if held < shared.limits.hold_warning {
        return;
    }
    if !hold.named {
        hold.named = tell(shared, steps, held);
    }
    // Deadlines free the loop from `execute`; this is for tasks and handlers that outlive it.
    let due = hold
        .interrupted
        .is_none_or(|last| now.duration_since(last) >= REPEAT);
    if !due || held < shared.limits.stall_limit + GRACE {
        return;
    }
    let own = |module: &str, file: &str| {
        let codes = shared.generations.read();
        codes.values().any(|code| code.own.holds(module, file))
    };
    if interrupt(&shared.loop_progress, shared.loop_progress.current(), &own) == Interruption::Sent
    {
        hold.interrupted = Some(now);
        tracing::error!("plugin.interrupted: it has held the loop for too long");
    }
}

/// Says where the loop is held; `false` where it no longer is.
fn tell(shared: &Arc<Shared>, steps: u64, held: Duration) -> bool {
    if shared.stopping.load(Ordering::Acquire) {
        return true;
    }
    *shared.watchdog.asking.lock() = Some(Instant::now());
    let stack = attach(|py| {
        *shared.watchdog.asking.lock() = None;
        let stack = frames::stack_of(py, shared.loop_progress.thread());
        let still = shared.ping_sent.lock().is_some() && shared.loop_progress.steps() == steps;
        still.then_some(stack)
    });
    let Some(stack) = stack else {
        return false;
    };
    let Some((plugin, at)) = stack.iter().find_map(|frame| of_plugin(shared, frame)) else {
        // Not a plugin's doing: other threads keep the interpreter busy, or the machine is.
        tracing::debug!(
            held_ms = millis(held),
            stack = frames::in_one_line(&stack),
            "python.loop_late"
        );
        return false;
    };
    shared.loop_holds.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(
        plugin.name = plugin,
        held_ms = millis(held),
        stack = frames::in_one_line(&stack),
        "plugin.holds_loop: {plugin} holds the loop: a blocking call at {}:{}; use `def` or \
         `asyncio.to_thread`",
        at.file,
        at.line,
    );
    true
}

/// The plugin whose frame that is.
fn of_plugin<'a>(shared: &Shared, frame: &'a Told) -> Option<(String, &'a Told)> {
    let name = frame.module.strip_prefix("mozaiks_plugin_");
    if let Some((name, number)) = name
        .and_then(|name| name.split('.').next())
        .and_then(|package| package.rsplit_once("_g"))
        && let Ok(number) = number.parse()
    {
        let code = super::code_of(shared, Generation(number));
        return Some((
            code.map_or(name.to_owned(), |code| code.plugin.to_string()),
            frame,
        ));
    }
    let codes = shared.generations.read();
    let code = codes
        .values()
        .find(|code| code.own.holds(&frame.module, &frame.file))?;
    Some((code.plugin.to_string(), frame))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
