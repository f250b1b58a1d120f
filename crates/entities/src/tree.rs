//! What a plugin's tree says of entities and migrations: `entities/*.json`, `migrations/*.json` and
//! `migrations/*.py`. Names that are looked up come from the directory, never from a client.

use std::{io::Read as _, path::Path, sync::Arc};

use crate::{
    definition::{Entity, check_links},
    error::EntityError,
    migration::{Migration, checksum},
    rows::Definition,
};

/// Bytes of one file.
pub const MAX_FILE_BYTES: u64 = 512 * 1024;
/// Files of one folder.
const MAX_FILES: usize = 500;

/// An entity and what its file is.
#[derive(Debug, Clone)]
pub struct EntityFile {
    /// Below the plugin's directory.
    pub path: String,
    /// SHA-256 of it.
    pub checksum: String,
    /// What it says.
    pub entity: Entity,
    /// What it says, as it is written.
    pub written: serde_json::Value,
}

impl EntityFile {
    /// The entity, as its collection is once it is migrated.
    pub(crate) fn definition(&self) -> Definition {
        Definition {
            written: self.written.to_string(),
            checksum: self.checksum.clone(),
        }
    }
}

/// What there is of a plugin.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Entities by their files' names.
    pub entities: Vec<EntityFile>,
    /// Migrations by their versions.
    pub migrations: Vec<Migration>,
    /// Files that say nothing that can be done, and why.
    pub odd: Vec<(String, EntityError)>,
}

impl Tree {
    /// Reads a plugin's directory.
    ///
    /// # Errors
    /// [`EntityError::Invalid`] where a folder cannot be read or has too many files. A file that cannot be
    /// used is among the odd ones.
    pub fn read(dir: &Path) -> Result<Self, EntityError> {
        let mut tree = Self::default();
        for (name, text) in files(dir, "entities", &["json"], &mut tree.odd)? {
            let path = format!("entities/{name}");
            let read = serde_json::from_slice(&text)
                .map_err(|error| EntityError::invalid("", format!("is not valid JSON: {error}")))
                .and_then(|written| Ok((Entity::read(&written)?, written)));
            if matches!(&read, Ok((_, written)) if written["is_enabled"] == false) {
                continue;
            }
            match read {
                Ok((entity, written)) => tree.entities.push(EntityFile {
                    checksum: checksum(&text),
                    path,
                    entity,
                    written,
                }),
                Err(error) => tree.odd.push((path.clone(), error.within(&path))),
            }
        }
        let all: Vec<Entity> = (tree.entities.iter())
            .map(|file| file.entity.clone())
            .collect();
        for (at, file) in std::mem::take(&mut tree.entities).into_iter().enumerate() {
            match check_links(&all, at) {
                Ok(()) => tree.entities.push(file),
                Err(error) => tree.odd.push((file.path.clone(), error.within(&file.path))),
            }
        }
        for (name, text) in files(dir, "migrations", &["json", "py"], &mut tree.odd)? {
            let path = format!("migrations/{name}");
            match Migration::read(&name, &text) {
                Ok(migration) => {
                    let twin = (tree.migrations.iter())
                        .find(|other| other.version == migration.version)
                        .and_then(|other| other.file_name.clone());
                    match twin {
                        None => tree.migrations.push(migration),
                        Some(twin) => {
                            let what = format!("has the version of migrations/{twin}");
                            tree.odd
                                .push((path.clone(), EntityError::invalid(path, what)));
                        }
                    }
                }
                Err(EntityError::Invalid { message, path: at }) => {
                    let error = EntityError::invalid(format!("migrations/{at}"), message);
                    tree.odd.push((path, error));
                }
                Err(error) => tree.odd.push((path, error)),
            }
        }
        tree.migrations
            .sort_by(|one, other| one.version.cmp(&other.version));
        Ok(tree)
    }

    /// As [`Self::read`], where waiting for the disk holds nobody up.
    ///
    /// # Errors
    /// As there.
    pub async fn read_aside(dir: &Path) -> Result<Arc<Self>, EntityError> {
        let dir = dir.to_owned();
        let read = tokio::task::spawn_blocking(move || Self::read(&dir)).await;
        match read {
            Ok(tree) => tree.map(Arc::new),
            Err(error) => Err(EntityError::invalid(
                "",
                format!("the files were not read: {error}"),
            )),
        }
    }

