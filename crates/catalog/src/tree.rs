//! A plugin's files: path and bytes, within the limits of a stored plugin.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{digest::Digest, error::CatalogError, paths};

/// Bytes of one file.
pub const MAX_FILE_BYTES: usize = 512 * 1024;
/// Bytes of all files of a plugin.
pub const MAX_TREE_BYTES: usize = 8 * 1024 * 1024;
/// Files of a plugin.
pub const MAX_FILES: usize = 500;

/// Where a plugin says what it is.
pub(crate) const MANIFEST: &str = "plugin.json";

/// Files by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(pub(crate) BTreeMap<String, Bytes>);

impl Tree {
    /// Of files, which are checked as a whole.
    ///
    /// # Errors
    /// A path that cannot be, two that are one, or more than a plugin may be.
    pub fn new(files: impl IntoIterator<Item = (String, Bytes)>) -> Result<Self, CatalogError> {
        let mut tree = BTreeMap::new();
        let mut bytes = 0;
        for (path, content) in files {
            check_path(&path)?;
            check_size(&path, content.len())?;
            bytes += content.len();
            if bytes > MAX_TREE_BYTES {
                let message = format!("a plugin has at most {MAX_TREE_BYTES} bytes");
                return Err(CatalogError::too_large(message));
            }
            if tree.len() >= MAX_FILES {
                let message = format!("a plugin has at most {MAX_FILES} files");
                return Err(CatalogError::too_large(message));
            }
            if tree.insert(path.clone(), content).is_some() {
                return Err(CatalogError::invalid(
                    &*path,
                    format!("{path} is there twice"),
                ));
            }
        }
        check_clashes(tree.keys().map(String::as_str))?;
        Ok(Self(tree))
    }

    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0
            .iter()
            .map(|(path, content)| (path.as_str(), content))
    }

    /// One number for all of it.
    pub fn digest(&self) -> String {
        let mut digest = Digest::new();
        for (path, content) in &self.0 {
            digest.add(path.as_bytes());
            digest.add(content);
        }
        digest.finish()
    }
}

/// # Errors
/// Why it cannot be a file's.
pub(crate) fn check_path(path: &str) -> Result<(), CatalogError> {
    match paths::refusal(path) {
        Some(reason) => Err(CatalogError::invalid(path, reason)),
        None => Ok(()),
    }
}

pub(crate) fn check_size(path: &str, bytes: usize) -> Result<(), CatalogError> {
    if bytes > MAX_FILE_BYTES {
        let message = format!("{path}: a file has at most {MAX_FILE_BYTES} bytes");
        return Err(CatalogError::too_large(message));
    }
    Ok(())
}

pub(crate) fn check_clashes<'a>(all: impl Iterator<Item = &'a str>) -> Result<(), CatalogError> {
    match paths::clash(all) {
        Some((one, other)) => Err(CatalogError::conflict(
            format!("{one} and {other} cannot both be there"),
            None,
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, usize)]) -> Result<Tree, CatalogError> {
        let files = files.iter();
        Tree::new(files.map(|(path, size)| ((*path).to_owned(), vec![b'a'; *size].into())))
    }

    #[test]
    fn limits_are_kept() {
        assert!(tree(&[("a", MAX_FILE_BYTES)]).is_ok());
        let too_large = |files: Vec<(String, Bytes)>| {
            matches!(Tree::new(files), Err(CatalogError::TooLarge { .. }))
        };
        assert!(too_large(vec![(
            "a".into(),
            vec![0; MAX_FILE_BYTES + 1].into()
        )]));
        let many = (0..=MAX_FILES).map(|n| (format!("f{n}"), Bytes::new()));
        assert!(too_large(many.collect()));
        let big = Bytes::from(vec![0; MAX_FILE_BYTES]);
        assert!(too_large(
            (0..17).map(|n| (format!("f{n}"), big.clone())).collect()
        ));
        assert!(tree(&[("a/b", 1), ("A", 1)]).is_err());
        assert!(tree(&[("a", 1), ("a", 1)]).is_err());
    }

    #[test]
    fn the_digest_is_of_paths_and_contents() {
        let digest = |files| tree(files).unwrap().digest();
        let one = digest(&[("a", 1), ("b", 2)]);
        assert_eq!(one.len(), 64);
        assert_eq!(one, digest(&[("b", 2), ("a", 1)]));
        assert_ne!(one, digest(&[("a", 2), ("b", 1)]));
        assert_ne!(one, digest(&[("a", 1), ("c", 2)]));
    }
}
