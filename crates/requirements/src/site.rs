//! Directories of packages. One is made beside its place and moved there whole, so that what stands there is
//! complete; whoever uses it holds a lock on it, and what nobody uses any more is cleared.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::specifier::{Requirement, normalized};

/// In every site: what it was made of. Locked by whoever uses the site.
const MARK: &str = "mozaiks-site.json";
/// Held by whoever changes a plugin's sites.
const LOCK: &str = "lock";
/// What the installer said, the last time.
const LOG: &str = "install.log";
/// What is being made, or taken away, begins with this; nobody reads it.
const UNFINISHED: &str = ".unfinished-";
/// How often it is looked whether a lock has become free.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of a distribution's metadata that are looked at: its name and version come first.
const METADATA_LINES: usize = 64;

/// A directory of packages. It is not cleared while this lives.
#[derive(Debug)]
pub struct Site {
    /// Where modules are imported from.
    pub path: PathBuf,
    /// The distributions in it, by normalized name, with their versions.
    pub distributions: BTreeMap<String, String>,
    /// Its lock is held for as long as the file is open.
    _in_use: File,
}

/// What a site was made of.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    requirements: Vec<String>,
    distributions: BTreeMap<String, String>,
}

/// The sites of one plugin.
pub(crate) struct PluginSites(PathBuf);

/// Leave to change a plugin's sites, of all processes on this data directory.
pub(crate) struct Locked(#[expect(dead_code, reason = "held open")] File);

impl PluginSites {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// Where the site of that key is or would be.
    pub(crate) fn dir(&self, key: &str) -> PathBuf {
        self.0.join(key)
    }

    /// Where the installer's words are kept.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join(LOG)
    }

    /// The site of that key, where it is there.
    pub(crate) fn open(&self, key: &str) -> Option<Site> {
        let path = self.dir(key).canonicalize().ok()?;
        let file = File::open(path.join(MARK)).ok()?;
        // Refused while it is being cleared.
        file.try_lock_shared().ok()?;
        // Locked and gone is gone.
        let text = fs::read(path.join(MARK)).ok()?;
        let mark: Mark = serde_json::from_slice(&text).ok()?;
        Some(Site {
            path,
            distributions: mark.distributions,
            _in_use: file,
        })
    }

    /// Waits until nobody else changes the plugin's sites.
    pub(crate) fn lock(&self, end: Instant) -> Result<Locked, String> {
        let file = fs::create_dir_all(&self.0).and_then(|()| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true);
            options.open(self.0.join(LOCK))
        });
        let unwritable = |error: io::Error| {
            let shown = self.0.display();
            format!("{shown} cannot be written: {error}")
        };
        let file = file.map_err(unwritable)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Locked(file)),
                Err(TryLockError::Error(error)) => return Err(unwritable(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                    return Err("another process has been installing them all the time".into());
                }
                // Locks of files between processes have no wait with a limit.
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Takes away what nobody uses, but for the site of that key. What cannot be taken away stays.
    pub(crate) fn clear_others(&self, key: &str) {
        let others = self.entries().into_iter().filter(|name| name != key);
        let others: Vec<String> = others.filter(|name| name.len() == key.len()).collect();
        if others.is_empty() {
            return;
        }
        let Ok(_lock) = self.lock(Instant::now()) else {
            return;
        };
        for name in others {
            let dir = self.0.join(&name);
            let is_free = match File::open(dir.join(MARK)) {
                Ok(mark) => mark.try_lock().is_ok().then_some(Some(mark)),
                Err(_) => Some(None),
            };
            // Held until it is out of the way.
            let Some(_mark) = is_free else {
                continue;
            };
            let aside = self.0.join(format!("{UNFINISHED}{name}"));
            if fs::rename(&dir, &aside).is_ok() {
                remove(&aside);
            }
        }
    }

    /// Takes away what processes have left that ended in the middle. With the lock, so nobody is at it.
    fn clear_unfinished(&self) {
        for name in self.entries() {
            if name.starts_with(UNFINISHED) {
                remove(&self.0.join(name));
            }
        }
    }

    /// Names of its directories.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        tracing::warn!(dir = %dir.display(), %error, "requirements.not_cleared");
    }
}

/// A site that is being made; taken away again unless it is finished.
pub(crate) struct Staged<'a> {
    sites: &'a PluginSites,
    whole: PathBuf,
}

