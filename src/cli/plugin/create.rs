//! `mozaiks plugin new`: a plugin that runs as it is, with tests that pass, short enough to be read at once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::super::Failure;
use mozaiks_plugins::names;

/// What a new plugin begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Template {
    /// One function that answers calls.
    Minimal,
    /// Routes over a collection of each user's own.
    Crud,
    /// A public route for another service's webhooks, by signature and each once.
    Webhook,
    /// A job that runs every five minutes.
    Scheduled,
}

/// What stands for the plugin's name in a template.
const NAME: &str = "{{name}}";

macro_rules! files {
    ($folder:literal) => {
        [
            (
                "logic.py",
                include_str!(concat!("templates/", $folder, "/logic.py")),
            ),
            (
                "tests/test_plugin.py",
                include_str!(concat!("templates/", $folder, "/test_plugin.py")),
            ),
        ]
    };
}

impl Template {
    fn files(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Minimal => files!("minimal"),
            Self::Crud => files!("crud"),
            Self::Webhook => files!("webhook"),
            Self::Scheduled => files!("scheduled"),
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Minimal => "What the plugin does, in one sentence.",
            Self::Crud => "Items of each user.",
            Self::Webhook => "Takes the webhooks of another service.",
            Self::Scheduled => "Does something every five minutes.",
        }
    }

    /// What the manifest has beside the usual.
    fn manifest(self) -> Map<String, Value> {
        let more = match self {
            Self::Webhook => json!({
                "config": { "secret": "" },
                "config_schema": {
                    "type": "object",
                    "properties": { "secret": { "type": "string" } },
                },
            }),
            Self::Minimal | Self::Crud | Self::Scheduled => json!({}),
        };
        match more {
            Value::Object(more) => more,
            _ => Map::new(),
        }
    }
}

/// Makes the plugin's directory and files; gives the directory.
pub(in crate::cli) fn create(
    plugins_dir: &Path,
    name: &str,
    template: Template,
) -> Result<PathBuf, Failure> {
    if let Some(reason) = names::refusal(name) {
        return Err(Failure::Usage(format!(
            "\"{name}\" cannot be a plugin's name: {reason}"
        )));
    }
    let dir = plugins_dir.join(name);
    let fail = |error: io::Error| {
        Failure::Failed(anyhow::anyhow!("cannot make {}: {error}", dir.display()))
    };
    fs::create_dir_all(plugins_dir).map_err(fail)?;
    match fs::create_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::Usage(format!(
                "{} exists already; nothing was changed",
                dir.display()
            )));
        }
        made => made.map_err(fail)?,
    }
    // The manifest comes last but for the entry: a gateway that watches finds all of it or nothing.
    fs::create_dir(dir.join("tests")).map_err(fail)?;
    fs::write(dir.join("__init__.py"), "").map_err(fail)?;
    fs::write(dir.join("plugin.json"), manifest(name, template)).map_err(fail)?;
    for (file, text) in template.files().into_iter().rev() {
        fs::write(dir.join(file), text.replace(NAME, name)).map_err(fail)?;
    }
    Ok(dir)
}

fn manifest(name: &str, template: Template) -> String {
    let display_name: Vec<String> = name
        .split(['-', '_'])
        .filter(|word| !word.is_empty())
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect();
    let fields = [
        ("name", json!(name)),
        ("version", json!("0.1.0")),
        ("display_name", json!(display_name.join(" "))),
        ("description", json!(template.description())),
    ];
    let fields = fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .chain(template.manifest());
    // By hand, so that the name comes first.
    let lines: Vec<_> = fields
        .map(|(key, value)| {
            format!(
                "  \"{key}\": {}",
                format!("{value:#}").replace('\n', "\n  ")
            )
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
