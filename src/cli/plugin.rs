//! `mozaiks plugin`: what a plugin's developer needs before anything runs.

mod create;
mod inspect;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, flags::ConfigFlags, print};
pub(super) use inspect::has_entry_file;
use inspect::{Inspection, inspect};

#[derive(Debug, clap::Args)]
pub(super) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// List the plugins and where they are.
    List(ConfigFlags),
    /// Make a new plugin that runs as it is.
    New {
        /// Its name: a lower-case letter, then lower-case letters, digits, - and _.
        name: String,
        #[command(flatten)]
        flags: ConfigFlags,
    },
    /// Check a plugin's name, files and manifest without running it.
    Validate {
        /// The plugin's directory.
        dir: PathBuf,
    },
}

pub(super) fn run(args: &PluginArgs) -> Result<(), Failure> {
    match &args.command {
        PluginCommand::List(flags) => list(&flags.load(false)?.config.plugins.dir),
        PluginCommand::New { name, flags } => {
            let dir = create::create(&flags.load(false)?.config.plugins.dir, name)?;
            Ok(print(&format!(
                "made {}\ntry it: mozaiks serve --dev\n",
                dir.display()
            ))?)
        }
        PluginCommand::Validate { dir } => validate(dir),
    }
}

fn list(dir: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(dir).map_err(|error| {
        Failure::Failed(anyhow::anyhow!(
            "the plugins directory {}: {error}",
            dir.display()
        ))
    })?;
    let mut dirs: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !is_hidden(path))
        .collect();
    dirs.sort();
    let mut lines = String::new();
    for dir in &dirs {
        let found = inspect(dir);
        let state = match found.errors.first() {
            None => format!("{} {}", found.version, dir.display()),
            Some(error) => format!("broken: {error} ({})", dir.display()),
        };
        lines.push_str(&format!("{}  {state}\n", found.name));
    }
    if dirs.is_empty() {
        eprintln!("no plugins in {}", dir.display());
    }
    Ok(print(&lines)?)
}

/// What is beside the plugins and is none: `.git`, `__pycache__`.
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_none_or(|name| name.starts_with(['.', '_']))
}

fn validate(dir: &Path) -> Result<(), Failure> {
    let Inspection {
        name,
        version,
        errors,
        warnings,
    } = inspect(dir);
    let mut lines = String::new();
    for warning in &warnings {
        lines.push_str(&format!("warn  {warning}\n"));
    }
    for error in &errors {
        lines.push_str(&format!("FAIL  {error}\n"));
    }
    if errors.is_empty() {
        lines.push_str(&format!("ok    {name} {version}\n"));
    }
    print(&lines)?;
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}