impl<'a> Staged<'a> {
    /// An empty one, of whoever holds the lock.
    pub(crate) fn new(sites: &'a PluginSites, _lock: &Locked) -> io::Result<Self> {
        sites.clear_unfinished();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_nanos());
        let whole = sites
            .0
            .join(format!("{UNFINISHED}{}-{now}", std::process::id()));
        fs::create_dir(&whole)?;
        fs::create_dir(whole.join("empty"))?;
        Ok(Self { sites, whole })
    }

    /// Where packages are put.
    pub(crate) fn target(&self) -> PathBuf {
        self.whole.join("site")
    }

    /// A directory without anything, to work in: names in it would be taken for files to install.
    pub(crate) fn empty(&self) -> PathBuf {
        self.whole.join("empty")
    }

    /// A file beside the packages that goes when they are there.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.whole.join(name)
    }

    /// Where the installer's words are kept.
    pub(crate) fn log(&self) -> PathBuf {
        self.sites.log()
    }

    /// Forgets what an attempt has left.
    pub(crate) fn start_over(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.target()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Puts it in its place, whole and on the disk.
    pub(crate) fn finish(self, key: &str, requirements: &[Requirement]) -> io::Result<Site> {
        let target = self.target();
        // Where nothing was needed on this machine there is nothing.
        fs::create_dir_all(&target)?;
        let mark = Mark {
            requirements: requirements.iter().map(|one| one.text().into()).collect(),
            distributions: distributions(&target)?,
        };
        fs::write(target.join(MARK), serde_json::to_vec_pretty(&mark)?)?;
        // All of it in one go: after a crash of the machine what has its name has its contents.
        rustix::fs::syncfs(File::open(&target)?)?;
        let dir = self.sites.dir(key);
        if dir.exists() {
            // It had no mark that could be read: nobody can use it.
            fs::remove_dir_all(&dir)?;
        }
        fs::rename(&target, &dir)?;
        File::open(&self.sites.0)?.sync_all()?;
        let opened = self.sites.open(key);
        opened.ok_or_else(|| io::Error::other("what was installed cannot be read"))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        remove(&self.whole);
    }
}

/// The distributions in a directory, as their own metadata says.
fn distributions(dir: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "dist-info") {
            continue;
        }
        let Ok(metadata) = File::open(path.join("METADATA")) else {
            continue;
        };
        let (mut name, mut version) = (None, None);
        for line in BufReader::new(metadata).lines().take(METADATA_LINES) {
            match line?.split_once(':') {
                Some(("Name", value)) => name = Some(normalized(value.trim())),
                Some(("Version", value)) => version = Some(value.trim().to_owned()),
                _ => {}
            }
            if name.is_some() && version.is_some() {
                break;
            }
        }
        all.extend(name.zip(version));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn make(sites: &PluginSites, key: &str) -> Site {
        let lock = sites.lock(soon()).unwrap();
        let staged = Staged::new(sites, &lock).unwrap();
        let info = staged.target().join("Some_Thing-1.0.dist-info");
        fs::create_dir_all(&info).unwrap();
        let metadata = "Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.0\n\nName: not\n";
        fs::write(info.join("METADATA"), metadata).unwrap();
        staged.finish(key, &[]).unwrap()
    }

    #[test]
    fn a_site_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let sites = PluginSites::new(dir.path().join("mine"));
        let key = "a".repeat(32);
        assert!(sites.open(&key).is_none());
        {
            let lock = sites.lock(soon()).unwrap();
            let staged = Staged::new(&sites, &lock).unwrap();
            fs::create_dir(staged.target()).unwrap();
            fs::write(staged.target().join("half.py"), "").unwrap();
            // As if the process were killed here.
            std::mem::forget(staged);
        }
        assert!(sites.open(&key).is_none());
        // A directory in its place that was not made by us is not used.
        fs::create_dir(sites.dir(&key)).unwrap();
        assert!(sites.open(&key).is_none());
        let site = make(&sites, &key);
        let expected = BTreeMap::from([("some-thing".to_owned(), "1.0".to_owned())]);
        assert_eq!(site.distributions, expected);
        assert!(!site.path.join("half.py").exists());
        assert_eq!(sites.entries(), [key]);
    }

    #[test]
    fn one_at_a_time_changes_a_plugins_sites() {
        let dir = tempfile::tempdir().unwrap();
        let sites = PluginSites::new(dir.path().join("mine"));
        let lock = sites.lock(soon()).unwrap();
        assert!(sites.lock(soon()).is_err());
        drop(lock);
        assert!(sites.lock(soon()).is_ok());
    }

    #[test]
    fn what_is_used_is_not_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let sites = PluginSites::new(dir.path().join("mine"));
        let [one, two] = ["a", "b"].map(|letter| letter.repeat(32));
        let used = make(&sites, &one);
        drop(make(&sites, &two));
        sites.clear_others(&two);
        assert!(sites.dir(&one).is_dir());
        drop(used);
        sites.clear_others(&two);
        assert!(!sites.dir(&one).exists());
        assert!(sites.open(&two).is_some());
    }
}
