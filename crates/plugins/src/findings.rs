//! What the gateway has noticed about plugins that works and is likely not meant: a sentence each, for their
//! authors.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::generation::Generation;

/// A folder without `__init__.py`.
pub(crate) const MISSING_INIT: &str = "there is no __init__.py: put an empty one into the plugin's folder, \
                                       without which other tools do not take it for a package";
/// A call that gave nothing.
pub const RETURNED_NONE: &str = "execute returned None, not a dict: end every way through it with \
                                 `return {…}`";

/// Of each plugin so many are kept; the oldest make room.
const KEPT: usize = 16;
/// A sentence is cut after so many characters.
const MAX_SENTENCE: usize = 400;

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The plugin's folder has no `__init__.py`.
    MissingInit,
    /// Code of the plugin held the event loop.
    BlockingCall,
    /// `execute` returned `None`.
    ReturnedNone,
}

impl FindingKind {
    /// All, as they are named.
    const ALL: [(Self, &'static str); 3] = [
        (Self::MissingInit, "missing_init"),
        (Self::BlockingCall, "blocking_call"),
        (Self::ReturnedNone, "returned_none"),
    ];
}

/// Something that was noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// What it is, and what helps.
    pub sentence: String,
    /// How often.
    pub count: u64,
    /// The last time, in seconds since 1970.
    pub last_at: u64,
    /// The load it is about.
    pub generation: u64,
}

#[derive(Default)]
struct OfPlugin {
    latest: Vec<Finding>,
    /// The load that serves: calls of those before it end later, and what they did is over.
    serving: u64,
}

/// What was noticed about the loads that there are.
#[derive(Default)]
pub struct Findings {
    // Touched by what is noticed, by loads, and by whoever looks.
    plugins: Mutex<HashMap<Arc<str>, OfPlugin>>,
    counts: [AtomicU64; FindingKind::ALL.len()],
}

impl Findings {
    /// Notes one of a load; whether it is the first of its kind and sentence, which the log is told of.
    pub fn note(
        &self,
        plugin: &Arc<str>,
        generation: Generation,
        kind: FindingKind,
        sentence: &str,
    ) -> bool {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        let letters = sentence.chars().take(MAX_SENTENCE);
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        let sentence: String = letters.map(plain).collect();
        let last_at = SystemTime::now().duration_since(UNIX_EPOCH);
        let last_at = last_at.map_or(0, |since| since.as_secs());
        let mut plugins = self.plugins.lock();
        let of = plugins.entry(Arc::clone(plugin)).or_default();
        if generation.0 < of.serving {
            return false;
        }
        let of = &mut of.latest;
        let is_same = |known: &Finding| {
            (known.generation, known.kind) == (generation.0, kind) && known.sentence == sentence
        };
        let known = of.iter().position(is_same);
        let is_new = known.is_none();
        let before = known.map(|at| of.remove(at));
        if of.len() == KEPT {
            of.remove(0);
        }
        of.push(Finding {
            kind,
            sentence,
            count: before.map_or(0, |before| before.count) + 1,
            last_at,
            generation: generation.0,
        });
        is_new
    }

    /// A load has taken the place of those before it, whose findings are no longer true.
    pub fn keep_only(&self, plugin: &Arc<str>, generation: Generation) {
        let mut plugins = self.plugins.lock();
        let of = plugins.entry(Arc::clone(plugin)).or_default();
        of.latest.retain(|it| it.generation == generation.0);
        of.serving = generation.0;
    }

    /// A plugin is gone.
    pub fn forget(&self, plugin: &str) {
        self.plugins.lock().remove(plugin);
    }

    /// Those of a plugin, the newest first.
    pub fn of(&self, plugin: &str) -> Vec<Finding> {
        let plugins = self.plugins.lock();
        let of = plugins.get(plugin).map(|of| &of.latest);
        of.into_iter().flatten().rev().cloned().collect()
    }

    /// How many there were since the start, by kind.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = FindingKind::ALL.iter().zip(&self.counts);
        counts
            .map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noticed_is_kept_once_within_bounds_and_for_its_load() {
        let findings = Findings::default();
        let plugin: Arc<str> = "mine".into();
        let (old, new) = (Generation(1), Generation(2));
        let kind = FindingKind::BlockingCall;
        assert!(findings.note(&plugin, old, kind, "at\nline 1"));
        assert!(!findings.note(&plugin, old, kind, "at\nline 1"));
        let kept = findings.of("mine");
        assert_eq!((kept.len(), kept[0].count), (1, 2));
        assert_eq!(kept[0].sentence, "at line 1");
        for line in 0..40 {
            let sentence = format!("at line {line} {}", "x".repeat(1000));
            assert!(findings.note(&plugin, new, kind, &sentence));
        }
        let kept = findings.of("mine");
        assert_eq!(kept.len(), KEPT);
        assert!(kept[0].sentence.starts_with("at line 39 "));
        assert!(kept.iter().all(|it| it.sentence.len() <= MAX_SENTENCE));
        assert!(findings.note(&plugin, old, kind, "late"));
        findings.keep_only(&plugin, new);
        assert_eq!(findings.of("mine").len(), KEPT - 1);
        assert!(!findings.note(&plugin, old, kind, "later still"));
        assert_eq!(findings.of("mine").len(), KEPT - 1);
        findings.forget("mine");
        assert!(findings.of("mine").is_empty());
        assert!(findings.counts().contains(&("blocking_call", 44)));
    }

    #[test]
    fn kinds_are_counted_under_the_names_that_are_sent() {
        for (at, (kind, name)) in FindingKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
            assert_eq!(serde_json::json!(kind), *name);
        }
    }
}
