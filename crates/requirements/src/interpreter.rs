//! What the interpreter's environment has, asked of the interpreter itself.

use std::{collections::BTreeMap, path::Path, process::Command, time::Instant};

use serde::Deserialize;

use crate::{process, specifier::Requirement};

/// Looks; see its own first lines.
const CODE: &str = include_str!("look.py");

/// What was found.
#[derive(Debug, Deserialize)]
pub(crate) struct Look {
    /// The environment's own distributions, with their versions.
    pub distributions: BTreeMap<String, String>,
    /// What is required and not there.
    pub unmet: Vec<Unmet>,
    /// What is no requirement.
    pub invalid: Vec<String>,
    /// Whether there is a pip to run.
    pub has_pip: bool,
}

/// A requirement that is not met.
#[derive(Debug, Deserialize)]
pub(crate) struct Unmet {
    /// As it was written, here or by another distribution.
    pub requirement: String,
    /// What is there instead.
    pub found: Option<String>,
}

impl Look {
    /// What is missing, for people.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.unmet.iter().map(|it| &*it.requirement).collect();
        names.join(", ")
    }
}

/// Asks the interpreter what it has of the requirements, and of what these require.
pub(crate) fn look(
    python: &Path,
    requirements: &[Requirement],
    site: Option<&Path>,
    end: Instant,
) -> Result<Look, String> {
    let shown = python.display();
    let mut command = Command::new(python);
    command
        .args(["-I", "-X", "utf8", "-W", "ignore", "-c", CODE])
        .arg(site.unwrap_or(Path::new("")))
        .args(requirements.iter().map(Requirement::text))
        .env_clear()
        .envs(process::of_python());
    let ended =
        process::run(command, end).map_err(|error| format!("cannot run {shown}: {error}"))?;
    match ended.succeeded {
        None => Err(format!("{shown} took too long")),
        Some(true) => {
            // Whatever else was said stands before it.
            let last = ended.text.trim_end().lines().last().unwrap_or_default();
            serde_json::from_str(last).map_err(|error| format!("{shown} answered oddly: {error}"))
        }
        Some(false) => {
            let last = ended.text.trim_end().lines().last().unwrap_or_default();
            Err(format!("{shown} fails: {last}"))
        }
    }
}
