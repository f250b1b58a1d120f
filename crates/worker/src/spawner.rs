//! Makes workers, and keeps one that stands ready with its interpreter, so that a new one takes the time
//! of an import.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Child,
    sync::{Arc, mpsc},
    time::Duration,
};

use mozaiks_config::PluginsConfig;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    sync::oneshot,
};

use crate::{
    cgroups::Groups,
    confine::{Confinement, Enforced},
    database_use::DatabaseUse,
    frame::{Preparation, ToGateway, ToWorker},
    link::{Incoming, NotSent, Outgoing},
    process::{self, Output, Process},
    sampler::Watched,
};

/// Longest line of a worker's standard streams.
const MAX_LINE_BYTES: u64 = 16 * 1024;

/// Bytes of the largest thing that a plugin may ask of the gateway: some documents of the largest size.
const LONGEST_REQUEST: usize = 64 << 20;

/// Makes workers.
pub struct Spawner {
    preparation: Preparation,
    /// How long a worker may take until it can load plugins.
    start_timeout: Duration,
    /// Bytes that may wait for one worker.
    queue_bytes: usize,
    keep_spare: bool,
    /// Bytes of one frame of a worker's, which could make the gateway hold them.
    longest_answer: usize,
    /// To the thread that makes processes.
    jobs: mpsc::Sender<Job>,
    spare: Mutex<Option<Fresh>>,
    database: Arc<DatabaseUse>,
    /// Where the kernel keeps limits by itself; else why it does not.
    groups: Result<Groups, String>,
}

struct Job {
    link: OwnedFd,
    made: oneshot::Sender<io::Result<Child>>,
}

/// A worker whose interpreter stands, and that has run nothing yet.
pub(crate) struct Fresh {
    process: Arc<Process>,
    outgoing: Unused,
    incoming: Incoming,
    database: Arc<DatabaseUse>,
}

/// The way to a worker that nobody has taken yet; its writer ends with it.
struct Unused(Option<Arc<Outgoing>>);

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(outgoing) = &self.0 {
            outgoing.close();
        }
    }
}

impl Fresh {
    /// The process, the way out and the way in; `None` never, as it is taken once.
    pub(crate) fn into_parts(mut self) -> Option<(Arc<Process>, Arc<Outgoing>, Incoming)> {
        Some((self.process, self.outgoing.0.take()?, self.incoming))
    }

    /// Where its maker learns that the database is asked for.
    pub(crate) fn database(&self) -> Arc<DatabaseUse> {
        Arc::clone(&self.database)
    }

    fn send(&self, frame: &ToWorker) -> Result<(), String> {
        let sent =
            (self.outgoing.0.as_ref()).map_or(Err(NotSent::Closed), |to| to.push_owed(frame));
        sent.map_err(|error| format!("nothing can be sent to it: {error:?}"))
    }
}

