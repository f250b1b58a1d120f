//! In which apps a plugin is switched on: its code is loaded once, and called for those alone.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;

/// Which apps a plugin is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppRules {
    /// Only these; `None` stands for all.
    pub only: Option<BTreeSet<String>>,
    /// Not these, also where they are among [`Self::only`].
    pub except: BTreeSet<String>,
}

impl AppRules {
    /// Whether the plugin is for an app.
    pub fn allow(&self, app_id: &str) -> bool {
        !self.except.contains(app_id)
            && (self.only.as_ref()).is_none_or(|only| only.contains(app_id))
    }

    /// Whether there may be an app that it is for.
    pub fn allow_any(&self) -> bool {
        (self.only.as_ref()).is_none_or(|only| only.iter().any(|app| !self.except.contains(app)))
    }

    /// Whether it is for whatever app there is.
    fn allow_all(&self) -> bool {
        self.only.is_none() && self.except.is_empty()
    }
}

/// The rules of one plugin, for all its generations. Looked at for every call.
#[derive(Debug, Default)]
pub struct AppSwitch {
    /// Whether there is a rule at all: most plugins have none, and their calls read this alone.
    is_limited: AtomicBool,
    // Written when somebody switches, never held across an await.
    rules: RwLock<Arc<AppRules>>,
}

impl AppSwitch {
    /// Whether calls for an app are taken.
    pub fn is_on_for(&self, app_id: &str) -> bool {
        !self.is_limited.load(Ordering::Acquire) || self.rules.read().allow(app_id)
    }

    /// Replaces the rules.
    pub fn set(&self, rules: AppRules) {
        let limited = !rules.allow_all();
        let mut current = self.rules.write();
        *current = Arc::new(rules);
        self.is_limited.store(limited, Ordering::Release);
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<AppRules> {
        Arc::clone(&self.rules.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_plugin_is_for_all_for_some_or_for_none() {
        let switch = AppSwitch::default();
        assert!(switch.is_on_for("a"));
        switch.set(AppRules {
            only: None,
            except: apps(&["a"]),
        });
        assert!(!switch.is_on_for("a") && switch.is_on_for("b"));
        switch.set(AppRules {
            only: Some(apps(&["a", "b"])),
            except: apps(&["a"]),
        });
        assert!(!switch.is_on_for("a") && switch.is_on_for("b") && !switch.is_on_for("c"));
        assert!(switch.rules().allow_any());
        for (only, except) in [(&[][..], &[][..]), (&["a"], &["a"])] {
            let rules = AppRules {
                only: Some(apps(only)),
                except: apps(except),
            };
            assert!(!rules.allow_any(), "{rules:?}");
        }
        switch.set(AppRules::default());
        assert!(switch.is_on_for("a"));
    }
}
