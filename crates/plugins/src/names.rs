//! The rule of plugins' names, for every part that needs it.

/// Names that stand for the gateway's own resources below `/api/plugins/`.
pub const RESERVED_NAMES: [&str; 10] = [
    "active",
    "generate",
    "generations",
    "import",
    "install",
    "marketplace",
    "registry",
    "search",
    "templates",
    "widgets",
];

/// What the gateway serves below `/api/plugins/{name}/`; the rest belongs to the plugin's routes.
pub const RESERVED_SEGMENTS: [&str; 6] = [
    "config",
    "enable",
    "event-listeners",
    "hooks",
    "reload",
    "scripts",
];

/// Whether a text follows the rule `^[a-z][a-z0-9_-]{0,63}$`. What it allows is also safe as a part of
/// a path and of a field's path.
pub fn is_plugin_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    matches!(bytes.first(), Some(b'a'..=b'z'))
        && bytes.len() <= 64
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Why a directory's name cannot be a plugin's; `None` where it can.
pub fn refusal(name: &str) -> Option<String> {
    if !is_plugin_name(name) {
        let mut reason =
            "a plugin's name has lower case letters, digits, '_' and '-', starts with a \
                          letter and has at most 64 characters"
                .to_owned();
        let lower = name.to_ascii_lowercase();
        if is_plugin_name(&lower) {
            reason.push_str(&format!(": rename the directory to {lower:?}"));
        }
        return Some(reason);
    }
    RESERVED_NAMES
        .contains(&name)
        .then(|| format!("{name:?} stands for a resource of the gateway's own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names() {
        for name in ["a", "task_manager", "x-1", &"a".repeat(64)] {
            assert!(is_plugin_name(name) && refusal(name).is_none(), "{name}");
        }
        for name in [
            "",
            "A",
            "1a",
            "_a",
            "-a",
            "a.b",
            "a/b",
            "..",
            "ä",
            "a b",
            &"a".repeat(65),
        ] {
            assert!(!is_plugin_name(name) && refusal(name).is_some(), "{name}");
        }
        assert!(refusal("Tasks").is_some_and(|reason| reason.ends_with("\"tasks\"")));
    }

    #[test]
    fn the_gateways_own_resources_are_no_plugins() {
        for name in RESERVED_NAMES {
            assert!(refusal(name).is_some_and(|reason| reason.contains("the gateway's own")));
        }
    }
}
