//! What a plugin is and its life: discovery, manifest, registry, limits.
//!
//! Knows no Python and no HTTP. A [`PluginRuntime`] runs the code; [`HostServices`] is what the code
//! may ask of the gateway.

pub mod discovery;
pub mod dispatch;
pub mod host;
pub mod manifest;
pub mod registry;
pub mod runtime;
pub mod static_files;

pub use mozaiks_json_text::body;

pub use host::{Caller, HostError, HostServices};
pub use runtime::{
    CallError, CallReply, CallResult, LoadError, LoadedPlugin, PluginCall, PluginRuntime,
    PluginSource, SubmitError,
};
