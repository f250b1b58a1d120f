//! The file system: what is not listed cannot be opened. Network ports and signals as far as the kernel
//! goes.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{Enforced, Paths};

/// The newest rules that are asked for; a kernel that knows fewer keeps those it knows.
const NEWEST: ABI = ABI::V6;

/// What every process reads: libraries, time zones, the loader's cache.
const SYSTEM: [&str; 9] = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/dev/urandom",
    "/dev/zero",
];

pub(super) fn restrict<'a>(paths: Paths<'a, impl Iterator<Item = &'a PathBuf>>) -> Vec<Enforced> {
    match rules(paths) {
        Ok(RulesetStatus::FullyEnforced) => vec![
            Enforced::by("filesystem", "Landlock"),
            Enforced::by("signals", "Landlock"),
        ],
        Ok(RulesetStatus::PartiallyEnforced) => vec![
            Enforced::by("filesystem", "Landlock, as far as this kernel knows it"),
            Enforced::not(
                "signals",
                "this kernel's Landlock is too old; seccomp refuses them",
            ),
        ],
        Ok(RulesetStatus::NotEnforced) => {
            vec![Enforced::not("filesystem", "this kernel has no Landlock")]
        }
        Err(error) => vec![Enforced::not("filesystem", format!("Landlock: {error}"))],
    }
}

fn rules<'a>(
    paths: Paths<'a, impl Iterator<Item = &'a PathBuf>>,
) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::from_read(NEWEST);
    let readable = paths.readable.map(PathBuf::as_path);
    let readable = readable.chain(SYSTEM.iter().map(Path::new));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(
            paths.writable,
            AccessFs::from_all(NEWEST) & !AccessFs::Execute,
        ))?
        .add_rules(path_beneath_rules(
            ["/dev/null"],
            AccessFs::from_file(NEWEST),
        ))?
        .restrict_self()?;
    Ok(status.ruleset)
}
