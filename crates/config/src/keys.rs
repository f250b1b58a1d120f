//! What a configuration key is: its spellings, its type, its place in the configuration. The keys
//! themselves are in the table beside this file.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    Config, LogFormat,
    notifications::ChannelInputs,
    redact::{HIDDEN, redact_uri},
    sign_in::{self, ClaimPath},
    value,
};

/// The configuration while it is being put together: some keys only mean something together.
#[derive(Clone)]
pub struct Settings {
    pub(super) config: Config,
    pub(super) jwt_secret: Option<String>,
    pub(super) jwt_algorithm: String,
    pub(super) jwt_public_key_file: Option<PathBuf>,
    pub(super) jwks_file: Option<PathBuf>,
    pub(super) jwks_url: Option<String>,
    pub(super) oidc_issuer: Option<String>,
    pub(super) log_format: String,
    pub(super) channels: ChannelInputs,
}

impl fmt::Debug for Settings {
    /// Holds the secret in the clear, so nothing is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let config = Config::default();
        let log_format = match config.log.format {
            LogFormat::Json => "json",
            LogFormat::Pretty => "pretty",
        };
        Self {
            config,
            jwt_secret: None,
            jwt_algorithm: "HS256".into(),
            jwt_public_key_file: None,
            jwks_file: None,
            jwks_url: None,
            oidc_issuer: None,
            log_format: log_format.into(),
            channels: ChannelInputs::default(),
        }
    }
}

/// One key in its three spellings.
#[derive(Clone, Copy)]
pub struct Key {
    /// In `mozaiks.toml`, at the top level.
    pub name: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// Further environment variables, read where the first is not set.
    pub aliases: &'static [&'static str],
    /// Flag, without its dashes.
    pub flag: &'static str,
    /// What is never printed of its value.
    pub secrecy: Secrecy,
    /// One sentence for `--help` and the documentation.
    pub about: &'static str,
    /// What is done with a value.
    pub(super) field: Field,
}

/// What is never printed of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Nothing is hidden.
    Public,
    /// A URI that may hold a password.
    Uri,
    /// The whole value is hidden.
    Secret,
}

/// The type of a key, its place, and what is allowed.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Switch(fn(&mut Settings) -> &mut bool),
    Address(fn(&mut Settings) -> &mut SocketAddr),
    Path(fn(&mut Settings) -> &mut PathBuf),
    OptionalPath(fn(&mut Settings) -> &mut Option<PathBuf>),
    Text {
        at: fn(&mut Settings) -> &mut String,
        check: fn(&str) -> bool,
        allowed: &'static str,
    },
    OptionalText {
        at: fn(&mut Settings) -> &mut Option<String>,
        check: fn(&str) -> bool,
        allowed: &'static str,
    },
    Choice {
        at: fn(&mut Settings) -> &mut String,
        of: &'static [&'static str],
    },
    Seconds {
        at: fn(&mut Settings) -> &mut Duration,
        min: Duration,
        max: Duration,
    },
    Bytes {
        at: fn(&mut Settings) -> &mut usize,
        min: usize,
        max: usize,
    },
    Count {
        at: fn(&mut Settings) -> &mut usize,
        min: usize,
        max: usize,
    },
    Origins(fn(&mut Settings) -> &mut Vec<String>),
    Networks(fn(&mut Settings) -> &mut Vec<IpNet>),
    Hosts(fn(&mut Settings) -> &mut Vec<String>),
    Claims(fn(&mut Settings) -> &mut Vec<ClaimPath>),
    Scopes(fn(&mut Settings) -> &mut Vec<String>),
}

/// Each kind of field as a row writes it.
macro_rules! fields {
    ($($name:ident => $kind:ident($($argument:ident: $type:ty),*);)*) => {$(
        pub(super) const fn $name($($argument: $type),*) -> Field {
            fields!(@ $kind $($argument)*)
        }
    )*};
    (@ $kind:ident $at:ident) => { Field::$kind($at) };
    (@ $kind:ident $($argument:ident)*) => { Field::$kind { $($argument),* } };
}

type At<T> = fn(&mut Settings) -> &mut T;

