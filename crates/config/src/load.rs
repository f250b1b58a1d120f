//! Puts the configuration together: flag over environment over file over default. Everything is
//! checked and every problem reported; nothing but the configuration file is opened.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    Config, Environment, KEYS, Key, KeySource, LogFormat, Origin, Problem, Problems,
    keys::Settings, notifications, original, sign_in, tls,
};

/// The file that is read where none is named, if it exists.
const DEFAULT_FILE: &str = "mozaiks.toml";
/// A configuration file is small; a larger one is the wrong file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Variables of commands that speak to a running gateway: no settings of one.
pub const COMMANDS_OWN: [&str; 2] = ["MOZAIKS_URL", "MOZAIKS_TOKEN"];

/// What the configuration is made from.
pub struct Inputs<'a> {
    /// Values of the flags that were given, by flag.
    pub flags: &'a BTreeMap<&'static str, String>,
    /// Environment variables.
    pub environment: &'a dyn Environment,
    /// The file named with `--config`; it must exist.
    pub file: Option<&'a Path>,
    /// Where `mozaiks.toml` is looked for.
    pub working_dir: &'a Path,
    /// Whether a missing auth configuration is a problem: outside of `--dev` for `serve`.
    pub auth_required: bool,
}

/// A checked configuration and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is odd but not wrong, a sentence each.
    pub warnings: Vec<String>,
    /// The settings, for printing.
    pub(super) settings: Settings,
    /// Where each key's value came from, by name.
    pub(super) origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// Where the value of the key came from.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }
}

/// Reads all sources and checks every value.
///
/// # Errors
/// All problems at once, each with key, origin, what was found (redacted) and what is allowed.
pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let file = ConfigFile::read(inputs, &mut problems);
    let mut settings = Settings::default();
    let mut origins = BTreeMap::new();

    for key in KEYS {
        let given = match from_flag_or_environment(inputs, key) {
            Ok(given) => given,
            Err((origin, found)) => {
                problems.push(problem(key, &origin, &found));
                continue;
            }
        };
        let (origin, text, base) = match given {
            Some((origin, text)) => (origin, text, None),
            None => match file.get(key) {
                None => match original::value_for(inputs.environment, key) {
                    None => continue,
                    Some((variable, text)) => (Origin::Variable(variable), text, None),
                },
                Some(Ok(text)) => (file.origin(), text, file.dir()),
                Some(Err(kind)) => {
                    problems.push(problem(key, &file.origin(), &format!("a {kind}")));
                    continue;
                }
            },
        };
        if key.set(&mut settings, &text, base) {
            origins.insert(key.name, origin);
        } else {
            let found = format!("\"{}\"", key.redact(&text));
            problems.push(problem(key, &origin, &found));
        }
    }
    settings.config.log.format = match settings.log_format.as_str() {
        "pretty" => LogFormat::Pretty,
        _ => LogFormat::Json,
    };
    notifications::join(
        &settings.channels,
        &mut settings.config.notifications,
        &mut problems,
    );
    tls::check(&settings.config.server.tls, &origins, &mut problems);
    settings.config.auth.keys = key_source(&settings, &origins, &mut problems);
    let issuer = settings.config.auth.issuer.as_deref();
    sign_in::check_issuer(
        settings.oidc_issuer.as_deref(),
        issuer,
        &origins,
        &mut problems,
    );
    let names_key_source = |problem: &Problem| KEY_SOURCES.iter().any(|n| problem.key.contains(n));
    if inputs.auth_required
        && !settings.config.dev
        && settings.config.auth.keys.is_none()
        && !problems.iter().any(names_key_source)
    {
        problems.push(Problem {
            key: "jwt_secret".into(),
            origin: "nowhere".into(),
            found: "no key to check tokens with".into(),
            allowed: "set MOZAIKS_OIDC_ISSUER to the issuer of your users' tokens, \
                      MOZAIKS_JWT_SECRET to at least 32 bytes, or one of MOZAIKS_JWKS_URL, MOZAIKS_JWKS_FILE, MOZAIKS_JWT_PUBLIC_KEY_FILE; or start \
                      with --dev to try things out"
                .into(),
        });
    }
    problems.extend(original::refused(
        inputs.environment,
        inputs.working_dir,
        &settings,
    ));
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Ok(Loaded {
        config: settings.config.clone(),
        warnings: warnings(inputs, &settings, &origins),
        settings,
        origins,
    })
}

