//! The latest log lines of each plugin, for admins: what it logged and printed, what it raised, and what the
//! gateway said of it.
//!
//! Every event with a field `plugin.name` that the log's filter lets through is kept, by plugin and within a
//! number of bytes. Whoever follows holds a place in the ring and no queue: who is too slow is told how
//! many lines went by.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    fmt::{self, time::FormatTime},
    layer::Context,
};

use crate::event::Fields;
use mozaiks_config::LogConfig;

/// Bytes that a kept line counts beside its text.
const LINE_OVERHEAD: usize = 64;
/// The field that names the plugin.
const PLUGIN_NAME: &str = "plugin.name";
/// The field that names the app of a call.
const APP_ID: &str = "app.id";

/// The kept lines of all plugins.
pub struct PluginLogs {
    /// Lines are numbered anew by each process: places in another's mean nothing here.
    epoch: u64,
    limit_bytes: usize,
    // Written when a plugin logs for the first time; never held across an await.
    rings: RwLock<HashMap<String, Arc<Ring>>>,
    followers: Arc<Semaphore>,
    most_followers: usize,
    closed: AtomicBool,
    overwritten: AtomicU64,
}

struct Ring {
    // Held for a copy only.
    lines: Mutex<Lines>,
    /// The number of the next line; a change wakes who follows.
    next: watch::Sender<u64>,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<Line>,
    bytes: usize,
}

struct Line {
    number: u64,
    /// Whose call it was; lines of no call are for every admin.
    app_id: Option<Box<str>>,
    json: Arc<str>,
}

/// Why an answer of a plugin could not be used.
pub struct PluginFailure<'a> {
    /// The plugin.
    pub plugin: &'a str,
    /// The caller's app.
    pub app_id: Option<&'a str>,
    /// Which request.
    pub request_id: &'a str,
    /// `error_code` of the answer.
    pub error_code: &'a str,
    /// What is wrong with it.
    pub reason: &'a str,
}

/// Whose lines may be read.
#[derive(Debug, Clone)]
pub enum Audience {
    /// Those of an app, and those of none.
    App(Arc<str>),
    /// All.
    Everyone,
}

impl Audience {
    fn may_read(&self, line: &Line) -> bool {
        match (self, &line.app_id) {
            (Self::App(own), Some(app_id)) => **own == **app_id,
            (Self::App(_), None) | (Self::Everyone, _) => true,
        }
    }
}

/// A place in the lines of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    epoch: u64,
    number: u64,
}

