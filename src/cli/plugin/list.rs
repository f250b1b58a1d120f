//! `mozaiks plugin list`: the plugins of a directory, or of a running gateway.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    super::{
        Failure,
        flags::ConfigFlags,
        print,
        remote::{MaybeRemoteArgs, printable},
    },
    inspect::inspect_manifest,
};
use mozaiks_plugins::discovery;

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// One JSON object with all of them.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: MaybeRemoteArgs,
    #[command(flatten)]
    flags: ConfigFlags,
}

/// Lists what a running gateway has, where one is named, else what the plugins directory has.
pub(super) fn run(args: &ListArgs) -> Result<(), Failure> {
    let listed = match args.remote.connect()? {
        Some(remote) => remote.get("/api/plugins")?,
        None => in_directory(&args.flags.load(false)?.config.plugins.dir)?,
    };
    if args.json {
        return Ok(print(&format!("{listed:#}\n"))?);
    }
    let plugins = listed["plugins"].as_array().map_or(&[][..], Vec::as_slice);
    let lines: String = plugins.iter().map(line).collect();
    Ok(print(&printable(&lines))?)
}

/// What is in the directory, in the form of a gateway's answer.
fn in_directory(dir: &Path) -> Result<Value, Failure> {
    let (found, skipped) = discovery::discover(dir).map_err(|error| {
        anyhow::anyhow!(
            "the plugins directory {} cannot be read: {error}",
            dir.display()
        )
    })?;
    if found.is_empty() {
        eprintln!("no plugins in {}", dir.display());
    }
    for skipped in skipped {
        eprintln!("passed over {}: {}", skipped.dir.display(), skipped.reason);
    }
    let plugins: Vec<Value> = found
        .iter()
        .map(|plugin| {
            let inspection = inspect_manifest(plugin);
            let mut one = json!({
                "name": plugin.name,
                "version": inspection.version,
                "path": plugin.dir.display().to_string(),
            });
            if let Some(error) = inspection.errors.first() {
                one["error"] = Value::from(&**error);
            }
            one
        })
        .collect();
    Ok(json!({ "count": plugins.len(), "plugins": plugins }))
}

/// Name, version (or what is wrong), and where it is or how.
fn line(plugin: &Value) -> String {
    let word = |key: &str| plugin[key].as_str();
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let error = word("error").map(first_line);
    let name = word("name").unwrap_or("?");
    let version = word("version").unwrap_or("?");
    match (word("path"), error) {
        (Some(path), Some(error)) => format!("{name}  broken: {error}  {path}\n"),
        (Some(path), None) => format!("{name}  {version}  {path}\n"),
        (None, error) => {
            let error = error.map(|error| format!("  {error}")).unwrap_or_default();
            let status = word("status").unwrap_or("?");
            format!("{name}  {version}  {status}{error}\n")
        }
    }
}
