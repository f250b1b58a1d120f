//! Looks at source of stored plugins: a process that compiles, and runs no line of it.
//!
//! It is a process of its own, with a limit of time and memory, so that no source can hold the interpreter
//! of all or end the gateway.

use std::{process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use mozaiks_plugins::source_check::{Checked, Problem, SourceCheck};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::Semaphore,
};

use crate::interpreter;

/// What the process runs.
const SOURCE: &str = include_str!("source_check.py");
/// Processes at a time; whoever comes later waits.
const AT_A_TIME: usize = 4;
/// A process that takes longer is ended.
const LONGEST: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// Starts a process for each look.
pub struct SourceChecker {
    turns: Semaphore,
}

impl SourceChecker {
    /// After the interpreter's start: the process runs the same one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Semaphore::new(AT_A_TIME),
        })
    }
}

impl SourceCheck for SourceChecker {
    fn check<'a>(&'a self, files: Vec<(String, Bytes)>, packages: Vec<String>) -> Checked<'a> {
        Box::pin(async move {
            let (mut sources, mut others) = (Map::new(), Vec::new());
            let mut problems = Vec::new();
            for (path, content) in files {
                if !path.ends_with(".py") {
                    others.push(path);
                    continue;
                }
                match std::str::from_utf8(&content) {
                    Ok(text) => drop(sources.insert(path, Value::from(text))),
                    Err(_) => problems.push(Problem {
                        file: path,
                        line: None,
                        message: "it is not UTF-8".into(),
                    }),
                }
            }
            if sources.is_empty() {
                return Ok(problems);
            }
            // Never closed, so there is always a turn to come.
            let _turn = self.turns.acquire().await;
            let asked = json!({ "files": sources, "others": others, "packages": packages });
            let looked = tokio::time::timeout(LONGEST, look(&asked.to_string())).await;
            let found = looked.map_err(|_| "looking at the source takes too long".to_owned())??;
            problems.extend(found);
            Ok(problems)
        })
    }
}

async fn look(input: &str) -> Result<Vec<Problem>, String> {
    let executable = interpreter::running_executable().ok_or("there is no interpreter")?;
    let script = format!("{SOURCE}\n\nmain()\n");
    let mut child = Command::new(executable)
        .args(["-I", "-S", "-B", "-c", &script])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", executable.display()))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err("it has no pipes".into());
    };
    stdin
        .write_all(input.as_bytes())
        .await
        .map_err(|error| format!("it does not listen: {error}"))?;
    drop(stdin);
    let mut answer = Vec::new();
    let mut stdout = stdout.take(MAX_ANSWER_BYTES);
    stdout
        .read_to_end(&mut answer)
        .await
        .map_err(|error| format!("it cannot be heard: {error}"))?;
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!(
            "the source is more than can be looked at ({status})"
        ));
    }
    serde_json::from_slice(&answer).map_err(|error| format!("it said nonsense: {error}"))
}
