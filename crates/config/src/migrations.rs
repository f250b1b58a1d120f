//! Migrations of plugins: how long they may take.

use std::time::Duration;

/// The bounds of migrations.
#[derive(Debug, Clone)]
pub struct MigrationsConfig {
    /// How long a gateway that runs one may go without a sign of life. `MOZAIKS_MIGRATION_LEASE_SECONDS`
    pub lease: Duration,
    /// One of Python's. `MOZAIKS_MIGRATION_TIMEOUT_SECONDS`
    pub timeout: Duration,
}

impl Default for MigrationsConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            timeout: Duration::from_secs(600),
        }
    }
}