    /// An entity by its name.
    ///
    /// # Errors
    /// [`EntityError::NotFound`], or what is wrong with its file.
    pub fn entity(&self, name: &str) -> Result<&EntityFile, EntityError> {
        if let Some(file) = (self.entities.iter()).find(|file| file.entity.entity_name == name) {
            return Ok(file);
        }
        let path = format!("entities/{name}.json");
        match self.odd.iter().find(|(odd, _)| *odd == path) {
            Some((_, error)) => Err(error.clone()),
            None => Err(EntityError::NotFound(format!(
                "there is no entity {name:?}"
            ))),
        }
    }

    /// What is wrong with the file of a migration.
    pub fn odd_migration(&self, version: &str) -> Option<EntityError> {
        let begin = format!("migrations/{version}_");
        let odd = self.odd.iter().find(|(path, _)| path.starts_with(&begin));
        odd.map(|(_, error)| error.clone())
    }
}

/// The files of a folder with one of the endings, by name.
fn files(
    dir: &Path,
    folder: &str,
    endings: &[&str],
    odd: &mut Vec<(String, EntityError)>,
) -> Result<Vec<(String, Vec<u8>)>, EntityError> {
    let unreadable =
        |error: std::io::Error| EntityError::invalid(folder, format!("cannot be read: {error}"));
    let entries = match std::fs::read_dir(dir.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        let is_meant =
            ending.is_some_and(|ending| endings.contains(&ending)) && !name.starts_with(['.', '_']);
        if !is_meant {
            continue;
        }
        if names.len() >= MAX_FILES {
            let what = format!("has over {MAX_FILES} files");
            return Err(EntityError::invalid(folder, what));
        }
        names.push(name);
    }
    names.sort();
    let mut read = Vec::with_capacity(names.len());
    for name in names {
        let path = format!("{folder}/{name}");
        match read_file(&dir.join(folder).join(&name)) {
            Ok(text) => read.push((name, text)),
            Err(reason) => odd.push((path.clone(), EntityError::invalid(path, reason))),
        }
    }
    Ok(read)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    // Opening a pipe would wait for somebody to write.
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is no file".into());
    }
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_and_what_is_odd_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert!(Tree::read(dir.path()).unwrap().entities.is_empty());
        let entity = |name: &str, table: &str| {
            format!(
                r#"{{"entity_name": "{name}", "table_name": "{table}",
                "schema_definition": {{"columns": [{{"name": "a", "type": "TEXT"}}]}}}}"#
            )
        };
        put("entities/Cart.json", &entity("Cart", "cart"));
        put("entities/Other.json", &entity("Other", "cart"));
        put("entities/Odd.json", "{");
        put("entities/notes.md", "");
        put("migrations/20250129_143001_b.py", "def up(db): pass");
        put(
            "migrations/20250129_143000_a.json",
            r#"{"up": [{"drop": "cart"}]}"#,
        );
        put(
            "migrations/20250129_143000_c.json",
            r#"{"up": [{"drop": "cart"}]}"#,
        );
        put(
            "migrations/20250129_143002_d.json",
            r#"{"up": [{"find": "cart"}]}"#,
        );
        put("migrations/20250129_143003_e.json", &" ".repeat(600_000));
        put("migrations/__init__.py", "");
        std::os::unix::fs::symlink(
            "/dev/zero",
            dir.path().join("migrations/20250129_143004_z.py"),
        )
        .unwrap();
        let tree = Tree::read(dir.path()).unwrap();
        assert_eq!(tree.entities.len(), 1);
        assert_eq!(tree.entity("Cart").unwrap().path, "entities/Cart.json");
        assert_eq!(tree.entity("Odd").unwrap_err().code(), "VALIDATION_ERROR");
        assert_eq!(tree.entity("None").unwrap_err().code(), "NOT_FOUND");
        let versions: Vec<_> = tree.migrations.iter().map(|each| &*each.version).collect();
        assert_eq!(versions, ["20250129_143000", "20250129_143001"]);
        let odd: Vec<_> = tree.odd.iter().map(|(path, _)| &**path).collect();
        assert_eq!(
            odd,
            [
                "entities/Odd.json",
                "entities/Other.json",
                "migrations/20250129_143003_e.json",
                "migrations/20250129_143004_z.py",
                "migrations/20250129_143000_c.json",
                "migrations/20250129_143002_d.json",
            ]
        );
        assert!(tree.odd_migration("20250129_143002").is_some());
        for number in 0..501 {
            put(&format!("migrations/20250130_{number:06}_x.py"), "");
        }
        assert!(Tree::read(dir.path()).is_err());
    }
}
