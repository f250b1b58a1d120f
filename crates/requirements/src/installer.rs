//! pip or uv, told as little as possible, and what they say when they fail.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    RequirementsError,
    process::{self, Ended},
    site::Staged,
    specifier::Requirement,
};

/// Variables that an installer is given, besides those of [`PREFIXES`]: which index it asks, and how it gets
/// there. None of them changes what is installed, or where to.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "NETRC",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
    "PIP_CONSTRAINT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_KEYRING_PROVIDER",
    "PIP_NO_CACHE_DIR",
    "PIP_NO_INDEX",
    "PIP_PRE",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TIMEOUT",
    "PIP_TRUSTED_HOST",
    "UV_CACHE_DIR",
    "UV_CONFIG_FILE",
    "UV_CONSTRAINT",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_TIMEOUT",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_NO_CACHE",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_PRERELEASE",
    "UV_SYSTEM_CERTS",
];
/// `UV_INDEX_URL`, and users and passwords of named indexes.
const PREFIXES: &[&str] = &["UV_INDEX"];
/// What of the environment says that pip, or uv, is the one that knows the operator's index.
const PLACES: &[&str] = &["INDEX", "FIND_LINKS", "CONFIG_FILE"];
/// Where the network gives no answer this is waited for, where the operator says nothing else.
const PATIENCE: [(&str, &str); 3] = [
    ("PIP_RETRIES", "1"),
    ("PIP_DEFAULT_TIMEOUT", "15"),
    ("UV_HTTP_TIMEOUT", "15"),
];
/// Of what an installer said, this much is shown.
const SHOWN_LINES: usize = 20;
const SHOWN_BYTES: usize = 4096;

/// What installs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Installer {
    /// The interpreter's own.
    Pip,
    /// A program.
    Uv(PathBuf),
}

impl Installer {
    /// The one that is named, or with `auto` the one whose index the operator has named; else uv where it is
    /// there, and pip.
    pub(crate) fn choose(named: &str, python: &Path, has_pip: bool) -> Result<Self, String> {
        let names = |kind: &str| {
            std::env::vars_os().any(|(name, _)| {
                let name = name.to_string_lossy();
                name.strip_prefix(kind)
                    .is_some_and(|rest| PLACES.iter().any(|place| rest.contains(place)))
            })
        };
        let pip_alone = names("PIP_") && !names("UV_");
        let no_pip = || {
            let shown = python.display();
            format!(
                "there is no pip for {shown}: `{shown} -m ensurepip` installs it, or install uv"
            )
        };
        match (named, find_uv(python)) {
            ("uv", None) => Err("there is no uv on PATH or beside the interpreter".into()),
            ("uv", Some(uv)) => Ok(Self::Uv(uv)),
            ("pip", _) => has_pip.then_some(Self::Pip).ok_or_else(no_pip),
            (_, Some(_)) if pip_alone && has_pip => Ok(Self::Pip),
            (_, Some(uv)) => Ok(Self::Uv(uv)),
            (_, None) => has_pip.then_some(Self::Pip).ok_or_else(no_pip),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Uv(_) => "uv",
        }
    }
}

fn find_uv(python: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = python.parent().map(Path::to_owned);
    let mut places = beside.into_iter().chain(std::env::split_paths(&path));
    // A relative place is wherever somebody happens to stand.
    places.find_map(|dir| {
        let uv = dir.join("uv");
        (uv.is_absolute() && uv.is_file()).then_some(uv)
    })
}

/// One installation.
pub(crate) struct Installation<'a> {
    pub python: &'a Path,
    pub installer: &'a Installer,
    pub requirements: &'a [Requirement],
    /// Whether packages may be built, which runs their code.
    pub build: bool,
    pub staged: &'a Staged<'a>,
    /// Until when.
    pub end: Instant,
    /// How long that was.
    pub limit: Duration,
}