impl Cursor {
    /// Reads what [`Cursor`]'s `to_string` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, number) = text.split_once('-')?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

/// Lines of a plugin, the oldest first.
#[derive(Debug)]
pub struct LogPage {
    /// JSON objects, each with its own place after it under `cursor`.
    pub lines: Vec<String>,
    /// Where what comes next will be.
    pub next: Cursor,
    /// Lines that had gone before they were read.
    pub missed: u64,
}

impl PluginLogs {
    /// Nothing yet.
    pub fn new(config: &LogConfig) -> Arc<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Arc::new(Self {
            epoch: since.map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or_default()
            }),
            limit_bytes: config.plugin_bytes,
            rings: RwLock::default(),
            followers: Arc::new(Semaphore::new(config.plugin_followers)),
            most_followers: config.plugin_followers,
            closed: AtomicBool::new(false),
            overwritten: AtomicU64::new(0),
        })
    }

    /// Keeps a line, which is a JSON object.
    fn keep(&self, plugin: &str, app_id: Option<&str>, json: &str) {
        let known = self.rings.read().get(plugin).cloned();
        let ring = known.unwrap_or_else(|| {
            let mut rings = self.rings.write();
            Arc::clone(rings.entry(plugin.to_owned()).or_insert_with(|| {
                Arc::new(Ring {
                    lines: Mutex::default(),
                    next: watch::Sender::new(0),
                })
            }))
        });
        let mut lines = ring.lines.lock();
        let number = *ring.next.borrow();
        lines.bytes += json.len() + LINE_OVERHEAD;
        lines.kept.push_back(Line {
            number,
            app_id: app_id.map(Into::into),
            json: json.into(),
        });
        while lines.bytes > self.limit_bytes && lines.kept.len() > 1 {
            if let Some(line) = lines.kept.pop_front() {
                lines.bytes -= line.json.len() + LINE_OVERHEAD;
                self.overwritten.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Under the lock, so that numbers and lines have one order.
        ring.next.send_replace(number + 1);
    }

    /// Keeps why an answer of a plugin could not be used, which the log has in the request's line.
    pub fn note_failure(&self, failure: &PluginFailure<'_>) {
        let PluginFailure {
            plugin,
            app_id,
            request_id,
            error_code,
            reason,
        } = failure;
        let mut time = String::new();
        // Writing into a String cannot fail.
        let _ = FormatTime::format_time(
            &fmt::time::SystemTime,
            &mut fmt::format::Writer::new(&mut time),
        );
        let line = json!({
            "timestamp": time,
            "level": "ERROR",
            "target": "access",
            "message": reason,
            "error.code": error_code,
            "plugin.name": plugin,
            "request.id": request_id,
            "app.id": app_id,
        });
        self.keep(plugin, *app_id, &line.to_string());
    }

    /// The latest lines of a plugin.
    pub fn latest(&self, plugin: &str, audience: &Audience, limit: usize) -> LogPage {
        let Some(ring) = self.rings.read().get(plugin).cloned() else {
            return self.page(Vec::new(), 0, 0);
        };
        let lines = ring.lines.lock();
        let readable = lines.kept.iter().rev();
        let mut found: Vec<_> = readable
            .filter(|line| audience.may_read(line))
            .take(limit)
            .map(|line| self.written(line))
            .collect();
        found.reverse();
        self.page(found, *ring.next.borrow(), 0)
    }

    /// The lines after a place, at most so many.
    pub fn since(
        &self,
        plugin: &str,
        audience: &Audience,
        cursor: Cursor,
        limit: usize,
    ) -> LogPage {
        let Some(ring) = self.rings.read().get(plugin).cloned() else {
            return self.page(Vec::new(), 0, 0);
        };
        // A place in another process's lines is before all of this one's.
        let from = if cursor.epoch == self.epoch {
            cursor.number
        } else {
            0
        };
        let lines = ring.lines.lock();
        let oldest = lines.kept.front().map_or(from, |line| line.number);
        let mut next = from.max(oldest);
        let skipped = usize::try_from(next - oldest).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for line in lines.kept.iter().skip(skipped) {
            if found.len() == limit {
                break;
            }
            next = line.number + 1;
            if audience.may_read(line) {
                found.push(self.written(line));
            }
        }
        self.page(found, next, oldest.saturating_sub(from))
    }

    fn written(&self, line: &Line) -> String {
        let cursor = Cursor {
            epoch: self.epoch,
            number: line.number + 1,
        };
        format!("{{\"cursor\":\"{cursor}\",{}", &line.json[1..])
    }

    fn page(&self, lines: Vec<String>, number: u64, missed: u64) -> LogPage {
        let epoch = self.epoch;
        LogPage {
            lines,
            next: Cursor { epoch, number },
            missed,
        }
    }

    /// A place among those who follow; `None` where all are taken.
    pub fn follow(self: &Arc<Self>, plugin: &str) -> Option<Follower> {
        let permit = Arc::clone(&self.followers).try_acquire_owned().ok()?;
        let mut rings = self.rings.write();
        let ring = rings.entry(plugin.to_owned()).or_insert_with(|| {
            Arc::new(Ring {
                lines: Mutex::default(),
                next: watch::Sender::new(0),
            })
        });
        Some(Follower {
            next: ring.next.subscribe(),
            logs: Arc::clone(self),
            _permit: permit,
        })
    }

    /// Forgets the lines of a plugin that is gone; who follows it has come to the end.
    pub fn forget(&self, plugin: &str) {
        self.rings.write().remove(plugin);
    }

    /// Ends all followers, for good.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for ring in self.rings.read().values() {
            ring.next.send_modify(|_| ());
        }
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.most_followers - self.followers.available_permits()
    }

    /// Lines that made room for newer ones.
    pub fn overwritten(&self) -> u64 {
        self.overwritten.load(Ordering::Relaxed)
    }
}

/// Waits for lines of a plugin.
pub struct Follower {
    next: watch::Receiver<u64>,
    logs: Arc<PluginLogs>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// Waits until there is something after a place; `false` where nothing will come any more.
    pub async fn wait(&mut self, cursor: Cursor) -> bool {
        let closed = &self.logs.closed;
        let news =
            (self.next).wait_for(|next| *next > cursor.number || closed.load(Ordering::Acquire));
        // An error: the plugin is gone, and its ring with it.
        news.await.is_ok() && !closed.load(Ordering::Acquire)
    }
}

