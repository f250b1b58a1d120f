//! The files of a plugin that pages load: scripts, styles, widgets, listeners of pages. Never its Python.
//!
//! All of one load have one address, the digest of all of them, so that modules find each other by relative
//! paths and nobody ever sees two loads mixed. Reads the disk: callers on an I/O thread hand it to another.

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use base64::Engine as _;
use parking_lot::Mutex;

use crate::{
    generation::{Generation, LiveGeneration},
    manifest::{
        Manifest,
        parts::{ScriptPart, ScriptScope, Side},
    },
};

/// Files of one plugin.
const MAX_FILES: usize = 500;
/// Bytes of one; a larger one is not served.
const MAX_FILE_BYTES: u64 = 512 * 1024;
/// Bytes of all; what comes after is not served.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Folders in folders.
const MAX_DEPTH: usize = 4;
/// Folders whose files are for pages, and which pages.
const FOLDERS: [(&str, ScriptScope); 6] = [
    ("admin", ScriptScope::Admin),
    ("components", ScriptScope::Frontend),
    ("services", ScriptScope::Frontend),
    ("styles", ScriptScope::Frontend),
    ("utils", ScriptScope::Frontend),
    ("widgets", ScriptScope::Frontend),
];

/// One file.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its path below the plugin's directory.
    pub file: String,
    /// `js` or `css`.
    pub script_type: &'static str,
    /// For which pages.
    pub scope: ScriptScope,
    /// Lower ones are loaded first.
    pub load_priority: i32,
    /// As a page's `integrity` says it.
    pub integrity: String,
    /// Whether a page loads it by itself; others are asked for by their names.
    pub is_script: bool,
    digest: [u8; 32],
    path: PathBuf,
}

impl Asset {
    /// What it holds, in the words of HTTP.
    pub fn content_type(&self) -> &'static str {
        match self.script_type {
            "css" => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        }
    }

    /// Its bytes; `None` where they are not what they were any more.
    pub fn read(&self) -> Option<Vec<u8>> {
        let bytes = read(&self.path)?;
        (sha256(&bytes) == self.digest).then_some(bytes)
    }
}

/// The files of one load.
#[derive(Debug, Default)]
pub struct AssetTree {
    /// The digest of all of them, in hexadecimal.
    pub checksum: String,
    /// In the order in which they are loaded.
    pub assets: Vec<Asset>,
}

impl AssetTree {
    /// Those of a plugin's directory.
    pub fn of(dir: &Path, manifest: &Manifest) -> Self {
        let Ok(root) = dir.canonicalize() else {
            return Self::default();
        };
        let mut files = Vec::new();
        for (folder, scope) in FOLDERS {
            collect(&root, folder, 0, scope, &mut files);
        }
        let parts = &manifest.parts;
        let of_pages = |side: Option<Side>, on: bool| on && side == Some(Side::Frontend);
        for part in &parts.events {
            if of_pages(part.scope, part.is_enabled) && part.file.ends_with(".js") {
                files.push((format!("events/{}", part.file), ScriptScope::Frontend));
            }
        }
        for part in &parts.hooks {
            if of_pages(part.scope, part.is_enabled) && part.file.ends_with(".js") {
                files.push((format!("hooks/{}", part.file), ScriptScope::Frontend));
            }
        }
        files.sort_by(|one, other| one.0.cmp(&other.0));
        files.truncate(MAX_FILES);
        let entries: HashMap<&str, &ScriptPart> = (parts.scripts.iter())
            .map(|part| (&*part.file, part))
            .collect();
        let (mut assets, mut left) = (Vec::new(), MAX_BYTES);
        let mut whole = digest::Context::new(&digest::SHA256);
        for (file, scope) in files {
            let entry = entries.get(&*file);
            let scope = entry.and_then(|entry| entry.scope).unwrap_or(scope);
            let is_off = entry.is_some_and(|entry| !entry.is_enabled);
            let off_widget = (parts.widgets.iter())
                .any(|part| !part.is_enabled && file == format!("widgets/{}", part.file));
            if is_off || off_widget || scope == ScriptScope::Backend {
                continue;
            }
            let path = root.join(&file);
            let is_inside = path
                .canonicalize()
                .is_ok_and(|real| real.starts_with(&root));
            let Some(bytes) = is_inside.then(|| read(&path)).flatten() else {
                continue;
            };
            let Some(rest) = left.checked_sub(bytes.len() as u64) else {
                continue;
            };
            left = rest;
            let digest = sha256(&bytes);
            whole.update(&(file.len() as u64).to_le_bytes());
            whole.update(file.as_bytes());
            whole.update(&digest);
            let integrity = base64::engine::general_purpose::STANDARD.encode(digest);
            let is_script = !["widgets/", "events/", "hooks/"]
                .iter()
                .any(|folder| file.starts_with(folder));
            assets.push(Asset {
                script_type: if file.ends_with(".css") { "css" } else { "js" },
                scope,
                load_priority: entry.and_then(|entry| entry.load_priority).unwrap_or(10),
                integrity: format!("sha256-{integrity}"),
                is_script,
                digest,
                path,
                file,
            });
        }
        let order = |asset: &Asset| (asset.load_priority, asset.file.clone());
        assets.sort_by_key(order);
        let number = whole.finish();
        let hex = number.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Self {
            checksum: hex.collect(),
            assets,
        }
    }

