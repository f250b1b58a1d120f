//! The embedded store's process: started with the gateway, watched, and started again when it dies.
//!
//! A process of its own, so that neither can take the other along: what was acknowledged is in its files.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use mozaiks_config::{LogConfig, LogFormat};
use mozaiks_worker::program;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinHandle,
};

/// What the process prints once clients can connect.
pub const READY: &str = "ready";
/// Opening what a power cut has left may take its time.
const START: Duration = Duration::from_secs(120);
/// How long the process of a gateway that was killed may still have the files.
const FILES_FREE: Duration = Duration::from_secs(10);
/// Between two looks at that, and the first wait after a death.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest wait between two starts that fail.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A process that lived for so long did not die of its start.
const SETTLED: Duration = Duration::from_secs(10);
/// How long it may take to end in order.
const END: Duration = Duration::from_secs(20);

/// The process, with the task that watches it.
pub(super) struct Embedded {
    stop: watch::Sender<bool>,
    watching: JoinHandle<()>,
}

/// What a store's process is started with.
#[derive(Clone)]
struct Start {
    path: PathBuf,
    socket: PathBuf,
    log: LogConfig,
}

impl Embedded {
    /// Starts the process over these files, listening on this socket.
    ///
    /// # Errors
    /// Where it does not get ready; it has said why in the log.
    pub(super) async fn start(path: &Path, socket: &Path, log: &LogConfig) -> anyhow::Result<Self> {
        let start = Start {
            path: path.to_owned(),
            socket: socket.to_owned(),
            log: log.clone(),
        };
        let until = Instant::now() + FILES_FREE;
        let child = loop {
            match start.process().await {
                Ok(child) => break child,
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        };
        let (stop, stopped) = watch::channel(false);
        let watching = tokio::spawn(watch_over(start, child, stopped));
        Ok(Self { stop, watching })
    }

    /// Ends it in order.
    pub(super) async fn shutdown(self) {
        self.stop.send_replace(true);
        // Its end is bounded in `watch_over`.
        drop(self.watching.await);
    }
}

impl Start {
    /// The process, and its input, whose end is the sign for its own.
    async fn process(&self) -> anyhow::Result<(Child, ChildStdin)> {
        let format = match self.log.format {
            LogFormat::Json => "json",
            LogFormat::Pretty => "pretty",
        };
        let mut child = Command::from(program::command("store"))
            .arg(&self.path)
            .arg(&self.socket)
            .args(["--log-filter", &self.log.filter, "--log-format", format])
            // It ends when this does: with the gateway, however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("the embedded store's process cannot be started")?;
        // Taken: waiting for a child closes what input it still has.
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the embedded store has no pipes");
        };
        let mut lines = BufReader::new(stdout).lines();
        match tokio::time::timeout(START, lines.next_line()).await {
            Ok(Ok(Some(line))) if line == READY => Ok((child, stdin)),
            Ok(_) => {
                let status = child.wait().await.context("the embedded store")?;
                bail!("the embedded store has ended while it started: {status}")
            }
            Err(_) => bail!(
                "the embedded store is not ready after {} s",
                START.as_secs()
            ),
        }
    }
}

async fn watch_over(
    start: Start,
    (mut child, mut input): (Child, ChildStdin),
    mut stopped: watch::Receiver<bool>,
) {
    let mut wait = AGAIN;
    let mut since = Instant::now();
    loop {
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = until_stopped(&mut stopped) => return end(child, input).await,
        };
        tracing::error!(status = ?ended.map(|status| status.to_string()), "store.died");
        if since.elapsed() >= SETTLED {
            wait = AGAIN;
        }
        (child, input) = loop {
            // Also before the first: one that dies again and again is not to be all that happens.
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                () = until_stopped(&mut stopped) => return,
            }
            match start.process().await {
                Ok(child) => break child,
                Err(error) => tracing::error!(%error, "store.not_started"),
            }
        };
        since = Instant::now();
        tracing::warn!(pid = child.id(), "store.started_again");
    }
}

async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    // Whoever drops the other end wants it stopped too.
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn end(mut child: Child, input: ChildStdin) {
    drop(input);
    if tokio::time::timeout(END, child.wait()).await.is_err() {
        tracing::warn!("the embedded store did not end in time");
        child.kill().await.ok();
    }
}