impl Spawner {
    /// A maker of workers whose runtimes follow `config`.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn new(
        config: &PluginsConfig,
        log_filter: &str,
        start_timeout: Duration,
        queue_bytes: usize,
        keep_spare: bool,
    ) -> io::Result<Arc<Self>> {
        let (jobs, todo) = mpsc::channel::<Job>();
        // A child is told when the thread ends that has made it: this one ends with the process.
        std::thread::Builder::new()
            .name("mozaiks-spawner".into())
            .spawn(move || {
                for Job { link, made } in todo {
                    // A child that nobody waits for is killed by its link's end.
                    made.send(process::spawn(link)).ok();
                }
            })?;
        let groups = Groups::of_process();
        match &groups {
            Ok(groups) => tracing::info!(?groups, "worker.cgroups"),
            Err(why) => tracing::info!(why, "worker.no_cgroups"),
        }
        let database = Arc::<DatabaseUse>::default();
        let spawner = Arc::new(Self {
            groups,
            preparation: Preparation::new(config, log_filter),
            start_timeout,
            queue_bytes,
            keep_spare,
            longest_answer: config.max_output_bytes.saturating_add(LONGEST_REQUEST),
            jobs,
            spare: Mutex::default(),
            database: Arc::clone(&database),
        });
        if keep_spare {
            // The one that stands ready by then has not imported what that needs.
            let spawner = Arc::downgrade(&spawner);
            tokio::spawn(async move {
                database.first().await;
                if let Some(spawner) = spawner.upgrade() {
                    spawner.replace_spare().await;
                }
            });
        }
        Ok(spawner)
    }

    /// A worker confined as said, ready for plugins, with what its kernel enforces.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn make(
        self: &Arc<Self>,
        confinement: &Confinement,
        limits: &Watched,
    ) -> Result<(Fresh, Vec<Enforced>), String> {
        let spare = self.spare.lock().take();
        let fresh = match spare {
            Some(spare) => spare,
            None => self.limited(self.prepare()).await?,
        };
        if self.keep_spare {
            let spawner = Arc::clone(self);
            tokio::spawn(async move { spawner.fill_spare().await });
        }
        // Before anything of a plugin runs in it.
        let kept = self.join_group(&fresh, confinement, limits);
        let (fresh, mut enforced) = self.limited(assign(fresh, confinement)).await?;
        // What the kernel keeps goes before what is looked at.
        enforced.retain(|each| kept.iter().all(|kept| kept.name != each.name));
        enforced.extend(kept);
        Ok((fresh, enforced))
    }

    fn join_group(
        &self,
        fresh: &Fresh,
        confinement: &Confinement,
        limits: &Watched,
    ) -> Vec<Enforced> {
        let groups = match &self.groups {
            Ok(groups) if confinement.wall => groups,
            _ => return Vec::new(),
        };
        let pid = fresh.process.pid();
        match groups.confine(pid, limits, confinement.writable.as_deref()) {
            Ok(group) => {
                let enforced = group.enforced().collect();
                fresh.process.join(group);
                enforced
            }
            Err(error) => {
                tracing::warn!(worker.pid = pid, %error, "worker.no_cgroup");
                Vec::new()
            }
        }
    }

    /// Makes the spare, where there is none.
    async fn fill_spare(&self) {
        if self.spare.lock().is_none() {
            self.replace_spare().await;
        }
    }

    async fn replace_spare(&self) {
        match self.limited(self.prepare()).await {
            Ok(fresh) => {
                let old = self.spare.lock().replace(fresh);
                // Dropped, and so killed, outside the lock.
                drop(old);
            }
            Err(error) => tracing::warn!(error, "worker.no_spare"),
        }
    }

    async fn limited<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        match tokio::time::timeout(self.start_timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(format!(
                "it was not ready within {} s",
                self.start_timeout.as_secs_f64()
            )),
        }
    }

    async fn prepare(&self) -> Result<Fresh, String> {
        let failed = |error: io::Error| format!("no process: {error}");
        let (mine, theirs) = UnixStream::pair().map_err(failed)?;
        mine.set_nonblocking(true).map_err(failed)?;
        let mine = tokio::net::UnixStream::from_std(mine).map_err(failed)?;
        let (made, child) = oneshot::channel();
        let job = Job {
            link: theirs.into(),
            made,
        };
        let sent = self.jobs.send(job);
        sent.map_err(|_| "no thread makes processes".to_owned())?;
        let child = child
            .await
            .map_err(|_| "no thread makes processes".to_owned())?
            .map_err(failed)?;
        let (process, output) = Process::new(child).map_err(failed)?;
        log_output(process.pid(), output);
        let (reading, writing) = mine.into_split();
        let outgoing = Outgoing::new(self.queue_bytes);
        let writer = Arc::clone(&outgoing);
        tokio::spawn(async move { writer.drive(writing).await });
        let mut fresh = Fresh {
            process: Arc::new(process),
            outgoing: Unused(Some(outgoing)),
            incoming: Incoming::new(reading, self.longest_answer),
            database: Arc::clone(&self.database),
        };
        let mut preparation = self.preparation.clone();
        preparation.database = self.database.is_asked();
        fresh.send(&ToWorker::Prepare(Box::new(preparation)))?;
        match receive(&mut fresh).await? {
            ToGateway::Prepared(Ok(())) => Ok(fresh),
            ToGateway::Prepared(Err(error)) => Err(error),
            _ => Err("it began with something else".into()),
        }
    }
}

async fn assign(
    mut fresh: Fresh,
    confinement: &Confinement,
) -> Result<(Fresh, Vec<Enforced>), String> {
    fresh.send(&ToWorker::Assign(Box::new(confinement.clone())))?;
    match receive(&mut fresh).await? {
        ToGateway::Ready(enforced) => Ok((fresh, enforced?)),
        _ => Err("it began with something else".into()),
    }
}

/// Before a worker is ready it says one thing at a time.
async fn receive(fresh: &mut Fresh) -> Result<ToGateway, String> {
    let mut frames = Vec::new();
    match fresh.incoming.next(&mut frames).await {
        Ok(Some(())) if frames.len() == 1 => frames.pop().ok_or_else(String::new),
        Ok(Some(())) => Err("it said more than was asked".into()),
        Ok(None) => Err(format!("it has ended: {}", fresh.process.ended().await)),
        Err(error) => Err(error.to_string()),
    }
}

/// What code in C prints, and what Rust says when it panics.
fn log_output(pid: u32, (stdout, stderr): Output) {
    let stdout = stdout.map(tokio::process::ChildStdout::from_std);
    if let Some(Ok(stdout)) = stdout {
        tokio::spawn(log_lines(pid, stdout));
    }
    let stderr = stderr.map(tokio::process::ChildStderr::from_std);
    if let Some(Ok(stderr)) = stderr {
        tokio::spawn(log_lines(pid, stderr));
    }
}

async fn log_lines(pid: u32, stream: impl AsyncRead + Unpin) {
    use tokio::io::AsyncReadExt as _;

    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(MAX_LINE_BYTES);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                tracing::warn!(worker.pid = pid, line = text.trim_end(), "worker.output");
            }
        }
    }
}