    /// The file of that name.
    pub fn find(&self, file: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.file == file)
    }
}

/// The trees of the loads that serve, each read once.
#[derive(Default)]
pub struct AssetTrees {
    // Held for a look and for a change; never while the disk is read.
    by_plugin: Mutex<HashMap<Arc<str>, (Generation, Arc<AssetTree>)>>,
}

impl AssetTrees {
    /// That of a load, if it has been read.
    pub fn known(&self, load: &LiveGeneration) -> Option<Arc<AssetTree>> {
        let by_plugin = self.by_plugin.lock();
        let (of, tree) = by_plugin.get(load.plugin())?;
        (*of == load.id()).then(|| Arc::clone(tree))
    }

    /// Reads that of a load, in a directory.
    pub fn read(&self, load: &LiveGeneration, dir: &Path) -> Arc<AssetTree> {
        let tree = match load.manifest() {
            Some(manifest) => Arc::new(AssetTree::of(dir, manifest)),
            None => Arc::default(),
        };
        let entry = (load.id(), Arc::clone(&tree));
        self.by_plugin
            .lock()
            .insert(Arc::clone(load.plugin()), entry);
        tree
    }
}

fn collect(
    root: &Path,
    below: &str,
    depth: usize,
    scope: ScriptScope,
    files: &mut Vec<(String, ScriptScope)>,
) {
    let Ok(entries) = std::fs::read_dir(root.join(below)) else {
        return;
    };
    for entry in entries.take(MAX_FILES).flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') || files.len() > MAX_FILES {
            continue;
        }
        let file = format!("{below}/{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => {
                collect(root, &file, depth + 1, scope, files);
            }
            Ok(kind) if kind.is_dir() => {}
            _ if [".js", ".mjs", ".css"]
                .iter()
                .any(|ending| name.ends_with(ending)) =>
            {
                files.push((file, scope));
            }
            _ => {}
        }
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for somebody to write.
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MAX_FILE_BYTES).then_some(bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut number = [0; 32];
    number.copy_from_slice(digest.as_ref());
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    #[test]
    fn what_pages_load_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for file in [
            "logic.py",
            "utils/secret.py",
            "utils/math.js",
            "components/Visits.js",
            "components/deep/Part.mjs",
            "styles/visits.css",
            "admin/page.js",
            "services/off.js",
            "services/server.js",
            "widgets/visits.js",
            "widgets/off.js",
            "events/told.js",
            "events/heard.js",
            "components/.hidden.js",
            "other/x.js",
        ] {
            put(file, file);
        }
        put(
            "plugin.json",
            r#"{"events": {"told.js": {"event_name": "a", "scope": "frontend"}},
                "widgets": {"off.js": {"is_enabled": false}},
                "scripts": {"utils/math.js": {"load_priority": 1}, "services/off.js": {"is_enabled": false},
                            "services/server.js": {"scope": "backend"}}}"#,
        );
        std::fs::write(outside.path().join("x.js"), "x").unwrap();
        std::os::unix::fs::symlink(
            outside.path().join("x.js"),
            dir.path().join("utils/link.js"),
        )
        .unwrap();
        let large = File::create(dir.path().join("utils/large.js")).unwrap();
        large.set_len(MAX_FILE_BYTES + 1).unwrap();
        let read = || {
            let manifest = manifest::read(dir.path(), "shop").unwrap().manifest;
            AssetTree::of(dir.path(), &manifest)
        };
        let tree = read();
        let files: Vec<_> = tree.assets.iter().map(|asset| &*asset.file).collect();
        assert_eq!(
            files,
            [
                "utils/math.js",
                "admin/page.js",
                "components/Visits.js",
                "components/deep/Part.mjs",
                "events/told.js",
                "styles/visits.css",
                "widgets/visits.js",
            ]
        );
        let admin = tree.find("admin/page.js").unwrap();
        assert_eq!((admin.scope, admin.is_script), (ScriptScope::Admin, true));
        assert!(!tree.find("events/told.js").unwrap().is_script);
        assert_eq!(
            tree.find("utils/math.js").unwrap().read().unwrap(),
            b"utils/math.js"
        );
        assert_eq!(tree.checksum, read().checksum);
        assert_eq!(tree.checksum.len(), 64);
        put("utils/math.js", "other");
        assert!(tree.find("utils/math.js").unwrap().read().is_none());
        assert_ne!(tree.checksum, read().checksum);
        for hidden in ["logic.py", "utils/secret.py", "../x.js", "utils/link.js"] {
            assert!(tree.find(hidden).is_none(), "{hidden}");
        }
    }
}
