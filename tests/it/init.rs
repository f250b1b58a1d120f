//! `mozaiks init`: from an empty folder to an answer, and what a gateway in development mode says to try.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{
    plugin_commands::{failed, mozaiks, printed},
    support::within,
};

const LIMIT: Duration = Duration::from_secs(120);

/// The command, in a folder.
fn inside(dir: &Path, args: &[&str]) -> Command {
    let mut command = mozaiks(args);
    command.current_dir(dir);
    command
}

async fn init(dir: &Path, more: &[&str]) -> String {
    printed(inside(dir, &[&["init", "my_app"], more].concat())).await
}

/// A gateway in development mode in that folder, and the lines with which it invites.
async fn invited(dir: &Path, more: &[&str]) -> (Child, Vec<String>) {
    let args = ["serve", "--dev", "--listen", "127.0.0.1:0"];
    let mut gateway = inside(dir, &[&args, more].concat())
        .env("MOZAIKS_PLUGIN_START_WAIT_SECONDS", "60")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let mut found = Vec::new();
    within(LIMIT, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the gateway runs");
            if line.starts_with("try it: ") || line.starts_with("open it: ") {
                found.push(line);
            } else if line.contains("\"ready\"") {
                return;
            }
        }
    })
    .await;
    // What it says from here on is read, so that it is never held up.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (gateway, found)
}

