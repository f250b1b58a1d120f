//! `mozaiks doctor`: what would keep the gateway or its plugins from working, one line each.

mod container;
mod database;
mod python;

pub(super) use python::interpreter;

use std::{fmt, fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use super::{Failure, flags::ConfigFlags, print};
use crate::app::TlsPair;
use mozaiks_auth::{TokenVerifier, dev_secret};
use mozaiks_config::{AuthConfig, Config, KeySource, TlsConfig, redact_uri};
use mozaiks_plugins::discovery;

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Check as well what a container needs in production.
    #[arg(long)]
    container: bool,
    #[command(flatten)]
    flags: ConfigFlags,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    /// Works, but is likely not meant.
    Warn,
    /// The gateway will not start, or every call will fail.
    Fail,
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    status: Status,
    what: &'static str,
    detail: String,
}

impl Finding {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Ok, what, detail)
    }

    fn warn(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Warn, what, detail)
    }

    fn fail(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Status::Fail, what, detail)
    }

    fn new(status: Status, what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            what,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok  ",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        // A detail of several lines would look like several findings.
        let detail: Vec<&str> = self.detail.split_whitespace().collect();
        write!(f, "{status}  {}: {}", self.what, detail.join(" "))
    }
}

pub(super) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let findings = match args.flags.load(false) {
        Ok(loaded) => {
            let mut findings = examine(&loaded.config);
            if args.container {
                findings.extend(container::check(&loaded.config));
            }
            findings
        }
        Err(problems) => problems
            .0
            .iter()
            .map(|problem| Finding::fail("configuration", problem.to_string()))
            .collect(),
    };
    let lines: String = findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect();
    print(&lines)?;
    if findings
        .iter()
        .any(|finding| finding.status == Status::Fail)
    {
        return Err(Failure::Reported);
    }
    Ok(())
}

fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration", "every value is allowed")];
    findings.extend(python::check(&config.plugins));
    findings.push(check_plugins(&config.plugins.dir));
    findings.extend(match &config.database.uri {
        Some(uri) => database::check_server(uri),
        None => vec![check_data_dir(&config.data_dir)],
    });
    findings.extend(check_auth(config));
    findings.extend(check_tls(&config.server.tls));
    findings
}

/// Whether the port's certificate can be shown.
fn check_tls(tls: &TlsConfig) -> Option<Finding> {
    let (cert, key) = tls.files()?;
    Some(match TlsPair::load(cert, key) {
        Err(reason) => Finding::fail("tls", reason),
        Ok(pair) => match pair.validity.warning() {
            Some(reason) => Finding::warn("tls", format!("{}: {reason}", cert.display())),
            None => Finding::ok(
                "tls",
                format!(
                    "{}, valid for {} days",
                    cert.display(),
                    pair.validity.days_left()
                ),
            ),
        },
    })
}

fn check_plugins(dir: &Path) -> Finding {
    let shown = dir.display();
    let (found, skipped) = match discovery::discover(dir) {
        Ok(listed) => listed,
        Err(error) => {
            return Finding::fail(
                "plugins",
                format!("{shown}: {error}; make it, or name another with MOZAIKS_PLUGINS_PATH"),
            );
        }
    };
    if let Some(first) = skipped.first() {
        let name = first.dir.file_name().unwrap_or_default().to_string_lossy();
        return Finding::warn(
            "plugins",
            format!(
                "{} in {shown}; passed over: {} (the first is {name}: {})",
                found.len(),
                skipped.len(),
                first.reason
            ),
        );
    }
    let count = found.len();
    if count == 0 {
        return Finding::warn(
            "plugins",
            format!("{shown} holds none; `mozaiks plugin new NAME` makes one"),
        );
    }
    Finding::ok("plugins", format!("{count} in {shown}"))
}

/// Whether the embedded store can keep its files.
fn check_data_dir(dir: &Path) -> Finding {
    let shown = dir.display();
    match writable(dir) {
        Ok(()) => Finding::ok("database", format!("embedded, under {shown}")),
        Err(error) => Finding::fail("database", format!("embedded, but {shown}: {error}")),
    }
}

/// Writes a file there and takes it away; the directory is made where it is missing.
fn writable(dir: &Path) -> io::Result<()> {
    let probe = dir.join(format!(".doctor-{}", std::process::id()));
    // As the gateway makes it: for its owner alone.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::write(&probe, b"doctor"))
        .and_then(|()| fs::remove_file(&probe))
}

fn check_auth(config: &Config) -> Vec<Finding> {
    let auth = &config.auth;
    let Some(source) = &auth.keys else {
        return vec![match (config.dev, dev_secret::exists(&config.data_dir)) {
            (false, _) => Finding::fail(
                "auth",
                "no keys are configured: set MOZAIKS_OIDC_ISSUER, MOZAIKS_JWT_SECRET, MOZAIKS_JWKS_URL, \
                 MOZAIKS_JWKS_FILE or MOZAIKS_JWT_PUBLIC_KEY_FILE, or start with --dev",
            ),
            (true, Ok(true)) => Finding::ok("auth", "the generated development secret"),
            (true, Ok(false)) => Finding::ok(
                "auth",
                "a development secret will be generated at the first start",
            ),
            (true, Err(error)) => Finding::fail("auth", error.to_string()),
        }];
    };
    let mut findings = match source {
        KeySource::Secret { algorithm, .. } => match TokenVerifier::from_config(auth) {
            Ok(_) => vec![Finding::ok(
                "auth",
                format!("a shared secret with {algorithm}"),
            )],
            Err(error) => vec![Finding::fail("auth", error)],
        },
        KeySource::PemFile(path) => vec![check_keys(auth, &path.display().to_string())],
        KeySource::JwksFile(path) => vec![check_keys(auth, &path.display().to_string())],
        KeySource::JwksUrl(url) => vec![check_keys(auth, &redact_uri(url))],
        KeySource::Oidc(issuer) => vec![check_keys(auth, issuer)],
    };
    if !matches!(source, KeySource::Secret { .. }) && auth.audience.is_none() {
        findings.push(Finding::warn(
            "auth",
            "no audience is configured: tokens of the issuer's other services are accepted too",
        ));
    }
    findings
}

/// Reads or fetches public keys as the gateway does.
fn check_keys(auth: &AuthConfig, shown: &str) -> Finding {
    let verifier = match TokenVerifier::from_config(auth) {
        Ok(verifier) => verifier,
        Err(error) => return Finding::fail("auth", error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Finding::fail("auth", format!("cannot fetch keys: {error}")),
    };
    runtime.block_on(verifier.prefetch());
    let algorithms = verifier.key_algorithms().join(", ");
    match (verifier.key_count(), verifier.fetch_failure()) {
        (0, None) => Finding::fail("auth", format!("no keys came from {shown}")),
        (0, Some(why)) => Finding::fail("auth", format!("no keys came from {shown}: {why}")),
        (1, _) => Finding::ok("auth", format!("1 key from {shown} ({algorithms})")),
        (count, _) => Finding::ok("auth", format!("{count} keys from {shown} ({algorithms})")),
    }
}
