//! `mozaiks plugin jobs list|run`: the scheduled jobs of a plugin of a running gateway.

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::{
    Failure, print,
    remote::{RemoteArgs, printable, segment},
};

#[derive(Debug, clap::Args)]
pub(super) struct JobsArgs {
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// Print a plugin's jobs: name, schedule, next run, how the last one went.
    List {
        /// The plugin.
        name: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Make a job due now.
    Run {
        /// The plugin.
        name: String,
        /// The job.
        job: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Lists jobs, or runs one.
pub(super) fn run(args: &JobsArgs) -> Result<(), Failure> {
    match &args.command {
        JobsCommand::List { name, remote } => {
            let path = format!("/api/plugins/registry/{}/jobs", segment(name));
            let answer = remote.connect()?.get(&path)?;
            let jobs = answer["jobs"].as_array().map_or(&[][..], Vec::as_slice);
            if jobs.is_empty() {
                eprintln!("{} has no jobs", printable(name));
            }
            let lines: String = jobs.iter().map(line).collect();
            Ok(print(&printable(&lines))?)
        }
        JobsCommand::Run { name, job, remote } => {
            let path = format!(
                "/api/plugins/registry/{}/jobs/{}/run",
                segment(name),
                segment(job)
            );
            remote.connect()?.post(&path, &json!({}))?;
            Ok(print(&printable(&format!("{name} {job}: due now\n")))?)
        }
    }
}

fn line(job: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let state = match (&job["active"], job["status"].as_str()) {
        (_, Some("running")) => "running".into(),
        (Value::Bool(true), _) => format!("next {}", text(&job["next_run"])),
        _ => "not active".into(),
    };
    let last = &job["last_run"];
    let last = match (last["status"].as_str(), last["error"].as_str()) {
        (None, _) => "never run".into(),
        (Some(status), Some(error)) => {
            let first = error.lines().next().unwrap_or_default();
            format!("{status} {}: {first}", text(&last["ended_at"]))
        }
        (Some(status), None) => format!("{status} {}", text(&last["ended_at"])),
    };
    format!(
        "{}  {} {}  {state}  {last}\n",
        text(&job["name"]),
        text(&job["cron"]),
        text(&job["timezone"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_one_line() {
        let job = json!({
            "name": "tidy", "cron": "0 8 * * MON", "timezone": "Europe/Berlin", "active": true,
            "status": "waiting", "next_run": "2026-01-05T07:00:00Z", "last_run": null,
        });
        assert_eq!(
            line(&job),
            "tidy  0 8 * * MON Europe/Berlin  next 2026-01-05T07:00:00Z  never run\n"
        );
        let failed = json!({
            "name": "tidy", "cron": "* * * * *", "timezone": "UTC", "active": false,
            "status": "waiting",
            "last_run": {"status": "failed", "ended_at": "then", "error": "ValueError: no\nsuch"},
        });
        assert_eq!(
            line(&failed),
            "tidy  * * * * * UTC  not active  failed then: ValueError: no\n"
        );
    }
}
