//! What a plugin is and its life: discovery, manifest, registry, limits.
//!
//! Knows no Python and no HTTP. A [`PluginRuntime`] runs the code; [`HostServices`] is what the code
//! may ask of the gateway.

pub mod actions;
pub mod app_gate;
pub mod apps;
pub mod assets;
pub mod bytecode;
pub mod client_events;
pub mod discovery;
pub mod dispatch;
pub mod findings;
pub mod generation;
pub mod host;
pub mod invocation;
pub mod limits;
pub mod manifest;
pub mod names;
pub mod origin;
pub mod permissions;
pub mod placement;
pub mod queue_delay;
pub mod rates;
pub mod registry;
pub mod renders;
pub mod routes;
pub mod runtime;
pub mod schema;
pub mod site;
pub mod source_check;
mod started;
pub mod static_files;
pub mod stored;
pub mod streams;
pub mod traffic;
pub mod tree;
pub mod usage;

pub use generation::{Generation, GenerationPhase, LiveGeneration, PluginFunction};
pub use host::{Caller, HostError, HostServices};
pub use invocation::{CallId, CallKind, Input, Invocation, Target, Wants};
pub use runtime::{
    CallError, CallReply, CallResult, LoadError, LoadedPlugin, PluginRuntime, PluginSource,
    Started, SubmitError,
};

pub use mozaiks_json_text::body;
