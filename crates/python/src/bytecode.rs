//! Fills the cache of plugins' bytecode: a process that only compiles, and runs no line of a plugin.
//!
//! It is a process of its own, so that no source can hold the interpreter of all or end the gateway; and
//! the only one that writes the cache, so that no plugin can leave there what another process runs.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use mozaiks_plugins::{bytecode::BytecodeCache, tree};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command, sync::mpsc};

use crate::interpreter;

/// What the process runs; the interpreter reads by the same file.
const SOURCE: &str = include_str!("bytecode.py");
/// Plugins that may wait; what finds no room is compiled after its next load.
const MAX_WAITING: usize = 4096;
/// Of these, in one process.
const AT_A_TIME: usize = 64;
/// Modules of one plugin.
const MAX_MODULES: usize = 2048;
/// A process that takes longer is ended, and what it has written stays.
const LONGEST: Duration = Duration::from_secs(120);

struct Wanted {
    dir: PathBuf,
    folder: PathBuf,
}

/// Fills the cache after loads that have found something missing.
pub struct BytecodeFiller {
    wanted: mpsc::Sender<Wanted>,
}

impl BytecodeFiller {
    /// Fills the folders below `root`, which keep at most so many bytes. Inside tokio, after the
    /// interpreter's start.
    pub fn start(root: PathBuf, most_bytes: usize) -> Arc<Self> {
        let (wanted, waiting) = mpsc::channel(MAX_WAITING);
        tokio::spawn(run(waiting, root, most_bytes));
        Arc::new(Self { wanted })
    }
}

impl BytecodeCache for BytecodeFiller {
    fn fill(&self, dir: &Path, folder: &Path) {
        let (dir, folder) = (dir.to_owned(), folder.to_owned());
        self.wanted.try_send(Wanted { dir, folder }).ok();
    }
}

async fn run(mut waiting: mpsc::Receiver<Wanted>, root: PathBuf, most_bytes: usize) {
    let mut batch = Vec::with_capacity(AT_A_TIME);
    while waiting.recv_many(&mut batch, AT_A_TIME).await > 0 {
        let mut input = json!({ "root": root, "bytes": most_bytes }).to_string();
        let plugins = std::mem::take(&mut batch);
        let lines = tokio::task::spawn_blocking(move || {
            plugins.iter().filter_map(line).collect::<String>()
        });
        input.push_str(&lines.await.unwrap_or_default());
        match tokio::time::timeout(LONGEST, compile(&input)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "plugins.bytecode_not_kept"),
            Err(_) => tracing::warn!("plugins.bytecode_not_kept: it takes too long"),
        }
    }
}

/// What the process is told of a plugin; nothing of one whose files cannot be listed, or named in JSON.
fn line(wanted: &Wanted) -> Option<String> {
    let files = tree::files(&wanted.dir).ok()??;
    let modules: Vec<&str> = (files.iter())
        .filter(|file| file.extension().is_some_and(|ending| ending == "py"))
        .filter_map(|file| file.to_str())
        .take(MAX_MODULES)
        .collect();
    let (directory, folder) = (wanted.dir.to_str()?, wanted.folder.to_str()?);
    let line = json!({ "directory": directory, "folder": folder, "files": modules });
    Some(format!("\n{line}"))
}

async fn compile(input: &str) -> Result<(), String> {
    let executable = interpreter::running_executable().ok_or("there is no interpreter")?;
    let script = format!("{SOURCE}\n\nmain()\n");
    let mut child = Command::new(executable)
        .args(["-I", "-S", "-B", "-c", &script])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", executable.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let written = stdin.write_all(input.as_bytes()).await;
        written.map_err(|error| format!("it does not listen: {error}"))?;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the compiling process ended with {status}"))
    }
}
