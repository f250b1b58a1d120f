//! The rows of plugins' scheduled jobs and health checks.

use super::{ms, secs};
use crate::keys::{Key, count, key, seconds};

/// A year: longer than anybody keeps runs.
const YEAR: u64 = 366 * 86_400;

pub(super) const JOBS: &[Key] = &[
    key!(
        "plugin_max_jobs",
        "Scheduled jobs of one plugin.",
        count(|s| &mut s.config.jobs.max_per_plugin, 1, 10_000),
    ),
    key!(
        "plugin_job_concurrency",
        "Runs of plugins' jobs at a time in this gateway; one plugin may have half.",
        count(|s| &mut s.config.jobs.concurrency, 1, 1024),
    ),
    key!(
        "plugin_job_timeout_seconds",
        "Time one run of a job may take; a job may say otherwise, up to an hour.",
        seconds(|s| &mut s.config.jobs.timeout, ms(10), secs(3600)),
    ),
    key!(
        "plugin_job_grace_seconds",
        "A run that could not begin within this time was missed; the job says what happens then.",
        seconds(|s| &mut s.config.jobs.grace, secs(1), secs(86_400)),
    ),
    key!(
        "plugin_job_lease_seconds",
        "How long a gateway that runs a job may give no sign of life before another runs it.",
        seconds(|s| &mut s.config.jobs.lease, secs(1), secs(3600)),
    ),
    key!(
        "plugin_job_poll_seconds",
        "How often a gateway looks for runs that are due and that another has left.",
        seconds(|s| &mut s.config.jobs.poll, ms(10), secs(3600)),
    ),
    key!(
        "plugin_job_history_seconds",
        "How long runs of jobs are kept.",
        seconds(|s| &mut s.config.jobs.history_age, secs(60), secs(YEAR)),
    ),
    key!(
        "plugin_job_history_runs",
        "About how many runs are kept of one job in one app.",
        count(|s| &mut s.config.jobs.history_runs, 1, 1_000_000),
    ),
    key!(
        "plugin_health_interval_seconds",
        "Time between two calls of a plugin's `check_health`.",
        seconds(
            |s| &mut s.config.jobs.health_interval,
            ms(100),
            secs(86_400)
        ),
    ),
    key!(
        "plugin_health_timeout_seconds",
        "Time one `check_health` may take.",
        seconds(|s| &mut s.config.jobs.health_timeout, ms(10), secs(600)),
    ),
];
