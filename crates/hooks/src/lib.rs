//! Filters and actions of plugins: who has registered what, and chains over them.
//!
//! A chain calls its functions one after the other, lower priorities first, of equal ones by the plugin's
//! name. Each has its time, the chain has one for all, and a chain within a chain has what is left of that.
//! A filter that fails or gives nothing leaves the value as it was. Every function is called by
//! [`Dispatcher::invoke_as`], so that permits, limits and numbers are those of any call; nothing here knows
//! HTTP or Python.

mod chain;
mod table;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use mozaiks_auth::Principal;
use mozaiks_config::HooksConfig;
use mozaiks_plugins::{
    CallId, Generation, PluginFunction, dispatch::Dispatcher, host::RegistrationId,
    manifest::parts::HookType,
};

use chain::Frame;
use table::Table;

/// What a function is registered for.
#[derive(Debug, Clone, Deserialize)]
pub struct HookSpec {
    /// The hook.
    pub hook_name: String,
    /// Whether it gives the value that the next one takes.
    #[serde(default)]
    pub hook_type: HookType,
    /// Lower ones come first.
    #[serde(default = "ten")]
    pub priority: i32,
    /// Whether its failure is that of the whole chain.
    #[serde(default)]
    pub required: bool,
    /// Whether it takes part where a page applies the hook.
    #[serde(default)]
    pub public: bool,
}

fn ten() -> i32 {
    10
}

/// A function of a hook, for whoever asks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HookView {
    /// Whose it is.
    pub plugin: String,
    /// `filter` or `action`.
    #[serde(rename = "type")]
    pub hook_type: HookType,
    /// Lower ones come first.
    pub priority: i32,
    /// Whether its failure is that of the whole chain.
    pub required: bool,
    /// Whether pages may apply it.
    pub public: bool,
}

/// Who applies a hook.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// The app, whose plugins take part.
    pub app_id: Arc<str>,
    /// The user behind it, where there is one.
    pub principal: Option<Arc<Principal>>,
    /// For the log.
    pub request_id: Arc<str>,
    /// The call in which it is applied.
    pub within: Option<CallId>,
    /// Whether it is a page: only public functions take part.
    pub is_page: bool,
}

/// Why a hook was not applied, or not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// No name of a hook.
    #[error("a hook's name has 1 to 200 letters, digits, '.', '_', '-' and ':', a letter first")]
    BadName,
    /// A page asks for what is not public.
    #[error("there is no hook of this name for pages")]
    NotPublic,
    /// A chain in a chain in a chain.
    #[error("hooks are applied within hooks, more than {0} deep")]
    TooDeep(u32),
    /// More than what travels.
    #[error("the value and the arguments of a hook have more than {0} bytes")]
    TooLarge(usize),
    /// There are too many.
    #[error("an app's plugins register at most {0} functions for one hook")]
    TooMany(usize),
    /// A function that the chain cannot do without has failed.
    #[error("the hook {hook:?} failed in the plugin {plugin}")]
    Failed {
        /// The hook.
        hook: String,
        /// Whose function it was.
        plugin: Arc<str>,
        /// Why, for the log.
        reason: String,
    },
}

/// What has happened since the start.
#[derive(Debug, Default, Clone, Copy)]
pub struct HookFigures {
    /// Chains that were begun.
    pub chains: u64,
    /// Functions that failed or ran out of time.
    pub failed: u64,
    /// Functions that were not called, because the chain's time was up.
    pub skipped: u64,
    /// Chains that were refused for their depth.
    pub too_deep: u64,
}

#[derive(Default)]
struct Counts {
    chains: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
    too_deep: AtomicU64,
}

/// The hooks of all plugins.
pub struct Hooks {
    table: Table,
    dispatcher: Arc<Dispatcher>,
    config: HooksConfig,
    // Touched at the beginning and at the end of each function's call; never held across an await.
    running: Mutex<HashMap<CallId, Frame>>,
    counts: Counts,
}

impl Hooks {
    /// None yet.
    pub fn new(dispatcher: Arc<Dispatcher>, config: HooksConfig) -> Arc<Self> {
        Arc::new(Self {
            table: Table::default(),
            dispatcher,
            config,
            running: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// Takes a function. It is called once its load serves.
    ///
    /// # Errors
    /// [`HookError::BadName`] and [`HookError::TooMany`].
    pub fn register(
        &self,
        id: RegistrationId,
        spec: HookSpec,
        function: &PluginFunction,
    ) -> Result<(), HookError> {
        let most = self.config.max_functions;
        self.table.add(id, spec, function, most)
    }

    /// Ends a registration, where it is a hook's.
    pub fn unregister(&self, id: RegistrationId) {
        self.table.remove(|entry| entry.id == id);
    }

    /// A load is gone: nothing of it is called.
    pub fn forget_generation(&self, generation: Generation) {
        self.table
            .remove(|entry| entry.function.generation.id() == generation);
    }

    /// The functions of a hook in an app, in the order of their calls.
    pub fn list(&self, app_id: &str, name: &str) -> Vec<HookView> {
        let entries = self.table.of(name, app_id);
        entries
            .iter()
            .map(|entry| HookView {
                plugin: entry.function.generation.plugin().to_string(),
                hook_type: entry.spec.hook_type,
                priority: entry.spec.priority,
                required: entry.spec.required,
                public: entry.spec.public,
            })
            .collect()
    }

    /// Sends a value through the filters of a hook; gives what comes out.
    ///
    /// # Errors
    /// [`HookError`]; where a function fails that is not required, the value goes on as it was.
    pub async fn apply(
        &self,
        by: &Applicant,
        name: &str,
        value: &RawValue,
        args: &[&RawValue],
    ) -> Result<Bytes, HookError> {
        let value = Bytes::copy_from_slice(value.get().as_bytes());
        self.run(by, name, HookType::Filter, Some(value), args)
            .await
            .map(Option::unwrap_or_default)
    }

    /// Calls the actions of a hook; what they give is of no interest.
    ///
    /// # Errors
    /// [`HookError`].
    pub async fn act(
        &self,
        by: &Applicant,
        name: &str,
        args: &[&RawValue],
    ) -> Result<(), HookError> {
        self.run(by, name, HookType::Action, None, args)
            .await
            .map(drop)
    }

    /// What has happened since the start.
    pub fn figures(&self) -> HookFigures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HookFigures {
            chains: read(&self.counts.chains),
            failed: read(&self.counts.failed),
            skipped: read(&self.counts.skipped),
            too_deep: read(&self.counts.too_deep),
        }
    }
}