/// Gives events to [`PluginLogs`].
pub(crate) struct KeepPluginLines(pub(crate) Arc<PluginLogs>);

impl<S: Subscriber> Layer<S> for KeepPluginLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().fields().field(PLUGIN_NAME).is_none() {
            return;
        }
        let fields = Fields::of(event);
        let word = |name: &str| fields.0.get(name).and_then(Value::as_str);
        if let Some(plugin) = word(PLUGIN_NAME) {
            self.0.keep(plugin, word(APP_ID), &fields.to_line(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    fn logs(bytes: usize) -> Arc<PluginLogs> {
        PluginLogs::new(&LogConfig {
            plugin_bytes: bytes,
            plugin_followers: 2,
            ..LogConfig::default()
        })
    }

    fn messages(page: &LogPage) -> Vec<String> {
        page.lines
            .iter()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["message"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn lines_are_kept_by_plugin_and_read_by_those_they_are_for() {
        let logs = logs(1 << 20);
        let subscriber = registry().with(KeepPluginLines(Arc::clone(&logs)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(plugin.name = "a", "loaded");
            tracing::info!(plugin.name = "a", app.id = "one", "first");
            tracing::info!(
                plugin.name = "a",
                app.id = "two",
                plugin.fields = "{\"n\": 1}",
                "second"
            );
            tracing::info!(plugin.name = "b", "elsewhere");
            tracing::info!("nobody's");
            tracing::info!(plugin.name = None::<&str>, "nobody's either");
        });
        let read = |audience: Audience| messages(&logs.latest("a", &audience, 10));
        assert_eq!(read(Audience::Everyone), ["loaded", "first", "second"]);
        assert_eq!(read(Audience::App("one".into())), ["loaded", "first"]);
        assert_eq!(
            messages(&logs.latest("a", &Audience::Everyone, 1)),
            ["second"]
        );
        let last = logs.latest("a", &Audience::App("two".into()), 1).lines;
        assert!(last[0].contains("\"n\":1"), "{last:?}");
        assert!(
            logs.latest("none", &Audience::Everyone, 10)
                .lines
                .is_empty()
        );
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped_and_learns_what_it_missed() {
        let logs = logs(3 * (14 + LINE_OVERHEAD));
        let keep = |number: u32| logs.keep("a", None, &format!("{{\"message\":\"{number}\"}}"));
        let everyone = Audience::Everyone;
        (0..2).for_each(keep);
        let first = logs.latest("a", &everyone, 10);
        assert_eq!(messages(&first), ["0", "1"]);
        (2..7).for_each(keep);
        assert!(logs.overwritten() > 0);
        let page = logs.since("a", &everyone, first.next, 2);
        assert_eq!(page.missed, 3, "{page:?}");
        assert_eq!(messages(&page), ["5", "6"]);
        let none = logs.since("a", &everyone, page.next, 2);
        assert_eq!(
            (none.lines.len(), none.missed, none.next),
            (0, 0, page.next)
        );
        let cursor = Cursor::parse(&page.next.to_string()).unwrap();
        assert_eq!(cursor, page.next);
        // From before a restart: everything there is.
        let other = Cursor { epoch: 1, ..cursor };
        assert_eq!(messages(&logs.since("a", &everyone, other, 10)), ["5", "6"]);
        for wrong in ["", "1", "a-b", "1-2-3", "-1-1"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn who_follows_wakes_for_a_line_and_ends_with_the_plugin_or_the_gateway() {
        let logs = logs(1 << 20);
        let start = logs.latest("a", &Audience::Everyone, 0).next;
        let mut follower = logs.follow("a").unwrap();
        let idle = tokio::time::timeout(Duration::from_millis(5), follower.wait(start));
        assert!(idle.await.is_err());
        logs.keep("a", None, "{\"message\":\"1\"}");
        assert!(follower.wait(start).await);
        let other = logs.follow("b").unwrap();
        assert_eq!(logs.followers(), 2);
        assert!(logs.follow("a").is_none(), "there are too many");
        drop(other);
        let next = logs.latest("a", &Audience::Everyone, 0).next;
        logs.forget("a");
        assert!(!follower.wait(next).await, "its plugin is gone");
        let mut last = logs.follow("a").unwrap();
        logs.close();
        assert!(!last.wait(next).await);
    }
}