fields! {
    switch => Switch(at: At<bool>);
    address => Address(at: At<SocketAddr>);
    path => Path(at: At<PathBuf>);
    optional_path => OptionalPath(at: At<Option<PathBuf>>);
    text => Text(at: At<String>, check: fn(&str) -> bool, allowed: &'static str);
    optional_text => OptionalText(at: At<Option<String>>, check: fn(&str) -> bool, allowed: &'static str);
    choice => Choice(at: At<String>, of: &'static [&'static str]);
    seconds => Seconds(at: At<Duration>, min: Duration, max: Duration);
    bytes => Bytes(at: At<usize>, min: usize, max: usize);
    count => Count(at: At<usize>, min: usize, max: usize);
    origins => Origins(at: At<Vec<String>>);
    networks => Networks(at: At<Vec<IpNet>>);
    hosts => Hosts(at: At<Vec<String>>);
    claims => Claims(at: At<Vec<ClaimPath>>);
    scopes => Scopes(at: At<Vec<String>>);
}

/// A row of the table: the key's name, what it does, and what is done with a value. The variable and the
/// flag follow from the name.
macro_rules! key {
    ($name:literal, $about:literal, $field:expr $(,)?) => {{
        const VARIABLE: &[u8; $name.len() + 8] = &$crate::keys::spelled(b"MOZAIKS_", $name);
        const FLAG: &[u8; $name.len()] = &$crate::keys::spelled(b"", $name);
        $crate::keys::Key {
            name: $name,
            variable: $crate::keys::ascii(VARIABLE),
            aliases: &[],
            flag: $crate::keys::ascii(FLAG),
            secrecy: $crate::keys::Secrecy::Public,
            about: $about,
            field: $field,
        }
    }};
}
pub(super) use key;

/// A key's name as a variable, after a prefix and in capitals, or as a flag, without one and with dashes.
pub(super) const fn spelled<const ALL: usize>(prefix: &[u8], name: &str) -> [u8; ALL] {
    let mut all = [0; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < prefix.len() {
            prefix[at]
        } else {
            match name.as_bytes()[at - prefix.len()] {
                b'_' if prefix.is_empty() => b'-',
                letter if prefix.is_empty() => letter,
                letter => letter.to_ascii_uppercase(),
            }
        };
        at += 1;
    }
    all
}

/// The text again.
pub(super) const fn ascii(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a key's name is ASCII"),
    }
}

impl Key {
    /// A flag that is not the name with dashes.
    pub(super) const fn flag(self, flag: &'static str) -> Self {
        Self { flag, ..self }
    }

    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(super) const fn uri(self) -> Self {
        Self {
            secrecy: Secrecy::Uri,
            ..self
        }
    }

    pub(super) const fn secret(self) -> Self {
        Self {
            secrecy: Secrecy::Secret,
            ..self
        }
    }

    /// Whether a variable of this name is read for the key.
    pub(super) fn is_spelled(&self, variable: &str) -> bool {
        self.variable == variable || self.aliases.contains(&variable)
    }

    /// Whether the key is a yes-or-no one, so that its flag may stand without a value.
    pub fn is_switch(&self) -> bool {
        matches!(self.field, Field::Switch(_))
    }

    /// Whether the key takes several values.
    pub(super) fn is_list(&self) -> bool {
        matches!(
            self.field,
            Field::Origins(_)
                | Field::Networks(_)
                | Field::Hosts(_)
                | Field::Claims(_)
                | Field::Scopes(_)
        )
    }

