//! The flags of the configuration, made from its table, so that no key is without one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, parser::ValueSource};

use mozaiks_config::{Inputs, KEYS, Key, Loaded, Problems, ProcessEnvironment, load};

/// Flags that `-h` shows; `--help` shows all.
const SHORT_HELP: [&str; 5] = ["dev", "listen", "plugins", "data-dir", "database-uri"];
/// The flag that names the configuration file.
const FILE_FLAG: &str = "config";

/// Values of the configuration that were given on the command line, unchecked.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFlags {
    values: BTreeMap<&'static str, String>,
    file: Option<PathBuf>,
}

impl ConfigFlags {
    /// Loads the configuration; prints its warnings to stderr.
    pub(super) fn load(&self, auth_required: bool) -> Result<Loaded, Problems> {
        let loaded = load(&Inputs {
            flags: &self.values,
            environment: &ProcessEnvironment,
            file: self.file.as_deref(),
            working_dir: Path::new(""),
            auth_required,
        })?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(loaded)
    }
}

/// How addresses of a gateway begin that is started here without a flag; as without TLS where the
/// configuration cannot be used.
pub(super) fn configured_scheme() -> &'static str {
    let loaded = load(&Inputs {
        flags: &BTreeMap::new(),
        environment: &ProcessEnvironment,
        file: None,
        working_dir: Path::new(""),
        auth_required: false,
    });
    loaded.map_or("http", |loaded| loaded.config.server.tls.scheme())
}

fn arg(key: &'static Key) -> Arg {
    let arg = Arg::new(key.flag)
        .long(key.flag)
        .help(format!("{} [{}]", key.about, key.variable))
        .hide_short_help(!SHORT_HELP.contains(&key.flag))
        .help_heading("Configuration (each also by variable or in mozaiks.toml)")
        .value_name(key.value_name())
        .action(ArgAction::Set)
        // `--app-id -x` is a value, not another flag.
        .allow_hyphen_values(!key.is_switch());
    if key.is_switch() {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true)
    } else {
        arg
    }
}

impl clap::Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new(FILE_FLAG)
                    .long(FILE_FLAG)
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Configuration file [default: mozaiks.toml, if there is one]")
                    .help_heading("Configuration (each also by variable or in mozaiks.toml)"),
            )
            .args(KEYS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            if matches.value_source(key.flag) == Some(ValueSource::CommandLine)
                && let Some(value) = matches.get_one::<String>(key.flag)
            {
                self.values.insert(key.flag, value.clone());
            }
        }
        if let Some(file) = matches.get_one::<PathBuf>(FILE_FLAG) {
            self.file = Some(file.clone());
        }
        Ok(())
    }
}