/// What the command of a `try it:` line answers, with its status.
async fn tried(line: &str, home: &Path) -> (u16, Value) {
    let command = line.strip_prefix("try it: ").expect("it says what to try");
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{command} -w '\\n%{{http_code}}'"))
        .env("HOME", home)
        .env_remove("http_proxy");
    let output = within(LIMIT, shell.output()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (
        status.parse().unwrap(),
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

#[tokio::test]
async fn a_new_app_is_served_and_tested_at_once() {
    let dir = TempDir::new().unwrap();
    let said = init(dir.path(), &[]).await;
    let app = dir.path().join("my_app");
    for file in [
        ".gitignore",
        "README.md",
        "compose.yaml",
        "mozaiks.toml",
        "plugins/hello/__init__.py",
        "plugins/hello/logic.py",
        "plugins/hello/plugin.json",
        "plugins/hello/tests/test_plugin.py",
    ] {
        let text = std::fs::read_to_string(app.join(file)).unwrap();
        assert!(!text.contains("{{"), "{file}: {text}");
    }
    for line in [
        "made my_app",
        "enter it: cd my_app",
        "try it: mozaiks serve --dev",
        "test it: mozaiks plugin test plugins/hello",
    ] {
        assert!(said.lines().any(|each| each == line), "{said}");
    }
    let readme = std::fs::read_to_string(app.join("README.md")).unwrap();
    assert!(readme.starts_with("# my_app\n"), "{readme}");

    let (mut gateway, lines) = invited(&app, &[]).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("/api/execute/hello "), "{lines:?}");
    let (status, body) = tried(&lines[0], dir.path()).await;
    assert_eq!((status, &body["message"]), (200, &"Hello, dev!".into()));
    gateway.kill().await.unwrap();
    let tested = printed(inside(&app, &["plugin", "test", "plugins/hello"])).await;
    assert!(tested.contains(" passed"), "{tested}");
    let listed = printed(inside(&app, &["plugin", "list"])).await;
    assert!(listed.starts_with("hello  0.1.0  "), "{listed}");
}

#[tokio::test]
async fn what_is_there_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let app = dir.path().join("my_app");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("diary.txt"), "mine").unwrap();
    let (code, said) = failed(inside(dir.path(), &["init", "my_app"])).await;
    assert_eq!(code, Some(2));
    assert!(
        said.contains("my_app is not empty") && said.contains("diary.txt"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(&app).unwrap().count(), 1);
    let (code, said) = failed(inside(dir.path(), &["init", "my_app/diary.txt"])).await;
    assert!(
        code == Some(2) && said.contains("diary.txt is a file"),
        "{said}"
    );
    assert_eq!(
        std::fs::read_to_string(app.join("diary.txt")).unwrap(),
        "mine"
    );

    // An empty folder is taken, also the one that one is in.
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = printed(inside(&empty, &["init", "."])).await;
    assert!(!said.contains("cd "), "{said}");
    let readme = std::fs::read_to_string(empty.join("README.md")).unwrap();
    assert!(readme.starts_with("# empty\n"), "{readme}");
}

/// Every setting that the compose file and the settings name is one, and what is mounted is there.
#[tokio::test]
async fn the_files_beside_the_plugin_name_what_exists() {
    let dir = TempDir::new().unwrap();
    init(dir.path(), &[]).await;
    let app = dir.path().join("my_app");
    let known = printed(mozaiks(&["config", "--markdown"])).await;
    let compose = std::fs::read_to_string(app.join("compose.yaml")).unwrap();
    let mut named = 0;
    for line in compose.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(':')
            && name.starts_with("MOZAIKS_")
        {
            assert!(known.contains(&format!("`{name}`")), "{name}");
            named += 1;
        }
        if let Some(mounted) = line.strip_prefix("- ./") {
            let (path, _) = mounted.split_once(':').unwrap();
            assert!(app.join(path).exists(), "{path}");
            named += 1;
        }
    }
    assert_eq!(named, 5, "{compose}");
    // The settings with their remarks taken off are settings too.
    let settings = std::fs::read_to_string(app.join("mozaiks.toml")).unwrap();
    let all: String = settings
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .filter(|line| line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(app.join("mozaiks.toml"), all).unwrap();
    let shown = printed(inside(&app, &["config"])).await;
    for key in [
        "plugins_path",
        "listen",
        "database_uri",
        "oidc_issuer",
        "audience",
    ] {
        let mut lines = shown.lines();
        let found = lines.any(|line| line.starts_with(key) && line.ends_with(" mozaiks.toml"));
        assert!(found, "{key}: {shown}");
    }
}

#[tokio::test]
async fn what_is_said_to_be_tried_is_there() {
    let dir = TempDir::new().unwrap();
    // No `execute`, but routes: one of them that needs nothing.
    init(dir.path(), &["--template", "crud"]).await;
    let app = dir.path().join("my_app");
    let (mut gateway, lines) = invited(&app, &[]).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("/api/plugins/hello/items "), "{lines:?}");
    let (status, body) = tried(&lines[0], dir.path()).await;
    assert_eq!((status, &body["count"]), (200, &0.into()), "{body}");
    gateway.kill().await.unwrap();

    // Another name; one that was begun by hand; a page.
    let plugins = dir.path().join("others");
    let folder = plugins.to_str().unwrap().to_owned();
    let more = ["--plugins", folder.as_str(), "--data-dir", "other"];
    printed(inside(
        &app,
        &["plugin", "new", "zebra", "--plugins", folder.as_str()],
    ))
    .await;
    let (mut gateway, lines) = invited(&app, &more).await;
    assert!(lines[0].contains("/api/execute/zebra "), "{lines:?}");
    assert_eq!(tried(&lines[0], dir.path()).await.0, 200);
    gateway.kill().await.unwrap();
    let own = plugins.join("ant");
    std::fs::create_dir_all(own.join("static")).unwrap();
    std::fs::write(own.join("__init__.py"), "").unwrap();
    std::fs::write(
        own.join("logic.py"),
        "def execute(data):\n    return {'keys': len(data)}\n",
    )
    .unwrap();
    std::fs::write(own.join("static/index.html"), "<p>ants</p>").unwrap();
    let (mut gateway, lines) = invited(&app, &more).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("/api/execute/ant "), "{lines:?}");
    assert!(lines[0].ends_with("-d '{}'"), "{lines:?}");
    assert_eq!(tried(&lines[0], dir.path()).await.0, 200);
    assert!(lines[1].contains("/demo/ant/#token="), "{lines:?}");
    gateway.kill().await.unwrap();

    // Nothing that works: nothing to try.
    std::fs::remove_dir_all(plugins.join("zebra")).unwrap();
    std::fs::write(own.join("logic.py"), "import nothing_there\n").unwrap();
    let (mut gateway, lines) = invited(&app, &more).await;
    assert!(
        lines.iter().all(|line| line.starts_with("open it: ")),
        "{lines:?}"
    );
    gateway.kill().await.unwrap();
}
