//! What loads need installed: a directory of packages beside the interpreter's own, and which plugins can
//! have theirs in one process.

use std::{
    any::Any,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    manifest::{Isolation, Manifest},
    runtime::LoadError,
};

/// Where a load's packages are imported from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitePath {
    /// The directory.
    pub dir: PathBuf,
    /// Whether its packages come before those of the interpreter's environment: in a process of the
    /// plugin's own.
    pub first: bool,
}

/// What is installed for a load. It is kept while this lives.
pub struct Site {
    /// Where.
    pub path: SitePath,
    /// Where the load is to run.
    pub mode: Isolation,
    /// The distributions that are imported from there, with their versions.
    pub distributions: BTreeMap<String, String>,
    #[expect(dead_code, reason = "held, and let go with it")]
    held: Box<dyn Any + Send + Sync>,
}

impl Site {
    /// A site that `held` keeps.
    pub fn new(
        path: SitePath,
        mode: Isolation,
        distributions: BTreeMap<String, String>,
        held: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            path,
            mode,
            distributions,
            held,
        }
    }

    /// Why a plugin with this site cannot run beside one with that: a process has one version of a
    /// distribution.
    pub(crate) fn clash(&self, own: &str, that: &Self, other: &str) -> Option<String> {
        let place = match self.mode {
            Isolation::Dedicated => return None,
            Isolation::Inline => "in the gateway's own process",
            Isolation::Shared => "in the processes that plugins share",
        };
        if that.mode != self.mode {
            return None;
        }
        let (name, version, theirs) = self.distributions.iter().find_map(|(name, version)| {
            let theirs = that.distributions.get(name)?;
            (theirs != version).then_some((name, version, theirs))
        })?;
        Some(format!(
            "{own} needs {name} {version} and {other} needs {name} {theirs}, and both run {place}, which has \
             one of them: \"isolation\": \"dedicated\" in the manifest of either gives it a process of its own"
        ))
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            path,
            mode,
            distributions,
            ..
        } = self;
        formatter
            .debug_struct("Site")
            .field("path", path)
            .field("mode", mode)
            .field("distributions", distributions)
            .finish_non_exhaustive()
    }
}

/// Sees to what plugins need.
pub trait Sites: Send + Sync + 'static {
    /// What a load of a plugin that is to run so needs beside the interpreter's environment; `None` where
    /// that has it all. Blocks, for as long as installing may take.
    ///
    /// # Errors
    /// [`LoadError::Requirements`], and [`LoadError::Manifest`] for what is no requirement.
    fn provide(
        &self,
        plugin: &str,
        dir: &Path,
        manifest: &Manifest,
        mode: Isolation,
    ) -> Result<Option<Site>, LoadError>;

    /// How often something was installed, and how often that failed.
    fn counts(&self) -> (u64, u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(mode: Isolation, distributions: &[(&str, &str)]) -> Site {
        let path = SitePath {
            dir: "/nowhere".into(),
            first: false,
        };
        let named = distributions.iter();
        let named = named.map(|(name, version)| ((*name).into(), (*version).into()));
        Site::new(path, mode, named.collect(), Box::new(()))
    }

    #[test]
    fn one_process_has_one_version() {
        use Isolation::{Dedicated, Inline, Shared};

        let old = |mode| site(mode, &[("other", "7"), ("tiny", "1.0")]);
        let new = |mode| site(mode, &[("tiny", "2.0"), ("unlike", "1")]);
        for mode in [Inline, Shared] {
            let clash = new(mode).clash("b", &old(mode), "a").unwrap();
            assert!(
                clash.starts_with("b needs tiny 2.0 and a needs tiny 1.0"),
                "{clash}"
            );
            assert_eq!(old(mode).clash("b", &old(mode), "a"), None);
        }
        assert_eq!(new(Dedicated).clash("b", &old(Dedicated), "a"), None);
        assert_eq!(new(Inline).clash("b", &old(Shared), "a"), None);
        assert_eq!(new(Shared).clash("b", &old(Dedicated), "a"), None);
    }
}
