//! The command line: one file a command. What a command has to say goes to stdout, everything else to
//! stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod config;
mod doctor;
mod flags;
mod init;
mod plugin;
mod remote;
mod secrets;
mod serve;
mod store;
mod token;
mod worker;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use flags::ConfigFlags;
use mozaiks_auth::dev_secret;
use mozaiks_config::{Config, Problems};
use mozaiks_worker::program;

pub use store::docstore;

/// What was asked could not be done.
const EXIT_FAILED: u8 = 1;
/// Wrong usage, and a configuration that cannot be used.
const EXIT_USAGE: u8 = 2;

/// Runs Python plugins for apps: verified identity, events, push, notifications and a database.
#[derive(Debug, Parser)]
#[command(name = "mozaiks", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a folder to begin an app in: a plugin, its test, settings, a compose file.
    Init(init::InitArgs),
    /// Start the gateway.
    #[command(after_help = "Try it out: mozaiks serve --dev\n\nAll settings: mozaiks serve --help")]
    Serve(ConfigFlags),
    /// Print a token signed with the configured secret (with --dev: the generated one).
    Token(token::TokenArgs),
    /// Check Python, packages, plugins, database and auth: one line each.
    Doctor(doctor::DoctorArgs),
    /// Print the effective configuration and where each value came from.
    Config(config::ConfigArgs),
    /// List, create and check plugins.
    Plugin(plugin::PluginArgs),
    /// A process that runs plugins; gateways start it.
    #[command(hide = true)]
    Worker,
    /// The embedded store; gateways start it.
    #[command(hide = true)]
    Store(store::StoreArgs),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The configuration cannot be used.
    Config(Problems),
    /// A sentence about wrong usage that clap cannot know of.
    Usage(String),
    /// Anything else.
    Failed(anyhow::Error),
    /// Everything is said already.
    Reported,
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Config(problems)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<dev_secret::DevSecretError> for Failure {
    fn from(error: dev_secret::DevSecretError) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_of(std::env::args_os()).into()
}

/// Runs a command in a process that Python has started, on that interpreter; gives the exit code.
///
/// `python` is how it is started, `script` what it is started with for further processes of the gateway.
pub fn main_in_python(python: PathBuf, script: PathBuf, arguments: Vec<OsString>) -> u8 {
    program::started_by(python.clone(), script);
    mozaiks_python::run_inside(python);
    main_of(arguments)
}

fn main_of(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // Pages of 2 MiB would make what is resident twice what is used, and bring calls nothing. First of all:
    // what has been touched before keeps its size. Where the kernel knows none there is nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // Usage errors and --help end the process here, with exit codes 2 and 0.
    match run(Cli::parse_from(arguments).command) {
        Ok(()) => 0,
        Err(failure) => report(&failure),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(&args),
        Command::Serve(flags) => serve::run(&flags),
        Command::Token(args) => token::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Plugin(args) => plugin::run(&args),
        Command::Worker => worker::run(),
        Command::Store(args) => store::run(args),
    }
}

fn report(failure: &Failure) -> u8 {
    match failure {
        Failure::Config(problems) => {
            eprintln!("error: {problems}");
            EXIT_USAGE
        }
        Failure::Usage(sentence) => {
            eprintln!("error: {sentence}");
            EXIT_USAGE
        }
        Failure::Failed(error) => {
            eprintln!("error: {error:#}");
            EXIT_FAILED
        }
        Failure::Reported => EXIT_FAILED,
    }
}

/// In development mode without an auth configuration: the generated secret.
fn add_dev_secret(config: &mut Config) -> Result<(), dev_secret::DevSecretError> {
    if config.dev && config.auth.keys.is_none() {
        config.auth.keys = Some(dev_secret::load_or_create(&config.data_dir)?);
    }
    Ok(())
}

/// Writes what the command has to say; a closed pipe is an error like any other.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;

    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
