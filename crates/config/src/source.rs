//! Where values come from: the environment behind a trait, and the name of a value's origin.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf};

/// Read access to environment variables. Never written: CPython shares the process's environment.
pub trait Environment {
    /// The variable's value, if it is set.
    fn get(&self, variable: &str) -> Option<OsString>;
    /// Names of all variables that are set.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, variable: &str) -> Option<OsString> {
        std::env::var_os(variable)
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

/// An environment that is given, for tests and for tools that build one.
#[derive(Debug, Clone, Default)]
pub struct MapEnvironment(pub BTreeMap<String, String>);

impl Environment for MapEnvironment {
    fn get(&self, variable: &str) -> Option<OsString> {
        self.0.get(variable).map(OsString::from)
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// Which of the four layers a value was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was given.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Variable(&'static str),
    /// This flag, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}
