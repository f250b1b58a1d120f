//! Watches the plugins directory and lets changed plugins be loaded anew.
//!
//! The system's notices are taken where it has any, else files are looked at now and then. Notices are
//! gathered until it is quiet for a moment: an editor's one save is many of them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mozaiks_plugins::{
    names::is_plugin_name,
    tree::{Concern, concern},
};
use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinSet, time::Instant};

use crate::manager::{Look, PluginManager};

/// It is quiet when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(50);
/// Files that change all the time are looked at all the same.
const LONGEST_GATHERING: Duration = Duration::from_millis(500);
/// Between two looks where the system gives no notices.
const FALLBACK_POLL: Duration = Duration::from_millis(500);
/// Between two tries to watch a directory that is not there.
const RETRY: Duration = Duration::from_secs(2);

/// Whoever is told what to look at.
pub trait Looks: Send + Sync + 'static {
    /// Waits until everything has been looked at for the first time.
    fn until_loaded(&self) -> impl Future<Output = ()> + Send;

    /// Code of a plugin may have changed.
    fn look_at_files(&self, name: &str) -> impl Future<Output = ()> + Send;

    /// Code of any plugin may have changed.
    fn look_at_all_files(&self) -> impl Future<Output = ()> + Send;

    /// Static files of a plugin have changed.
    fn static_files_changed(&self, name: &str);
}

impl Looks for PluginManager {
    async fn until_loaded(&self) {
        self.until_loaded().await;
    }

    async fn look_at_files(&self, name: &str) {
        self.look_at_files(name, Look::Watch).await;
    }

    async fn look_at_all_files(&self) {
        self.look_at_all_files(Look::Watch).await;
    }

    fn static_files_changed(&self, name: &str) {
        self.static_files_changed(name);
    }
}

/// What has changed and was not looked at yet. A name is in it once, however often it changes.
#[derive(Default)]
struct Gathered {
    code: BTreeSet<String>,
    statics: BTreeSet<String>,
    /// Something was missed: everything is to be looked at.
    all: bool,
    /// The watch has broken.
    broken: Option<String>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.code.is_empty() && self.statics.is_empty() && !self.all && self.broken.is_none()
    }
}

#[derive(Default)]
struct Inbox {
    // Written on the watch's own thread, taken here; never held across an await.
    gathered: Mutex<Gathered>,
    more: Notify,
}

impl Inbox {
    fn take_in(&self, root: &Path, event: notify::Result<Event>) {
        {
            let mut gathered = self.gathered.lock();
            match event {
                Err(error) => gathered.broken = Some(error.to_string()),
                // Whoever reads a file changes nothing; the gateway itself does.
                Ok(event) if event.kind.is_access() => return,
                Ok(event) => {
                    gathered.all |= event.need_rescan();
                    for path in &event.paths {
                        sort_in(&mut gathered, root, path);
                    }
                }
            }
            if gathered.is_empty() {
                return;
            }
        }
        self.more.notify_one();
    }
}

/// Notes whose file it is.
fn sort_in(gathered: &mut Gathered, root: &Path, path: &Path) {
    let Ok(relative) = path.strip_prefix(root) else {
        return;
    };
    let mut parts = relative.components();
    let name = parts.next().and_then(|first| first.as_os_str().to_str());
    // One that is no plugin's for its capital letters is told of.
    let Some(name) = name.filter(|name| is_plugin_name(&name.to_ascii_lowercase())) else {
        return;
    };
    match concern(parts.as_path()) {
        Concern::Code => gathered.code.insert(name.to_owned()),
        Concern::Static => gathered.statics.insert(name.to_owned()),
        Concern::Nothing => false,
    };
}

