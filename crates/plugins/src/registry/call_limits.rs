//! What the calls of a load may use.

use std::time::Duration;

use super::{Plugin, Registry};
use crate::{generation::CallLimits, manifest::Manifest};

impl Registry {
    /// The operator's word, else the manifest's, else what all have.
    pub(super) fn call_limits(&self, plugin: &Plugin, manifest: &Manifest) -> CallLimits {
        let word = plugin.operator_word();
        let own = word.limits.or(&manifest.limits);
        CallLimits {
            timeout: own
                .wall
                .map(Duration::from_secs_f64)
                .or(manifest.timeout)
                .unwrap_or(self.config.call_timeout),
            queue_timeout: self.config.queue_timeout,
            max_concurrency: own
                .max_concurrency
                .map(|most| usize::try_from(most).unwrap_or(usize::MAX))
                .or(manifest.max_concurrency)
                .unwrap_or(self.config.max_concurrency),
            max_output_bytes: own
                .output_bytes
                .map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        }
    }
}