fn problem(key: &Key, origin: &Origin, found: &str) -> Problem {
    Problem {
        key: key.name.into(),
        origin: origin.to_string(),
        found: found.into(),
        allowed: key.allowed(),
    }
}

/// Where a value came from that cannot be taken, and what was found there.
type Refused = (Origin, String);

/// The value of a flag, else of the key's variable, else of its aliases, which must not contradict
/// each other. An empty variable counts as unset, as compose files and shells leave such behind.
fn from_flag_or_environment(
    inputs: &Inputs<'_>,
    key: &Key,
) -> Result<Option<(Origin, String)>, Refused> {
    if let Some(text) = inputs.flags.get(key.flag) {
        return Ok(Some((Origin::Flag(key.flag), text.clone())));
    }
    let given = |variable: &&'static str| match inputs.environment.get(variable) {
        None => None,
        Some(text) if text.is_empty() => None,
        Some(text) => Some(match text.into_string() {
            Ok(text) => Ok((*variable, text)),
            Err(_) => Err((Origin::Variable(variable), "text that is not UTF-8".into())),
        }),
    };
    if let Some(own) = given(&key.variable) {
        return own.map(|(variable, text)| Some((Origin::Variable(variable), text)));
    }
    let aliases = key.aliases.iter().filter_map(given);
    let aliases = aliases.collect::<Result<Vec<_>, _>>()?;
    let Some((variable, text)) = aliases.first() else {
        return Ok(None);
    };
    match aliases.iter().find(|(_, other)| other != text) {
        None => Ok(Some((Origin::Variable(variable), text.clone()))),
        Some((other, _)) => Err((
            Origin::Variable(variable),
            format!("another value than in {other}; set {} alone", key.variable),
        )),
    }
}

const KEY_SOURCES: [&str; 5] = [
    "jwt_secret",
    "jwt_public_key_file",
    "jwks_file",
    "jwks_url",
    "oidc_issuer",
];

/// The one source of signing keys; two at once are a problem, as one of them is a mistake.
fn key_source(
    settings: &Settings,
    origins: &BTreeMap<&'static str, Origin>,
    problems: &mut Vec<Problem>,
) -> Option<KeySource> {
    let given: Vec<String> = KEY_SOURCES
        .iter()
        .filter_map(|name| Some(format!("{name} (from {})", origins.get(name)?)))
        .collect();
    if given.len() > 1 {
        problems.push(Problem {
            key: KEY_SOURCES.join(", "),
            origin: "several places".into(),
            found: given.join(" and "),
            allowed: "one source of keys".into(),
        });
        return None;
    }
    if let Some(secret) = &settings.jwt_secret {
        return Some(KeySource::Secret {
            secret: secret.clone().into_bytes(),
            algorithm: settings.jwt_algorithm.clone(),
        });
    }
    let file = settings.jwt_public_key_file.clone().map(KeySource::PemFile);
    file.or_else(|| settings.jwks_file.clone().map(KeySource::JwksFile))
        .or_else(|| settings.jwks_url.clone().map(KeySource::JwksUrl))
        .or_else(|| settings.oidc_issuer.clone().map(KeySource::Oidc))
}

