//! `mozaiks plugin`: what a plugin's developer needs before anything runs, and its operator while it runs.

mod carry;
mod code;
pub(super) mod create;
mod inspect;
mod jobs;
mod list;
mod logs;
mod migrate;
mod operate;
mod permissions;
mod requirements;
mod test;
mod types;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, flags::ConfigFlags, print};
use inspect::{Inspection, inspect};
use mozaiks_config::Config;
use mozaiks_plugins::manifest;

#[derive(Debug, clap::Args)]
pub(super) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// List the plugins and where they are, or with --url those of a running gateway.
    List(list::ListArgs),
    /// Make a new plugin that runs as it is.
    New {
        /// Its name: a lower-case letter, then lower-case letters, digits, - and _.
        name: String,
        /// What it begins with.
        #[arg(long, value_enum, default_value_t = create::Template::Minimal)]
        template: create::Template,
        #[command(flatten)]
        flags: ConfigFlags,
    },
    /// Run a plugin's tests with pytest.
    Test(test::TestArgs),
    /// Install what plugins require, each into a directory of its own below the data directory.
    InstallRequirements(requirements::InstallArgs),
    /// Print the JSON Schema of plugin.json, for editors.
    Schema,
    /// Switch a plugin of a running gateway on.
    Enable(operate::OneArgs),
    /// Switch a plugin of a running gateway off.
    Disable(operate::OneArgs),
    /// Load a plugin of a running gateway anew; on failure the load before serves on.
    Reload(operate::OneArgs),
    /// Unload a plugin of a running gateway for good; its files and data stay.
    Remove(operate::OneArgs),
    /// Print what a plugin of a running gateway logged, printed and raised.
    Logs(logs::LogsArgs),
    /// Print or change the configuration of a plugin of a running gateway.
    Config(operate::ConfigArgs),
    /// Print what a plugin of a running gateway wants to do beyond its own, or grant it.
    Permissions(permissions::PermissionsArgs),
    /// List or run the scheduled jobs of a plugin of a running gateway.
    Jobs(jobs::JobsArgs),
    /// List, run or undo the migrations of plugins of a running gateway.
    Migrate(migrate::MigrateArgs),
    /// Write the files of a plugin that a running gateway has stored into a directory.
    Pull(carry::PullArgs),
    /// Make a plugin that a running gateway has stored what a directory is.
    Push(carry::PushArgs),
    /// Print the types of plugins' actions for TypeScript, as a running gateway describes them.
    Types(types::TypesArgs),
    /// Check a plugin's name, files, manifest and code without running it.
    Validate {
        /// The plugin's directory.
        dir: PathBuf,
        #[command(flatten)]
        flags: ConfigFlags,
    },
}

pub(super) fn run(args: &PluginArgs) -> Result<(), Failure> {
    match &args.command {
        PluginCommand::List(args) => list::run(args),
        PluginCommand::New {
            name,
            template,
            flags,
        } => {
            let dir = create::create(&flags.load(false)?.config.plugins.dir, name, *template)?;
            let shown = dir.display();
            Ok(print(&format!(
                "made {shown}\ntest it: mozaiks plugin test {shown}\ntry it: mozaiks serve --dev\n"
            ))?)
        }
        PluginCommand::Enable(args) => operate::set_enabled(args, true),
        PluginCommand::Disable(args) => operate::set_enabled(args, false),
        PluginCommand::Reload(args) => operate::reload(args),
        PluginCommand::Remove(args) => operate::remove(args),
        PluginCommand::Logs(args) => logs::run(args),
        PluginCommand::Config(args) => operate::config(args),
        PluginCommand::Permissions(args) => permissions::run(args),
        PluginCommand::Jobs(args) => jobs::run(args),
        PluginCommand::Migrate(args) => migrate::run(args),
        PluginCommand::Pull(args) => carry::pull(args),
        PluginCommand::Push(args) => carry::push(args),
        PluginCommand::Test(args) => test::run(args),
        PluginCommand::InstallRequirements(args) => requirements::install(args),
        PluginCommand::Types(args) => types::run(args),
        PluginCommand::Schema => Ok(print(&format!("{:#}\n", manifest::schema()))?),
        PluginCommand::Validate { dir, flags } => validate(dir, &flags.load(false)?.config),
    }
}

/// What keeps the plugin in the directory from being loaded.
#[cfg(test)]
pub(super) fn check(dir: &Path) -> Vec<String> {
    inspect(dir).0.errors
}

fn validate(dir: &Path, config: &Config) -> Result<(), Failure> {
    let (mut inspection, found) = inspect(dir);
    if let Some(found) = found {
        let site = requirements::site_of(config, &found, &mut inspection);
        code::check(&config.plugins, &found, site.as_deref(), &mut inspection);
    }
    let Inspection {
        name,
        version,
        errors,
        warnings,
    } = inspection;
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
