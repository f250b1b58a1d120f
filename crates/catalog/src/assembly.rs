//! Rows become a tree, and a tree becomes rows.

use bytes::Bytes;

use crate::{
    error::CatalogError,
    kinds::{Place, place},
    manifest_file::{self, Sections},
    rows::NewFile,
    tree::{MANIFEST, Tree},
};

/// What a tree is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pieces {
    /// `plugin.json`, which may say other things of parts than their rows: those count.
    pub(crate) manifest: String,
    pub(crate) files: Vec<NewFile>,
}

impl Pieces {
    /// `plugin.json` as it is in the tree.
    ///
    /// # Errors
    /// Where its text cannot be read.
    pub(crate) fn manifest(&self) -> Result<String, CatalogError> {
        let sections = manifest_file::sections_of(self.files.iter());
        manifest_file::with_sections(&self.manifest, &sections)
    }

    /// All files.
    ///
    /// # Errors
    /// A manifest that cannot be read, and more than a plugin may be.
    pub(crate) fn tree(&self) -> Result<Tree, CatalogError> {
        let manifest = Bytes::from(self.manifest()?);
        let files = self.files.iter();
        let files = files.map(|file| (file.path.clone(), file.content.clone()));
        Tree::new(files.chain([(MANIFEST.to_owned(), manifest)]))
    }

    /// The pieces of a tree.
    ///
    /// # Errors
    /// A file that would be nothing where it lies, and a manifest that speaks of files that are not there.
    pub(crate) fn of(tree: &Tree) -> Result<Self, CatalogError> {
        let manifest = match tree.0.get(MANIFEST) {
            None => "{}\n".to_owned(),
            Some(bytes) => String::from_utf8(bytes.to_vec())
                .map_err(|_| CatalogError::invalid(MANIFEST, "it is not UTF-8"))?,
        };
        let mut sections = manifest_file::sections(&manifest_file::parse(&manifest)?)?;
        let mut files = Vec::with_capacity(tree.0.len());
        for (path, content) in tree.files() {
            let Place::Row(kind) = place(path)? else {
                continue;
            };
            let mut file = NewFile {
                kind,
                path: path.to_owned(),
                content: content.clone(),
                meta: Default::default(),
                enabled: true,
            };
            let section = sections.get_mut(&kind);
            if let Some(entry) = section.and_then(|section| section.remove(file.file_name())) {
                file.meta = entry;
                let enabled = file.meta.remove("is_enabled");
                file.enabled = enabled != Some(false.into());
            }
            files.push(file);
        }
        check_spoken_of(&sections)?;
        Ok(Self { manifest, files })
    }
}

/// What is left of the sections speaks of files that are not there.
fn check_spoken_of(left: &Sections) -> Result<(), CatalogError> {
    for (kind, section) in left {
        if let Some(file) = section.keys().next() {
            let path = kind.path_of(file);
            let message = format!("{}.{file}: there is no file {path}", kind.name());
            return Err(CatalogError::invalid(MANIFEST, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn tree(files: &[(&str, &str)]) -> Tree {
        let files = files.iter();
        let files =
            files.map(|(path, text)| ((*path).to_owned(), Bytes::copy_from_slice(text.as_bytes())));
        Tree::new(files).unwrap()
    }

    const WRITTEN: &str = r#"{ "name": "cart",   "version": "1.0.0",
        "hooks": {"price.py": {"hookName": "product.price", "hook_type": "filter", "priority": 10}},
        "scripts": {"components/A.js": {"scope": "frontend"}},
        "events": {"a.py": {"is_enabled": false}, "b.py": {}} }"#;

    fn cart() -> Tree {
        tree(&[
            ("plugin.json", WRITTEN),
            ("hooks/price.py", "def handler(v): return v\n"),
            ("components/A.js", "1"),
            ("events/a.py", ""),
            ("events/b.py", "\u{feff}odd\r\n"),
            ("README.md", "# <script>"),
            ("entities/A.json", "{\"entity_name\": \"A\"}"),
            ("static/x.bin", "bytes"),
        ])
    }

    #[test]
    fn a_tree_comes_back_byte_by_byte() {
        let whole = cart();
        let pieces = Pieces::of(&whole).unwrap();
        assert_eq!(pieces.tree().unwrap(), whole);
        let price = pieces
            .files
            .iter()
            .find(|file| file.path == "hooks/price.py");
        assert_eq!(price.unwrap().meta["hook_name"], "product.price");
        let off = pieces.files.iter().find(|file| file.path == "events/a.py");
        assert!(!off.unwrap().enabled);
        // Whatever bytes a file has.
        let mut odd = whole.0.clone();
        odd.insert("static/y.bin".into(), Bytes::from_static(b"\xff\x00\xfe"));
        let odd = Tree::new(odd).unwrap();
        assert_eq!(Pieces::of(&odd).unwrap().tree().unwrap(), odd);
    }

    #[test]
    fn what_a_row_says_is_in_the_manifest_and_comes_back() {
        let mut pieces = Pieces::of(&cart()).unwrap();
        for file in &mut pieces.files {
            if file.path == "hooks/price.py" {
                file.meta.insert("priority".into(), 5.into());
            }
            if file.path == "events/b.py" {
                file.enabled = false;
            }
        }
        let made = pieces.tree().unwrap();
        let manifest: Map<_, _> = serde_json::from_slice(&made.0[MANIFEST]).unwrap();
        assert_eq!(manifest["hooks"]["price.py"]["priority"], 5);
        assert_eq!(manifest["name"], "cart");
        let again = Pieces::of(&made).unwrap();
        assert_eq!(again.files, pieces.files);
        assert_eq!(again.tree().unwrap(), made);
        // A row that goes takes its entry with it.
        pieces.files.retain(|file| file.path != "hooks/price.py");
        let made = pieces.tree().unwrap();
        let manifest: Map<_, _> = serde_json::from_slice(&made.0[MANIFEST]).unwrap();
        assert_eq!(manifest.get("hooks"), None);
        assert_eq!(Pieces::of(&made).unwrap().files, pieces.files);
    }

    #[test]
    fn lists_of_older_manifests_are_read() {
        let listed = json!({"events": [{"file": "a.py", "event": "x.y"}]}).to_string();
        let whole = tree(&[("plugin.json", &listed), ("events/a.py", "")]);
        let pieces = Pieces::of(&whole).unwrap();
        assert_eq!(pieces.files[0].meta["event_name"], "x.y");
        assert_eq!(pieces.tree().unwrap(), whole);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(500), "]".repeat(500));
        for manifest in [
            "",
            "[]",
            "{",
            &deep,
            r#"{"hooks": 1}"#,
            r#"{"hooks": {"a.py": 1}}"#,
            r#"{"hooks": [1]}"#,
            r#"{"hooks": {"gone.py": {"hook_name": "a"}}}"#,
        ] {
            let whole = tree(&[("plugin.json", manifest)]);
            assert!(Pieces::of(&whole).is_err(), "{manifest:.40}");
        }
        assert!(Pieces::of(&tree(&[("controllers/a.js", "")])).is_err());
    }
}