/// What a person should be told although it stops nothing.
fn warnings(
    inputs: &Inputs<'_>,
    settings: &Settings,
    origins: &BTreeMap<&'static str, Origin>,
) -> Vec<String> {
    let mut warnings = original::warnings(inputs.environment, settings, origins);
    let mut unknown: Vec<String> = inputs.environment.names();
    unknown.retain(|name| {
        name.starts_with("MOZAIKS_")
            && !COMMANDS_OWN.contains(&name.as_str())
            && !original::knows(name)
            && KEYS.iter().all(|key| !key.is_spelled(name))
    });
    unknown.sort();
    for name in unknown {
        let nearest = nearest(&name, KEYS.iter().map(|key| key.variable));
        warnings.push(format!(
            "the variable {name} is not one of the gateway's; the nearest is {nearest}"
        ));
    }
    if let Some(origin) = origins.get("jwt_algorithm")
        && settings.jwt_secret.is_none()
        && settings.config.auth.keys.is_some()
    {
        warnings.push(format!(
            "jwt_algorithm (from {origin}) is not used: a public key brings its own algorithm"
        ));
    }
    warnings
}

/// The configuration file, read and parsed.
struct ConfigFile {
    path: PathBuf,
    table: toml::Table,
}

impl ConfigFile {
    fn read(inputs: &Inputs<'_>, problems: &mut Vec<Problem>) -> Self {
        let path = match inputs.file {
            Some(path) => path.to_owned(),
            None => inputs.working_dir.join(DEFAULT_FILE),
        };
        let mut file = Self {
            path,
            table: toml::Table::new(),
        };
        let mut report = |found: String, allowed: &str| {
            problems.push(Problem {
                key: "config".into(),
                origin: if inputs.file.is_some() {
                    "--config"
                } else {
                    DEFAULT_FILE
                }
                .into(),
                found,
                allowed: allowed.into(),
            });
        };
        let allowed = "a readable TOML file of at most 1MiB";
        let text = match fs::metadata(&file.path) {
            Err(error) if error.kind() == ErrorKind::NotFound && inputs.file.is_none() => {
                return file;
            }
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                report(format!("{} bytes", metadata.len()), allowed);
                return file;
            }
            Ok(_) => fs::read_to_string(&file.path),
            Err(error) => Err(error),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                report(format!("{}: {error}", file.path.display()), allowed);
                return file;
            }
        };
        match text.parse::<toml::Table>() {
            Ok(table) => file.table = table,
            Err(error) => {
                // The parser's own report quotes the line, which may hold a secret.
                let line = error.span().map_or(1, |span| {
                    text[..span.start.min(text.len())].matches('\n').count() + 1
                });
                let found = format!("line {line}: {}", error.message());
                report(found, "TOML, a line `key = value` each");
                return file;
            }
        }
        for (name, value) in &file.table {
            if KEYS.iter().any(|key| key.name == name) {
                continue;
            }
            let nearest = nearest(name, KEYS.iter().map(|key| key.name));
            let found = if value.is_table() {
                "an unknown section"
            } else {
                "an unknown key"
            };
            problems.push(Problem {
                key: name.clone(),
                origin: file.path.display().to_string(),
                found: found.into(),
                allowed: format!("keys at the top level; the nearest is {nearest}"),
            });
        }
        file
    }

    fn origin(&self) -> Origin {
        Origin::File(self.path.clone())
    }

    /// Paths in the file are relative to it.
    fn dir(&self) -> Option<&Path> {
        self.path.parent().filter(|dir| !dir.as_os_str().is_empty())
    }

    /// The value as text, or the name of its type where no key takes it.
    fn get(&self, key: &Key) -> Option<Result<String, &'static str>> {
        let scalar = |value: &toml::Value| match value {
            toml::Value::String(text) => Ok(text.clone()),
            toml::Value::Integer(number) => Ok(number.to_string()),
            toml::Value::Float(number) => Ok(number.to_string()),
            toml::Value::Boolean(switch) => Ok(switch.to_string()),
            other => Err(other.type_str()),
        };
        let value = self.table.get(key.name)?;
        Some(match value {
            toml::Value::Array(items) if key.is_list() => items
                .iter()
                .map(scalar)
                .collect::<Result<Vec<_>, _>>()
                .map(|items| items.join(",")),
            other => scalar(other),
        })
    }
}

/// The known name with the fewest edits from `name`.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known
        .min_by_key(|candidate| edit_distance(name, candidate))
        .unwrap_or_default()
}

/// Levenshtein distance, in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
