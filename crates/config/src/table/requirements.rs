//! The rows of what plugins need installed.

use super::secs;
use crate::keys::{Key, choice, key, seconds, switch};

pub(super) const REQUIREMENTS: &[Key] = &[
    key!(
        "requirements_installer",
        "What installs the packages that plugins require: the interpreter's `pip`, or `uv`; with `auto` the one whose index the environment names, else `uv` where it is there.",
        choice(
            |s| &mut s.config.plugins.requirements.installer,
            &["auto", "pip", "uv"]
        ),
    ),
    key!(
        "requirements_timeout_seconds",
        "Time that installing the packages of one plugin may take.",
        seconds(
            |s| &mut s.config.plugins.requirements.timeout,
            secs(1),
            secs(3600)
        ),
    ),
    key!(
        "requirements_build",
        "Whether packages that are no wheels may be installed: building them runs their code as the gateway's own user.",
        switch(|s| &mut s.config.plugins.requirements.build),
    ),
];
