//! A plugin that holds the event loop of all past its deadline, again and again, gets a process of its own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use mozaiks_lifecycle::{audit::Actor, manager::PluginManager};
use mozaiks_plugins::{
    PluginRuntime,
    dispatch::{CallObserver, DispatchError, FinishedCall},
};
use mozaiks_worker::Isolations;
use parking_lot::Mutex;

/// A loop that has not turned for less is not held.
const HELD: Duration = Duration::from_millis(100);

/// Counts who holds the loop.
pub(super) struct LoopHolders {
    most: usize,
    within: Duration,
    /// The runtime of the gateway's own process, whose loop is meant; set once.
    inline: OnceLock<Inline>,
    // An entry a plugin that has held it; never held across an await.
    seen: Mutex<HashMap<Arc<str>, VecDeque<Instant>>>,
}

struct Inline {
    runtime: Arc<dyn PluginRuntime>,
    isolations: Weak<Isolations>,
    manager: Weak<PluginManager>,
}

impl LoopHolders {
    /// More than so many times within so long is too often; 0 is never.
    pub(super) fn new(most: usize, within: Duration) -> Arc<Self> {
        Arc::new(Self {
            most,
            within,
            inline: OnceLock::new(),
            seen: Mutex::default(),
        })
    }

    /// Filled once, before any plugin is loaded.
    pub(super) fn fill(
        &self,
        runtime: &Arc<dyn PluginRuntime>,
        isolations: &Arc<Isolations>,
        manager: &Arc<PluginManager>,
    ) {
        let inline = Inline {
            runtime: Arc::clone(runtime),
            isolations: Arc::downgrade(isolations),
            manager: Arc::downgrade(manager),
        };
        let _ = self.inline.set(inline);
    }

    /// Notes one; whether it was one too many.
    fn note(&self, plugin: &Arc<str>) -> bool {
        let mut seen = self.seen.lock();
        let times = seen.entry(Arc::clone(plugin)).or_default();
        let now = Instant::now();
        times.push_back(now);
        while (times.front()).is_some_and(|at| now.duration_since(*at) > self.within) {
            times.pop_front();
        }
        let too_many = times.len() > self.most;
        if too_many {
            times.clear();
        }
        too_many
    }
}

impl CallObserver for LoopHolders {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        if self.most == 0 || !matches!(call.outcome, Err(DispatchError::TimedOut(_))) {
            return;
        }
        let Some(inline) = self.inline.get() else {
            return;
        };
        let status = inline.runtime.status();
        let is_it = status.held_by == Some(call.generation);
        if !is_it || Duration::from_millis(status.loop_lag_ms) < HELD || !self.note(call.plugin) {
            return;
        }
        let (Some(isolations), Some(manager)) =
            (inline.isolations.upgrade(), inline.manager.upgrade())
        else {
            return;
        };
        let why = format!(
            "it held the event loop past its deadline more than {} times within {} s",
            self.most,
            self.within.as_secs()
        );
        tracing::error!(
            plugin.name = &**call.plugin,
            "plugin.moved_out: {why}; it runs in a process of its own from here on"
        );
        isolations.move_out(call.plugin, why);
        let plugin = Arc::clone(call.plugin);
        let app_id = call
            .principal
            .map(|principal| Arc::clone(&principal.app_id));
        let app_id = app_id.unwrap_or_else(|| "".into());
        tokio::spawn(async move {
            let actor = Actor::gateway(&app_id, "watchdog");
            if let Err(error) = manager.reload(&plugin, &actor).await {
                tracing::error!(plugin.name = &*plugin, %error, "plugin.not_moved_out");
            }
        });
    }
}
