//! Walks through a page.

use std::{path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
};

use super::{
    How,
    blocks::{Shown, commands},
    how,
    shell::Shell,
};
use crate::support::{DocstoreProcess, program, python, within};

/// The longest that one command may take.
pub const LIMIT: Duration = Duration::from_secs(120);
/// How the documents name a gateway on this machine.
const SHOWN_GATEWAYS: [&str; 2] = ["http://127.0.0.1:8000", "http://localhost:8000"];
/// A token that is cut.
const SHOWN_TOKEN: &str = "eyJ0…";
/// A database on this machine.
const SHOWN_DATABASE: &str = "mongodb://localhost/client";

/// Where a page's reader begins.
pub enum Begins {
    /// In an empty folder.
    Empty,
    /// In one with plugins where the gateway looks for them.
    With(fn(&Path)),
    /// There, with a gateway in development mode.
    Served(fn(&Path)),
    /// In an app that has just been made.
    App,
}

/// A gateway that the page has started.
struct Gateway {
    child: Child,
    address: String,
    said: String,
}

/// Runs every command of a page, but for those that are excused.
pub async fn walk(page: &str, begins: Begins) {
    let folder = TempDir::new().unwrap();
    let environment = environment(folder.path());
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let mut shell = Shell::start(&work, &environment).await;
    let (mut gateway, mut database) = (None, None);
    match begins {
        Begins::Empty => {}
        Begins::With(plugins) => plugins(&work),
        Begins::Served(plugins) => {
            plugins(&work);
            gateway = Some(serve("mozaiks serve --dev", &mut shell, &environment).await);
        }
        Begins::App => drop(shell.succeeds("mozaiks init my_app && cd my_app").await),
    }
    for Shown { command, output } in commands(page) {
        let mut status = None;
        let command = match how(page, &command) {
            Some(How::In(_) | How::Elsewhere(_)) => continue,
            Some(How::As(other, _)) => (*other).to_owned(),
            Some(How::Answers(wanted)) => {
                status = Some(*wanted);
                format!("{command} -w '\\n%{{http_code}}'")
            }
            None => command,
        };
        if command.starts_with("mozaiks serve") {
            // Its data directory is one gateway's at a time.
            if let Some(mut before) = gateway.take() {
                before.child.kill().await.unwrap();
            }
            let started = serve(&command, &mut shell, &environment).await;
            is_said(
                page,
                &command,
                &output,
                &started.said,
                Some(&started.address),
            );
            gateway = Some(started);
            continue;
        }
        if command.contains(SHOWN_DATABASE) && database.is_none() {
            database = Some(DocstoreProcess::start().await);
        }
        let mut real = command.clone();
        if let Some(gateway) = &gateway {
            for shown in SHOWN_GATEWAYS {
                real = real.replace(shown, &gateway.address);
            }
        }
        if let Some(database) = &database {
            let uri = database.uri().replace("/?", "/client?");
            real = real.replace(SHOWN_DATABASE, &format!("'{uri}'"));
        }
        if real.contains(SHOWN_TOKEN) {
            let token = shell
                .succeeds("mozaiks token --dev --user dev 2>/dev/null")
                .await;
            real = real.replace(SHOWN_TOKEN, token.trim());
        }
        let (code, said) = shell.run(&real).await;
        match status {
            Some(status) => assert!(said.ends_with(status), "{page}: {real}\n{said}"),
            None => assert_eq!(code, 0, "{page}: {real}\n{said}"),
        }
        let address = gateway.as_ref().map(|gateway| &*gateway.address);
        is_said(page, &command, &output, &said, address);
    }
}

/// The shown lines are among those that are said; `…` stands for anything.
fn is_said(page: &str, command: &str, shown: &[String], said: &str, address: Option<&str>) {
    for line in shown {
        let mut wanted = line.clone();
        for gateway in SHOWN_GATEWAYS {
            wanted = wanted.replace(gateway, address.unwrap_or(gateway));
        }
        let found = said.lines().any(|line| {
            let mut rest = line;
            wanted.split('…').all(|piece| {
                let at = rest.find(piece);
                rest = at.map_or("", |at| &rest[at + piece.len()..]);
                at.is_some()
            })
        });
        assert!(found, "{page}: {command} does not print {wanted}\n{said}");
    }
}

/// As a reader's shell: the programs are on the path, and Python has what plugins import.
fn environment(folder: &Path) -> Vec<(String, String)> {
    let programs = folder.join("programs");
    std::fs::create_dir(&programs).unwrap();
    let docstore = program().with_file_name("docstore");
    for (name, program) in [("mozaiks", program()), ("docstore", docstore)] {
        std::os::unix::fs::symlink(program, programs.join(name)).unwrap();
    }
    let python = python().expect("there is a .venv in the repository");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut path: Vec<_> = std::env::split_paths(&path).collect();
    path.insert(0, python.parent().unwrap().to_owned());
    path.insert(0, programs);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    [
        (
            "PATH",
            std::env::join_paths(path).unwrap().into_string().unwrap(),
        ),
        ("HOME", text(folder)),
        ("MOZAIKS_PYTHON", text(&python)),
        (
            "MOZAIKS_SDK_PATH",
            concat!(env!("CARGO_MANIFEST_DIR"), "/python-sdk").to_owned(),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Starts a gateway as the page says, on a free port, in the shell's folder; tells the shell where it is.
async fn serve(command: &str, shell: &mut Shell, environment: &[(String, String)]) -> Gateway {
    let folder = shell.succeeds("pwd").await;
    let (command, _comment) = command.split_once(" #").unwrap_or((command, ""));
    let arguments = command.strip_prefix("mozaiks ").unwrap();
    let mut child = Command::new(program())
        .args(arguments.split_whitespace())
        .args(["--listen", "127.0.0.1:0"])
        .env_clear()
        .envs(environment.iter().cloned())
        .env("MOZAIKS_PLUGIN_IMPORT_TIMEOUT_SECONDS", "60")
        .env("MOZAIKS_PLUGIN_START_WAIT_SECONDS", "60")
        .current_dir(folder.trim())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listening = until(child.stdout.take().unwrap(), "listening on ").await;
    let log = until(child.stderr.take().unwrap(), "\"ready\"").await;
    let address = listening.trim().strip_prefix("listening on ").unwrap();
    shell
        .succeeds(&format!("export MOZAIKS_URL={address}"))
        .await;
    Gateway {
        child,
        address: address.to_owned(),
        said: format!("{listening}{log}"),
    }
}

/// What is written until a line holds `wanted`; the rest is read, so that the writer is not held up.
async fn until(stream: impl AsyncRead + Unpin + Send + 'static, wanted: &str) -> String {
    let mut lines = BufReader::new(stream).lines();
    let mut said = String::new();
    within(LIMIT, async {
        while !said.contains(wanted) {
            let line = lines.next_line().await.unwrap();
            said += &line.unwrap_or_else(|| panic!("the gateway ended: {said}"));
            said.push('\n');
        }
    })
    .await;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    said
}
