//! Trees of stored plugins on this machine's disk: each revision in a directory named by its digest, which
//! is written beside its place, synced and renamed, and never changed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use mozaiks_plugins::{
    names::is_plugin_name,
    stored::{Laid, StoredTrees},
};
use mozaiks_store::Store;

use crate::{repository::Repository, tree::Tree};

/// Revisions of a plugin that stay on the disk: loads before may still import from theirs.
const KEPT: usize = 8;

/// The trees below one directory.
pub struct Trees {
    root: PathBuf,
    repository: Repository,
    /// Held while a tree is written or taken away: two would be at one place.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Trees {
    /// Below `root`, which is made; nobody else reads or writes there.
    ///
    /// # Errors
    /// Where that cannot be made.
    pub fn new(root: &Path, store: Arc<Store>) -> io::Result<Arc<Self>> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)?;
        Ok(Arc::new(Self {
            // A worker works in another directory.
            root: root.canonicalize()?,
            repository: Repository::new(store),
            turn: Arc::default(),
        }))
    }

    /// Lays down a tree that is at hand.
    pub(crate) async fn lay(
        &self,
        plugin: &str,
        digest: &str,
        tree: Tree,
        serving: Option<&str>,
    ) -> Result<(), String> {
        if !is_plugin_name(plugin) {
            return Err("this is no plugin's name".into());
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (folder, digest) = (self.root.join(plugin), digest.to_owned());
        let serving = serving.map(|digest| folder.join(digest));
        let laid = tokio::task::spawn_blocking(move || {
            let laid = lay(&folder, &digest, &tree, serving.as_deref());
            drop(turn);
            laid
        });
        let laid = laid.await.map_err(|error| error.to_string())?;
        laid.map_err(|error| format!("its files cannot be written: {error}"))
    }
}

impl StoredTrees for Trees {
    fn lay_down<'a>(&'a self, plugin: &'a str, digest: &'a str) -> Laid<'a> {
        Box::pin(async move {
            let place = self.root.join(plugin).join(digest);
            if is_plugin_name(plugin) && place.is_dir() {
                return Ok(place);
            }
            let tree = self.repository.tree(plugin, digest).await;
            let tree = tree
                .map_err(|error| format!("its files cannot be read: {error}"))?
                .ok_or("the database has no such revision")?;
            if tree.digest() != digest {
                return Err("its files in the database are not those of its revision".into());
            }
            self.lay(plugin, digest, tree, None).await?;
            Ok(place)
        })
    }

    fn forget(&self, plugin: &str) {
        if !is_plugin_name(plugin) {
            return;
        }
        let (folder, turn) = (self.root.join(plugin), Arc::clone(&self.turn));
        tokio::spawn(async move {
            let _turn = turn.lock_owned().await;
            let gone = tokio::task::spawn_blocking(move || take_away(&folder));
            if let Ok(Err(error)) = gone.await {
                tracing::warn!(%error, "plugins.stored_files_left");
            }
        });
    }
}

fn lay(folder: &Path, digest: &str, tree: &Tree, serving: Option<&Path>) -> io::Result<()> {
    let place = folder.join(digest);
    if place.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".{digest}"));
    take_away(&beside)?;
    fs::create_dir(&beside)?;
    for (path, content) in tree.files() {
        let path = beside.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&path)?;
        file.write_all(content)?;
        file.sync_all()?;
    }
    close(&beside)?;
    fs::rename(&beside, &place)?;
    File::open(folder)?.sync_all()?;
    tidy(folder, &[Some(&*place), serving]);
    Ok(())
}

/// Nobody writes into it any more; what is in it is on the disk.
fn close(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            close(&entry.path())?;
        }
    }
    File::open(dir)?.sync_all()?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o555))
}

/// The oldest revisions go, but those that are to stay.
fn tidy(folder: &Path, stay: &[Option<&Path>]) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut known: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .filter(|(_, path)| !stay.contains(&Some(path.as_path())))
        .collect();
    known.sort();
    let most = known.len().saturating_sub(KEPT - 1);
    for (_, old) in known.drain(..most) {
        if let Err(error) = take_away(&old) {
            tracing::warn!(dir = %old.display(), %error, "plugins.stored_files_left");
        }
    }
}

fn take_away(dir: &Path) -> io::Result<()> {
    match open(dir) {
        Ok(()) => fs::remove_dir_all(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Directories that nobody writes into cannot be emptied either.
fn open(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_tree_is_laid_down_once_read_only_and_so_many_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cart");
        let tree = |n: usize| {
            let text = Bytes::from(format!("x = {n}"));
            Tree::new([("a/b/logic.py".to_owned(), text)]).unwrap()
        };
        let mut last = String::new();
        for n in 0..KEPT + 3 {
            last = tree(n).digest();
            lay(&folder, &last, &tree(n), None).unwrap();
            lay(&folder, &last, &tree(n), None).unwrap();
        }
        let file = folder.join(&last).join("a/b/logic.py");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            format!("x = {}", KEPT + 2)
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o444, 0o555));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), KEPT);
        take_away(&folder).unwrap();
        assert!(!folder.exists());
    }
}