/// Watches `dir` until it is dropped or aborted. `poll` is the time between two looks; with zero the
/// system's notices are waited for, where it has any.
pub async fn watch<L: Looks>(manager: Arc<L>, dir: PathBuf, poll: Duration) {
    let mut poll = Some(poll).filter(|poll| !poll.is_zero());
    let mut told = false;
    loop {
        let inbox = Arc::new(Inbox::default());
        let root = match dir.canonicalize() {
            Ok(root) => root,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(dir = %dir.display(), %error, "plugins.not_watched");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        told = false;
        match start(&root, poll, &inbox).await {
            Ok(_watcher) => {
                tracing::info!(
                    dir = %root.display(),
                    poll_ms = poll.map(|poll| poll.as_millis() as u64),
                    "plugins.watched"
                );
                manager.until_loaded().await;
                // What was saved before the watch stood, also since a plugin was first loaded.
                manager.look_at_all_files().await;
                // What came and went before the second look of one that polls is known to nobody else.
                let mut again = JoinSet::new();
                if let Some(poll) = poll {
                    let manager = Arc::clone(&manager);
                    again.spawn(async move {
                        tokio::time::sleep(poll * 2).await;
                        manager.look_at_all_files().await;
                    });
                }
                let reason = act(&manager, &inbox).await;
                tracing::warn!(reason, "plugins.watch_broken");
            }
            Err(error) => {
                tracing::warn!(dir = %root.display(), %error, "plugins.watch_refused");
                if poll.is_some() {
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        poll.get_or_insert(FALLBACK_POLL);
    }
}

/// Setting up reads the whole tree: not on an I/O thread.
async fn start(
    root: &Path,
    poll: Option<Duration>,
    inbox: &Arc<Inbox>,
) -> Result<Box<dyn Watcher + Send>, String> {
    let (root, inbox) = (root.to_owned(), Arc::clone(inbox));
    let started = tokio::task::spawn_blocking(move || {
        let below = root.clone();
        let tell = move |event| inbox.take_in(&below, event);
        // A link may lead anywhere; plugins lie in the directory itself.
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher: Box<dyn Watcher + Send> = match poll {
            None => Box::new(RecommendedWatcher::new(tell, config)?),
            Some(poll) => {
                // A save may leave size and second as they were.
                let config = config.with_poll_interval(poll).with_compare_contents(true);
                Box::new(PollWatcher::new(tell, config)?)
            }
        };
        watcher.watch(&root, RecursiveMode::Recursive)?;
        Ok::<_, notify::Error>(watcher)
    });
    match started.await {
        Ok(Ok(watcher)) => Ok(watcher),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Looks at what has changed until the watch breaks; says why it did.
async fn act<L: Looks>(manager: &Arc<L>, inbox: &Inbox) -> String {
    // A plugin is looked at by one task at a time; what comes meanwhile waits here, once.
    let mut looking = JoinSet::new();
    let (mut busy, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    loop {
        tokio::select! {
            () = inbox.more.notified() => {
                quiet(inbox).await;
                let gathered = std::mem::take(&mut *inbox.gathered.lock());
                for name in &gathered.statics {
                    manager.static_files_changed(name);
                }
                if gathered.all {
                    manager.look_at_all_files().await;
                }
                waiting.extend(gathered.code);
                if let Some(reason) = gathered.broken {
                    return reason;
                }
            }
            Some(ended) = looking.join_next() => match ended {
                Ok(name) => drop(busy.remove(&name)),
                // Whose look it was is not known: none is held back for it.
                Err(error) => {
                    tracing::error!(%error, "plugin.look_panicked");
                    busy.clear();
                }
            },
        }
        let free: Vec<String> = waiting.difference(&busy).cloned().collect();
        for name in free {
            waiting.remove(&name);
            busy.insert(name.clone());
            let manager = Arc::clone(manager);
            looking.spawn(async move {
                manager.look_at_files(&name).await;
                name
            });
        }
    }
}

/// Waits until nothing more comes.
async fn quiet(inbox: &Inbox) {
    let end = Instant::now() + LONGEST_GATHERING;
    while Instant::now() < end
        && tokio::time::timeout(QUIET, inbox.more.notified())
            .await
            .is_ok()
    {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, EventKind, Flag, ModifyKind};

    #[test]
    fn notices_are_sorted_by_plugin() {
        let inbox = Inbox::default();
        let root = Path::new("/plugins");
        let event = |kind, path: &str| Ok(Event::new(kind).add_path(root.join(path)));
        let changed = EventKind::Modify(ModifyKind::Any);
        for path in [
            "shop/logic.py",
            "shop/templates/a.html",
            "new",
            "Capital/logic.py",
            "tasks/static/app.js",
            "shop/__pycache__/logic.pyc",
            "README.md",
            ".git/index",
            "../elsewhere/logic.py",
        ] {
            inbox.take_in(root, event(changed, path));
        }
        inbox.take_in(
            root,
            event(EventKind::Access(AccessKind::Any), "read/logic.py"),
        );
        inbox.take_in(root, event(EventKind::Create(CreateKind::Folder), "made"));
        let gathered = std::mem::take(&mut *inbox.gathered.lock());
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(&gathered.code), ["Capital", "made", "new", "shop"]);
        assert_eq!(names(&gathered.statics), ["tasks"]);
        assert!(!gathered.all && gathered.broken.is_none());

        let missed = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        inbox.take_in(root, Ok(missed));
        assert!(inbox.gathered.lock().all);
        inbox.take_in(root, Err(notify::Error::generic("no room")));
        assert!(inbox.gathered.lock().broken.is_some());
    }

    /// Tells what it is asked for.
    struct Asked(tokio::sync::mpsc::UnboundedSender<String>);

    impl Looks for Asked {
        async fn until_loaded(&self) {
            self.0.send("loaded?".into()).ok();
        }

        async fn look_at_files(&self, name: &str) {
            self.0.send(name.into()).ok();
        }

        async fn look_at_all_files(&self) {
            self.0.send("all".into()).ok();
        }

        fn static_files_changed(&self, name: &str) {
            self.0.send(format!("static {name}")).ok();
        }
    }

    #[tokio::test]
    async fn what_was_saved_before_the_watch_stood_is_looked_at() {
        for poll in [Duration::ZERO, Duration::from_millis(20)] {
            let dir = tempfile::tempdir().expect("a directory");
            let put = |path: &str| {
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
                std::fs::write(path, "x = 1").expect("written");
            };
            put("shop/logic.py");
            put("shop/static/page.html");
            let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
            let watching = tokio::spawn(watch(Arc::new(Asked(asked)), dir.path().into(), poll));
            let mut next = async || {
                let next = tokio::time::timeout(Duration::from_secs(30), asks.recv());
                next.await.expect("it is asked for").expect("it watches")
            };
            // One that polls looks at all of it once more, at some time.
            let mut seen = Vec::new();
            let mut next = async || {
                loop {
                    let asked = next().await;
                    if poll.is_zero() || asked != "all" || !seen.contains(&asked) {
                        seen.push(asked.clone());
                        return asked;
                    }
                }
            };
            // Whatever was loaded was loaded without a watch: it may be of yesterday.
            assert_eq!(next().await, "loaded?");
            assert_eq!(next().await, "all");
            std::fs::write(dir.path().join("shop/static/page.html"), "y").expect("written");
            assert_eq!(next().await, "static shop");
            std::fs::write(dir.path().join("shop/logic.py"), "x = 2").expect("written");
            assert_eq!(next().await, "shop");
            watching.abort();
        }
    }
}
