//! What plugins need installed.

use std::time::Duration;

/// How it is installed.
#[derive(Debug, Clone)]
pub struct RequirementsConfig {
    /// `auto`, `pip` or `uv`. `MOZAIKS_REQUIREMENTS_INSTALLER`
    pub installer: String,
    /// How long installing for one plugin may take. `MOZAIKS_REQUIREMENTS_TIMEOUT_SECONDS`
    pub timeout: Duration,
    /// Whether packages may be built from their sources. `MOZAIKS_REQUIREMENTS_BUILD`
    pub build: bool,
}

impl Default for RequirementsConfig {
    fn default() -> Self {
        Self {
            installer: "auto".into(),
            timeout: Duration::from_secs(300),
            build: false,
        }
    }
}
