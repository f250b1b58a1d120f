//! The rows of plugins' migrations.

use super::secs;
use crate::keys::{Key, key, seconds};

pub(super) const MIGRATIONS: &[Key] = &[
    key!(
        "migration_lease_seconds",
        "How long a gateway that runs a migration may give no sign of life before it counts as failed.",
        seconds(|s| &mut s.config.migrations.lease, secs(1), secs(3600)),
    ),
    key!(
        "migration_timeout_seconds",
        "Time one migration of Python's may take.",
        seconds(|s| &mut s.config.migrations.timeout, secs(1), secs(86_400)),
    ),
];
