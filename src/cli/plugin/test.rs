//! `mozaiks plugin test`: a plugin's own tests, by the interpreter that would run the plugin.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    super::{Failure, doctor::interpreter, flags::ConfigFlags},
    requirements::installed_for,
};
use mozaiks_python::{running, sdk_dirs};

/// Hands over to pytest; see its own first lines.
const CODE: &str = include_str!("test.py");
/// Where tests find a database of their own.
const DOCSTORE: &str = "MOZAIKS_DOCSTORE";

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// The plugin's directory.
    dir: PathBuf,
    /// Only tests whose names match, as pytest's `-k`.
    #[arg(short = 'k', value_name = "EXPRESSION")]
    select: Option<String>,
    #[command(flatten)]
    flags: ConfigFlags,
}

pub(super) fn run(args: &TestArgs) -> Result<(), Failure> {
    let config = args.flags.load(false)?.config;
    let dir = args.dir.canonicalize().map_err(|error| {
        Failure::Usage(format!("{} cannot be read: {error}", args.dir.display()))
    })?;
    if !dir.join("tests").is_dir() {
        return Err(Failure::Usage(format!("{} has no tests/", dir.display())));
    }
    let python = interpreter(&config.plugins);
    let mut sdk = sdk_dirs(config.plugins.sdk_path.as_deref());
    sdk.extend(installed_for(&config, &dir));
    let mut command = Command::new(&python);
    command
        .args(["-X", "utf8", "-c", CODE])
        .arg(&dir)
        .arg(sdk.len().to_string())
        .args(&sdk)
        .arg("-q");
    if let Some(select) = &args.select {
        command.args(["-k", select]);
    }
    if std::env::var_os(DOCSTORE).is_none()
        && let Some(docstore) = docstore_beside(&python)
    {
        command.env(DOCSTORE, docstore);
    }
    let status = command.status().map_err(|error| {
        anyhow::anyhow!(
            "cannot run {}: {error}; name another with MOZAIKS_PYTHON",
            python.display()
        )
    })?;
    if status.success() {
        Ok(())
    } else {
        // pytest, or the code above, has said why.
        Err(Failure::Reported)
    }
}

/// The embedded store's own program, which is shipped with the gateway: beside it, or beside the interpreter
/// that the gateway is installed into.
fn docstore_beside(python: &Path) -> Option<PathBuf> {
    let this = match running() {
        Some(_) => python.to_owned(),
        None => std::env::current_exe().ok()?,
    };
    let beside = this.parent().unwrap_or(Path::new("")).join("docstore");
    beside.is_file().then_some(beside)
}
