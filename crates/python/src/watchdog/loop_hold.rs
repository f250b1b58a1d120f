//! A loop that one piece of code holds: who it is goes to the log at once, and in the end it is
//! interrupted.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{GRACE, REPEAT, code_of, interrupt};
use crate::{
    frames::{self, Told},
    interpreter::attach,
    parts::Parts,
    progress::Interruption,
};
use mozaiks_plugins::{Generation, findings::FindingKind};

/// A loop that does not turn and whose thread has begun no other step meanwhile.
pub(super) struct LoopHold {
    steps: u64,
    since: Instant,
    named: bool,
    interrupted: Option<Instant>,
}

/// Says which plugin keeps the interpreter itself, so that not even its stack can be read. `told` and the
/// result say whether that has been done.
pub(super) fn tell_of_native_code(parts: &Parts, now: Instant, told: bool) -> bool {
    let Some(since) = parts.watch.asking() else {
        return false;
    };
    let waited = now.saturating_duration_since(since);
    if told || waited < parts.limits.hold_warning {
        return told;
    }
    // One of those that run; which, only the interpreter knows.
    let plain = parts.pools.plain.busy_with(|_| true);
    let steps = plain.into_iter().map(|(_, step)| step);
    let names: BTreeSet<_> = parts
        .looping
        .progress
        .current()
        .into_iter()
        .chain(steps)
        .filter_map(|step| code_of(parts, step.generation))
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
pub(super) fn look(hold: &mut Option<LoopHold>, parts: &Parts, now: Instant) {
    let Some(sent) = parts.looping.pinged() else {
        *hold = None;
        return;
    };
    let steps = parts.looping.progress.steps();
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
    if held < parts.limits.hold_warning {
        return;
    }
    if !hold.named {
        hold.named = tell(parts, steps, held);
    }
    // Deadlines free the loop from `execute`; this is for tasks and handlers that outlive it.
    let due = hold
        .interrupted
        .is_none_or(|last| now.duration_since(last) >= REPEAT);
    if !due || held < parts.limits.stall_limit + GRACE {
        return;
    }
    let own = |module: &str, file: &str| parts.codes.owner(module, file).is_some();
    if interrupt(
        &parts.looping.progress,
        parts.looping.progress.current(),
        &own,
        true,
    ) == Interruption::Sent
    {
        hold.interrupted = Some(now);
        tracing::error!("plugin.interrupted: it has held the loop for too long");
    }
}

/// Says where the loop is held; `false` where it no longer is.
fn tell(parts: &Parts, steps: u64, held: Duration) -> bool {
    if parts.looping.is_stopping() {
        return true;
    }
    parts.watch.set_asking(Some(Instant::now()));
    let stack = attach(|py| {
        parts.watch.set_asking(None);
        let stack = frames::stack_of(py, parts.looping.progress.thread());
        let still = parts.looping.pinged().is_some() && parts.looping.progress.steps() == steps;
        still.then_some(stack)
    });
    let Some(stack) = stack else {
        return false;
    };
    let Some((plugin, generation, at)) = stack.iter().find_map(|frame| of_plugin(parts, frame))
    else {
        // Not a plugin's doing: other threads keep the interpreter busy, or the machine is.
        tracing::debug!(
            held_ms = millis(held),
            stack = frames::in_one_line(&stack),
            "python.loop_late"
        );
        return false;
    };
    parts.looping.count_hold();
    let sentence = format!(
        "a blocking call at {}:{} holds the event loop, and with it all other calls: write `def` for \
         `async def`, or `await asyncio.to_thread(…)`",
        place(parts, generation, at),
        at.line
    );
    let kind = FindingKind::BlockingCall;
    let name = plugin.as_str().into();
    (parts.host.services).found(&name, generation, kind, &sentence);
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
fn of_plugin<'a>(parts: &Parts, frame: &'a Told) -> Option<(String, Generation, &'a Told)> {
    let name = frame.module.strip_prefix("mozaiks_plugin_");
    if let Some((name, number)) = name
        .and_then(|name| name.split('.').next())
        .and_then(|package| package.rsplit_once("_g"))
        && let Ok(number) = number.parse()
    {
        let generation = Generation(number);
        let code = code_of(parts, generation);
        let plugin = code.map_or(name.to_owned(), |code| code.plugin.to_string());
        return Some((plugin, generation, frame));
    }
    let code = parts.codes.owner(&frame.module, &frame.file)?;
    Some((code.plugin.to_string(), code.generation, frame))
}

/// The file as its author knows it, below the plugin's directory.
fn place<'a>(parts: &Parts, generation: Generation, at: &'a Told) -> &'a str {
    let code = code_of(parts, generation);
    code.and_then(|code| code.own.below_its_dir(&at.file))
        .unwrap_or(&at.file)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