impl Installation<'_> {
    /// Installs, if it can be with the versions that the environment has; where these do not go together, with
    /// others. All that is said is kept in a file.
    pub(crate) fn run(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), RequirementsError> {
        let name = self.installer.name();
        let unreadable = |error: io::Error| RequirementsError::NotInstallable {
            reason: format!("{name} cannot be run: {error}"),
            output: error.to_string(),
        };
        let constraints = self.staged.file("constraints.txt");
        let lines = constraint_lines(environment);
        std::fs::write(&constraints, &lines).map_err(unreadable)?;
        let mut ended = self.attempt(Some(&constraints)).map_err(unreadable)?;
        if ended.succeeded == Some(false) && !lines.is_empty() {
            self.staged.start_over().map_err(unreadable)?;
            let first = std::mem::take(&mut ended.text);
            ended = self.attempt(None).map_err(unreadable)?;
            if ended.succeeded == Some(true) {
                ended.text.insert_str(0, &first);
            }
        }
        let text = without_passwords(&ended.text);
        let log = self.staged.log();
        if let Err(error) = std::fs::write(&log, &text) {
            tracing::warn!(file = %log.display(), %error, "requirements.log_not_written");
        }
        let reason = match ended.succeeded {
            Some(true) => return Ok(()),
            Some(false) => format!("{name}: {}", said_last(&text)),
            None => format!(
                "{name} was not done after {} s (requirements_timeout_seconds)",
                self.limit.as_secs_f64()
            ),
        };
        let built = match self.build {
            true => "",
            false => {
                "\nOnly wheels are taken: building a package runs its code \
                 (requirements_build)."
            }
        };
        Err(RequirementsError::NotInstallable {
            output: format!(
                "{reason}\n{}{built}\nThe whole is in {}.",
                end_of(&text),
                log.display()
            ),
            reason,
        })
    }

    fn attempt(&self, constraints: Option<&Path>) -> io::Result<Ended> {
        let mut command = match self.installer {
            Installer::Pip => {
                let mut command = Command::new(self.python);
                command.args(["-I", "-m", "pip", "install"]).args([
                    "--no-input",
                    "--disable-pip-version-check",
                    "--no-color",
                    "--progress-bar=off",
                    "--no-warn-script-location",
                ]);
                command
            }
            Installer::Uv(uv) => {
                let mut command = Command::new(uv);
                command
                    .args(["pip", "install", "--python"])
                    .arg(self.python);
                command.args([
                    "--no-progress",
                    "--color=never",
                    "--compile-bytecode",
                    "--link-mode=copy",
                    "--no-python-downloads",
                ]);
                command
            }
        };
        command.arg("--target").arg(self.staged.target());
        if !self.build {
            command.arg("--only-binary=:all:");
        }
        if let Some(constraints) = constraints {
            command.arg("--constraint").arg(constraints);
        }
        command
            // What follows is no option, whatever it looks like.
            .arg("--")
            .args(self.requirements.iter().map(Requirement::text))
            .current_dir(self.staged.empty())
            .env_clear()
            .envs(PATIENCE)
            .envs(process::of_python())
            .envs(passed_on(std::env::vars_os()));
        process::run(command, self.end)
    }
}

/// The variables that an installer is given.
fn passed_on(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            PASSED_ON.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    })
}

/// The environment's versions, so that a plugin gets the same where it can. What is odd is left out.
fn constraint_lines(environment: &BTreeMap<String, String>) -> String {
    let lines = environment.iter().filter_map(|(name, version)| {
        let line = format!("{name}=={version}");
        Requirement::parse(&line).ok()?;
        Some(line + "\n")
    });
    lines.collect()
}

/// The line that says most: the last that calls itself an error, else the last.
fn said_last(text: &str) -> &str {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("ERROR") || line.starts_with("error");
    let error = lines().rfind(is_error);
    let error = error.filter(|line| line.len() > "error:".len());
    error
        .or_else(|| lines().next_back())
        .unwrap_or("it said nothing")
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    let mut start = shown.len().saturating_sub(SHOWN_BYTES);
    while !shown.is_char_boundary(start) {
        start += 1;
    }
    shown.drain(..start);
    shown
}

/// The text without what stands before an `@` in an address: an index may want a password.
fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let ends = |letter: char| letter.is_whitespace() || "/?#'\"<>,;)".contains(letter);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                out.push_str("****");
                &after[at..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installer_gets_the_operators_index_and_no_secret() {
        let all = [
            ("PATH", true),
            ("PIP_INDEX_URL", true),
            ("UV_INDEX_INTERNAL_PASSWORD", true),
            ("UV_DEFAULT_INDEX", true),
            ("https_proxy", true),
            ("MOZAIKS_JWT_SECRET", false),
            ("JWT_SECRET", false),
            ("DATABASE_URI", false),
            ("PIP_TARGET", false),
            ("PIP_USER", false),
            ("PIP_REQUIREMENT", false),
            ("UV_PYTHON", false),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("PYTHONPATH", false),
        ];
        let given = all.map(|(name, _)| (OsString::from(name), OsString::from("x")));
        let passed: Vec<OsString> = passed_on(given.into_iter()).map(|(name, _)| name).collect();
        let expected = all.iter().filter(|(_, passed)| *passed);
        let expected: Vec<OsString> = expected.map(|(name, _)| (*name).into()).collect();
        assert_eq!(passed, expected);
    }

    #[test]
    fn what_is_shown_has_no_passwords_and_an_end() {
        for (text, shown) in [
            (
                "from https://me:secret@host/x and",
                "from https://****@host/x and",
            ),
            ("http://a@b:c@host", "http://****@host"),
            ("https://host/a@b x@y", "https://host/a@b x@y"),
            ("a://b@c d://e@f", "a://****@c d://****@f"),
            ("none", "none"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
        let long = format!("{}\nERROR: it was this\nnotice\n", "x".repeat(9000));
        assert_eq!(said_last(&long), "ERROR: it was this");
        assert!(end_of(&long).len() <= SHOWN_BYTES && end_of(&long).ends_with("notice"));
        assert_eq!(said_last("\n  \n"), "it said nothing");
    }

    #[test]
    fn odd_versions_of_the_environment_are_left_out() {
        let environment = [("a", "1.0"), ("b", "1 -r x"), ("c", ""), ("d", "2+local")];
        let environment = environment.map(|(name, version)| (name.into(), version.into()));
        assert_eq!(
            constraint_lines(&environment.into()),
            "a==1.0\nd==2+local\n"
        );
    }
}
