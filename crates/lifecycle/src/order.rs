//! In which order plugins are loaded: whatever another needs comes first.

use std::collections::{BTreeMap, BTreeSet};

use mozaiks_plugins::{
    discovery::Found,
    manifest::{self, Manifest},
};

/// Plugins in levels: those of one need only those of levels before. Plugins of a circle, and those
/// that need one, come last; [`check`] refuses them by name.
pub fn levels(found: Vec<Found>) -> Vec<Vec<Found>> {
    let needs: BTreeMap<String, BTreeSet<String>> = found
        .iter()
        .map(|found| {
            // A manifest that cannot be read is told when the plugin is loaded.
            let manifest = manifest::read(&found.dir, &found.name).map(|read| read.manifest);
            let needs = manifest.map(|manifest| manifest.dependencies.into_keys().collect());
            (found.name.clone(), needs.unwrap_or_default())
        })
        .collect();
    let mut left = found;
    let mut placed = BTreeSet::new();
    let mut levels = Vec::new();
    while !left.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|found| {
            needs[&found.name]
                .iter()
                // One that does not exist is waited for by nobody.
                .all(|need| placed.contains(need) || !needs.contains_key(need))
        });
        if ready.is_empty() {
            levels.push(later);
            break;
        }
        placed.extend(ready.iter().map(|found| found.name.clone()));
        levels.push(ready);
        left = later;
    }
    levels
}

/// Whether what a plugin needs is there; `active` gives the version of a plugin that serves.
///
/// # Errors
/// A sentence that names the plugin that is missing, or has another version.
pub fn check(manifest: &Manifest, active: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    for (name, wanted) in &manifest.dependencies {
        let Some(version) = active(name) else {
            return Err(format!(
                "dependencies: {name} {wanted} is needed, and is missing, not active, or needs this \
                 plugin itself"
            ));
        };
        let fits = semver::Version::parse(&version).is_ok_and(|version| wanted.matches(&version));
        if !fits {
            return Err(format!(
                "dependencies: {name} {wanted} is needed, and {version} is there"
            ));
        }
    }
    Ok(())
}

/// The plugins that need one, and those that need these, each after what it needs. Plugins of a circle
/// are left out.
pub fn dependants(name: &str, needs: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut all = BTreeSet::from([name]);
    loop {
        let more: Vec<&str> = needs
            .iter()
            .filter(|(other, of)| {
                !all.contains(other.as_str()) && of.iter().any(|need| all.contains(need.as_str()))
            })
            .map(|(other, _)| other.as_str())
            .collect();
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    let mut placed = BTreeSet::from([name]);
    let mut ordered = Vec::new();
    loop {
        let ready = all.iter().find(|other| {
            !placed.contains(**other)
                && (needs.get(**other).into_iter().flatten())
                    .all(|need| placed.contains(need.as_str()) || !all.contains(need.as_str()))
        });
        let Some(ready) = ready else {
            return ordered;
        };
        placed.insert(ready);
        ordered.push((*ready).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(root: &std::path::Path, name: &str, needs: &str) -> Found {
        let dir = root.join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(
            dir.join("plugin.json"),
            format!("{{\"dependencies\": {needs}}}"),
        )
        .unwrap();
        Found {
            name: name.into(),
            dir,
            entry: None,
            origin: mozaiks_plugins::origin::Origin::Directory,
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_circles_last() {
        let root = tempfile::tempdir().unwrap();
        let found = vec![
            plugin(root.path(), "a", r#"["b"]"#),
            plugin(root.path(), "b", r#"["c"]"#),
            plugin(root.path(), "c", r#"["gone"]"#),
            plugin(root.path(), "x", r#"["y"]"#),
            plugin(root.path(), "y", r#"["x"]"#),
        ];
        let names: Vec<Vec<String>> = levels(found)
            .into_iter()
            .map(|level| level.into_iter().map(|found| found.name).collect())
            .collect();
        assert_eq!(names, [vec!["c"], vec!["b"], vec!["a"], vec!["x", "y"]]);
    }

    #[test]
    fn dependants_come_after_what_they_need() {
        let needs = |list: &[(&str, &[&str])]| {
            let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            list.iter()
                .map(|(name, needs)| ((*name).to_owned(), of(needs)))
                .collect()
        };
        let graph = needs(&[
            ("base", &[]),
            ("a", &["base", "b"]),
            ("b", &["base"]),
            ("far", &["a", "other"]),
            ("other", &[]),
        ]);
        assert_eq!(dependants("base", &graph), ["b", "a", "far"]);
        assert_eq!(dependants("far", &graph), [""; 0]);
        let circle = needs(&[("x", &["y"]), ("y", &["x"]), ("z", &["x"])]);
        assert_eq!(dependants("z", &circle), [""; 0]);
        // Nothing is said of a circle, and nothing hangs in it.
        dependants("x", &circle);
    }

    #[test]
    fn versions_are_checked() {
        let value = serde_json::json!({"dependencies": {"b": ">=1.2"}});
        let manifest = manifest::parse(value, "a").unwrap().manifest;
        let with = |version: Option<&str>| check(&manifest, |_| version.map(str::to_owned));
        assert_eq!(with(Some("1.2.0")), Ok(()));
        assert!(
            with(Some("1.1.9"))
                .unwrap_err()
                .contains("b >=1.2 is needed, and 1.1.9")
        );
        assert!(
            with(None)
                .unwrap_err()
                .contains("b >=1.2 is needed, and is missing")
        );
    }
}
