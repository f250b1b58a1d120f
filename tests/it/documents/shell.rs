//! One shell for a page: what a command leaves (its folder, its variables) is there for the next.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::page::LIMIT;
use crate::support::within;

/// Begins the line that ends a command's output.
const MARK: char = '\u{1}';

/// A shell that is told commands.
pub struct Shell {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    /// Starts one in a folder.
    pub async fn start(folder: &Path, environment: &[(String, String)]) -> Self {
        let mut child = Command::new("bash")
            .args(["--norc", "--noprofile"])
            .env_clear()
            .envs(environment.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut shell = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        };
        // An answer that is an error is one.
        shell
            .succeeds(
                "exec 2>&1; curl() { command curl --fail-with-body --no-progress-meter \"$@\"; }",
            )
            .await;
        shell
    }

    /// Runs a command; gives its exit code and all that it says.
    pub async fn run(&mut self, command: &str) -> (i32, String) {
        // In this shell, with nothing to read.
        let line = format!("{{ {command}\n}} </dev/null\nprintf '\\n\\001%s\\n' \"$?\"\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let code = within(LIMIT, async {
            loop {
                let line = self.output.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("{command} ended the shell: {said:?}"));
                match line.strip_prefix(MARK) {
                    Some(code) => return code.parse().unwrap(),
                    None => said.push(line),
                }
            }
        })
        .await;
        // The line before the mark is its own.
        if said.last().is_some_and(String::is_empty) {
            said.pop();
        }
        (code, said.join("\n"))
    }

    /// What a command says that must succeed.
    pub async fn succeeds(&mut self, command: &str) -> String {
        let (code, said) = self.run(command).await;
        assert_eq!(code, 0, "{command}\n{said}");
        said
    }
}
