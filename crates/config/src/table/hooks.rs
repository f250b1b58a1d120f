//! The rows of hooks.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Key, bytes, count, key, seconds};

pub(super) const HOOKS: &[Key] = &[
    key!(
        "hook_seconds",
        "Longest that one plugin's function of a hook may take; then the value goes on as it was.",
        seconds(|s| &mut s.config.hooks.timeout, ms(10), secs(60)),
    ),
    key!(
        "hook_chain_seconds",
        "Longest that all functions of one hook may take together; those after that are left out.",
        seconds(|s| &mut s.config.hooks.chain_timeout, ms(10), secs(600)),
    ),
    key!(
        "hook_max_depth",
        "How deep hooks may be applied within hooks.",
        count(|s| &mut s.config.hooks.max_depth, 1, 64),
    ),
    key!(
        "hook_max_functions",
        "Functions that all plugins may register for one hook.",
        count(|s| &mut s.config.hooks.max_functions, 1, 100_000),
    ),
    key!(
        "hook_max_bytes",
        "Bytes of a hook's value together with its arguments.",
        bytes(|s| &mut s.config.hooks.max_value_bytes, KIB, 8 * MIB),
    ),
];
