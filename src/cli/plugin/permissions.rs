//! `mozaiks plugin permissions`: what a plugin of a running gateway wants to do beyond its own, and an
//! admin's consent to it.

use std::path::Path;

use serde_json::{Value, json};

use super::super::{
    Failure, print,
    remote::{RemoteArgs, printable, segment},
};

#[derive(Debug, clap::Args)]
pub(super) struct PermissionsArgs {
    /// The plugin.
    name: String,
    /// Grant this and no more: `all` that it wants, or what a file of JSON says.
    #[arg(long, value_name = "all|FILE")]
    grant: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) fn run(args: &PermissionsArgs) -> Result<(), Failure> {
    let remote = args.remote.connect()?;
    let path = format!("/api/plugins/registry/{}/permissions", segment(&args.name));
    let answer = match args.grant.as_deref() {
        None => remote.get(&path)?,
        Some(what) => {
            let granted = match what {
                "all" => remote.get(&path)?["declared"].take(),
                file => read(Path::new(file))?,
            };
            remote.put(&path, &json!({ "granted": granted }))?
        }
    };
    tell(&answer)
}

fn read(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(file)
        .map_err(|error| anyhow::anyhow!("{} cannot be read: {error}", file.display()))?;
    let granted = serde_json::from_slice(&text)
        .map_err(|error| anyhow::anyhow!("{} is not JSON: {error}", file.display()))?;
    Ok(granted)
}

fn tell(answer: &Value) -> Result<(), Failure> {
    let granted = match &answer["granted"] {
        Value::Null if answer["consent"] == false => "not asked for".to_owned(),
        Value::Null => "nothing".to_owned(),
        grant => format!(
            "{}, by {} at {}",
            grant["permissions"],
            grant["by"].as_str().unwrap_or("nobody known"),
            grant["at"].as_str().unwrap_or("?"),
        ),
    };
    let missing: Vec<&str> = (answer["missing"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let missing = match missing.is_empty() {
        true => "nothing".to_owned(),
        false => missing.join(", "),
    };
    let wanted = answer["declared"].to_string();
    Ok(print(&format!(
        "wants: {}\ngranted: {}\nmissing: {}\n",
        printable(&wanted),
        printable(&granted),
        printable(&missing),
    ))?)
}