    /// What stands for the value in `--help`.
    pub fn value_name(&self) -> &'static str {
        match self.field {
            Field::Switch(_) => "true|false",
            Field::Address(_) => "ADDR",
            Field::Path(_) | Field::OptionalPath(_) => "PATH",
            Field::Text { .. } | Field::OptionalText { .. } => "TEXT",
            Field::Choice { .. } => "NAME",
            Field::Seconds { .. } => "SECONDS",
            Field::Bytes { .. } => "BYTES",
            Field::Count { .. } => "N",
            Field::Origins(_) => "ORIGINS",
            Field::Networks(_) => "NETWORKS",
            Field::Hosts(_) => "HOSTS",
            Field::Claims(_) => "CLAIMS",
            Field::Scopes(_) => "SCOPES",
        }
    }

    /// What is allowed, as a person is told.
    pub fn allowed(&self) -> String {
        match self.field {
            Field::Switch(_) => "true or false".into(),
            Field::Address(_) => "an IP address and a port, such as 127.0.0.1:8000".into(),
            Field::Path(_) | Field::OptionalPath(_) => "a path".into(),
            Field::Text { allowed, .. } | Field::OptionalText { allowed, .. } => allowed.into(),
            Field::Choice { of, .. } => of.join(", "),
            Field::Seconds { min, max, .. } => format!(
                "{} to {}",
                value::show_duration(min),
                value::show_duration(max)
            ),
            Field::Bytes { min, max, .. } => {
                format!("{} to {}", value::show_bytes(min), value::show_bytes(max))
            }
            Field::Count { min, max, .. } => format!("{min} to {max}"),
            Field::Origins(_) => {
                "origins such as https://app.example.com, by comma; not `*`, as pages of any site \
                 could then use a visitor's token"
                    .into()
            }
            Field::Networks(_) => "addresses and networks such as 10.0.0.0/8, by comma".into(),
            Field::Hosts(_) => {
                "host names, addresses and networks such as 10.0.0.0/8, by comma".into()
            }
            Field::Claims(_) => "claims such as sub or realm_access.roles, by comma".into(),
            Field::Scopes(_) => "scopes such as read:tasks, by space or comma".into(),
        }
    }

    /// Takes a value as it was written; `false` where it is not allowed. Relative paths are taken
    /// from `base`, where one is given.
    pub(super) fn set(&self, settings: &mut Settings, text: &str, base: Option<&Path>) -> bool {
        self.try_set(settings, text, base).is_some()
    }

    fn try_set(&self, settings: &mut Settings, text: &str, base: Option<&Path>) -> Option<()> {
        let path = |text: &str| {
            let path = Path::new(text);
            (!text.is_empty()).then(|| base.map_or_else(|| path.to_owned(), |base| base.join(path)))
        };
        match self.field {
            Field::Switch(at) => *at(settings) = value::switch(text)?,
            Field::Address(at) => *at(settings) = value::address(text)?,
            Field::Path(at) => *at(settings) = path(text)?,
            Field::OptionalPath(at) => *at(settings) = Some(path(text)?),
            Field::Text { at, check, .. } => {
                *at(settings) = check(text).then(|| text.to_owned())?;
            }
            Field::OptionalText { at, check, .. } => {
                *at(settings) = Some(check(text).then(|| text.to_owned())?);
            }
            Field::Choice { at, of } => {
                *at(settings) = of.contains(&text).then(|| text.to_owned())?;
            }
            Field::Seconds { at, min, max } => {
                let duration = value::duration(text)?;
                *at(settings) = (min..=max).contains(&duration).then_some(duration)?;
            }
            Field::Bytes { at, min, max } => {
                let bytes = value::bytes(text)?;
                *at(settings) = (min..=max).contains(&bytes).then_some(bytes)?;
            }
            Field::Count { at, min, max } => {
                let count = text.trim().parse().ok()?;
                *at(settings) = (min..=max).contains(&count).then_some(count)?;
            }
            Field::Origins(at) => {
                let origins = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(value::origin)
                    .collect::<Option<Vec<_>>>()?;
                *at(settings) = origins;
            }
            Field::Networks(at) => {
                let networks = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(value::network)
                    .collect::<Option<Vec<_>>>()?;
                *at(settings) = networks;
            }
            Field::Hosts(at) => {
                let hosts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(value::host)
                    .collect::<Option<Vec<_>>>()?;
                *at(settings) = hosts;
            }
            Field::Claims(at) => *at(settings) = sign_in::claim_paths(text)?,
            Field::Scopes(at) => *at(settings) = sign_in::scopes(text)?,
        }
        Some(())
    }

    /// The value in the settings as it would be written; `None` where it is unset. Not redacted.
    pub(super) fn show(&self, settings: &mut Settings) -> Option<String> {
        Some(match self.field {
            Field::Switch(at) => at(settings).to_string(),
            Field::Address(at) => at(settings).to_string(),
            Field::Path(at) => at(settings).display().to_string(),
            Field::OptionalPath(at) => at(settings).as_ref()?.display().to_string(),
            Field::Text { at, .. } | Field::Choice { at, .. } => at(settings).clone(),
            Field::OptionalText { at, .. } => at(settings).clone()?,
            Field::Seconds { at, .. } => value::show_duration(*at(settings)),
            Field::Bytes { at, .. } => value::show_bytes(*at(settings)),
            Field::Count { at, .. } => at(settings).to_string(),
            Field::Origins(at) | Field::Hosts(at) => {
                let listed = at(settings);
                (!listed.is_empty()).then(|| listed.join(","))?
            }
            Field::Claims(at) => {
                let listed: Vec<_> = at(settings).iter().map(ClaimPath::as_str).collect();
                (!listed.is_empty()).then(|| listed.join(","))?
            }
            Field::Scopes(at) => {
                let listed = at(settings);
                (!listed.is_empty()).then(|| listed.join(" "))?
            }
            Field::Networks(at) => {
                let networks: Vec<_> = at(settings).iter().map(IpNet::to_string).collect();
                (!networks.is_empty()).then(|| networks.join(","))?
            }
        })
    }

    /// A written value as it may be printed.
    pub(super) fn redact(&self, text: &str) -> String {
        match self.secrecy {
            Secrecy::Public => text.to_owned(),
            Secrecy::Uri => redact_uri(text),
            Secrecy::Secret => HIDDEN.to_owned(),
        }
    }
}
