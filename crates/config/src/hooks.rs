//! Hooks of plugins: filters and actions.

use std::time::Duration;

/// How long hooks may take, how deep they go, how much they carry.
#[derive(Debug, Clone)]
pub struct HooksConfig {
    /// One function of a hook. `MOZAIKS_HOOK_SECONDS`
    pub timeout: Duration,
    /// All functions of a hook together. `MOZAIKS_HOOK_CHAIN_SECONDS`
    pub chain_timeout: Duration,
    /// Hooks applied within hooks. `MOZAIKS_HOOK_MAX_DEPTH`
    pub max_depth: usize,
    /// Functions of one hook. `MOZAIKS_HOOK_MAX_FUNCTIONS`
    pub max_functions: usize,
    /// Bytes of a hook's value with its arguments. `MOZAIKS_HOOK_MAX_BYTES`
    pub max_value_bytes: usize,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            chain_timeout: Duration::from_secs(5),
            max_depth: 8,
            max_functions: 1000,
            max_value_bytes: 1 << 20,
        }
    }
}
