//! `mozaiks plugin enable|disable|reload|remove|config`: what an admin does to the plugins of a running
//! gateway.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::super::{
    Failure, print,
    remote::{Remote, RemoteArgs, printable, segment},
};

/// A plugin of a running gateway.
#[derive(Debug, clap::Args)]
pub(super) struct OneArgs {
    /// Its name.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a plugin's configuration, or one key of it, as JSON.
    Get {
        /// The plugin.
        name: String,
        /// One key.
        key: Option<String>,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Set one key of a plugin's configuration.
    Set {
        /// The plugin.
        name: String,
        /// The key.
        key: String,
        /// Its value: JSON, or else text.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Switches a plugin on or off.
pub(super) fn set_enabled(args: &OneArgs, enabled: bool) -> Result<(), Failure> {
    let remote = args.remote.connect()?;
    let path = format!("{}/enable", plugin(&args.name));
    tell(&remote.post(&path, &json!({ "enabled": enabled }))?)
}

/// Loads a plugin anew.
pub(super) fn reload(args: &OneArgs) -> Result<(), Failure> {
    let remote = args.remote.connect()?;
    tell(&remote.post(&format!("{}/reload", plugin(&args.name)), &json!({}))?)
}

/// Unloads a plugin for good.
pub(super) fn remove(args: &OneArgs) -> Result<(), Failure> {
    let remote = args.remote.connect()?;
    remote.delete(&plugin(&args.name))?;
    Ok(print(&format!(
        "{} removed; its files and what it keeps are left\n",
        args.name
    ))?)
}

/// Prints or changes a plugin's configuration.
pub(super) fn config(args: &ConfigArgs) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Get { name, key, remote } => {
            let config = read(&remote.connect()?, name)?;
            let shown = match key {
                None => Value::Object(config),
                Some(key) => config
                    .get(key)
                    .cloned()
                    .ok_or_else(|| anyhow::anyhow!("{name} has no {key:?} in its configuration"))?,
            };
            Ok(print(&format!("{shown:#}\n"))?)
        }
        ConfigCommand::Set {
            name,
            key,
            value,
            remote,
        } => {
            let remote = remote.connect()?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(&**value));
            let path = format!("{}/config", plugin(name));
            remote.put(&path, &json!({ "config": { key: value } }))?;
            let value = &read(&remote, name)?[key];
            Ok(print(&format!("{key} = {value}\n"))?)
        }
    }
}

fn read(remote: &Remote, name: &str) -> Result<Map<String, Value>, Failure> {
    let mut answer = remote.get(&format!("{}/config", plugin(name)))?;
    match answer["config"].take() {
        Value::Object(config) => Ok(config),
        _ => Err(anyhow::anyhow!("the answer has no configuration").into()),
    }
}

/// Where a plugin is. The name may be nonsense: the gateway says so.
fn plugin(name: &str) -> String {
    format!("/api/plugins/{}", segment(name))
}

fn tell(plugin: &Value) -> Result<(), Failure> {
    let word = |key: &str| printable(plugin[key].as_str().unwrap_or("?"));
    Ok(print(&format!(
        "{} {}: {}\n",
        word("name"),
        word("version"),
        word("status")
    ))?)
}
