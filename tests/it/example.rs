//! The example plugin as it is shipped: every line of `curl` that its documents show, and what else it does.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    data::with_sdk,
    realtime::Socket,
    support::{Answer, TestApp, within},
};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "example_plugin";

async fn example() -> TestApp {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime/ai/plugins/example_plugin");
    let mut builder = with_sdk();
    for file in ["__init__.py", "logic.py", "plugin.json"] {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        builder = builder.file(&format!("{NAME}/{file}"), &text);
    }
    builder.start().await
}

/// The commands of a document that begin with `curl`, each in one line.
fn curl_lines(document: &str) -> Vec<String> {
    let joined = document.replace("\\\n", " ");
    joined
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl ") && line.contains("/api/plugins/example"))
        .map(str::to_owned)
        .collect()
}

async fn shell(line: &str) -> Value {
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .env_remove("all_proxy")
        .stdin(Stdio::null());
    let output = within(LIMIT, command.output()).await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        panic!(
            "{line}: {error}: {said}{}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

#[tokio::test]
async fn the_curl_lines_work_as_they_are_written() {
    let app = example().await;
    let readme = include_str!("../../runtime/ai/plugins/example_plugin/README.md");
    let guide = include_str!("../../docs/plugin-development.md");
    let mut requests = 0;
    for document in [readme, guide] {
        let lines = curl_lines(document);
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in lines {
            let here = line.replace("http://localhost:8000", &format!("http://{}", app.address));
            assert_ne!(here, line, "the address was not found");
            let answer = shell(&format!("{here} -sS")).await;
            assert_eq!(answer["success"], true, "{line}: {answer}");
            requests += 1;
            if line.contains("/hello") {
                assert_eq!(answer["message"], "Hello from the example plugin!");
            } else if line.contains("/echo") {
                assert_eq!(answer["echo"], json!({"test": "data"}));
            } else {
                assert_eq!(
                    answer["requests"], requests,
                    "each is counted, this one too"
                );
            }
        }
    }
}

#[tokio::test]
async fn it_shows_sockets_jobs_storage_and_life() {
    let mut app = example().await;
    let mut socket = Socket::open(&app, "ann").await;
    socket
        .say(&json!({"type": "example_ping", "data": 5}))
        .await;
    let pong = socket.message().await;
    assert_eq!(pong, json!({"type": "example_pong", "pings": 1, "data": 5}));

    let jobs = app
        .admin()
        .get("/api/plugins/registry/example_plugin/jobs")
        .await
        .expect_ok();
    assert_eq!(
        (&jobs["jobs"][0]["name"], &jobs["jobs"][0]["cron"]),
        (&json!("heartbeat"), &json!("*/5 * * * *"))
    );
    let run = "/api/plugins/registry/example_plugin/jobs/heartbeat/run";
    let asked = Answer::of(app.admin().request(reqwest::Method::POST, run)).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text);
    within(LIMIT, async {
        loop {
            let stats = app
                .anonymous()
                .get("/api/plugins/example-plugin/stats")
                .await
                .expect_ok();
            if stats["runs"] == 1 {
                assert!(stats["last_run"].is_string());
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let path = "/api/plugins/example_plugin/config";
    let put = app.admin().request(reqwest::Method::PUT, path);
    let set = Answer::of(put.json(&json!({"config": {"greeting": "Good morning!"}}))).await;
    set.expect_ok();
    let hello = app
        .anonymous()
        .get("/api/plugins/example_plugin/hello")
        .await
        .expect_ok();
    assert_eq!(hello["message"], "Good morning!");
    let bad = app.admin().request(reqwest::Method::PUT, path);
    let bad = Answer::of(bad.json(&json!({"config": {"greeting": ""}}))).await;
    bad.expect_error(422, "VALIDATION_ERROR");
    app.log_line(&["configured", "greeting"]).await;
    let enable = app
        .admin()
        .request(reqwest::Method::POST, "/api/plugins/example_plugin/enable");
    Answer::of(enable.json(&json!({"enabled": false})))
        .await
        .expect_ok();
    app.log_line(&["disabled", NAME, "logger"]).await;
    let off = app
        .anonymous()
        .get("/api/plugins/example-plugin/hello")
        .await;
    off.expect_error(404, "PLUGIN_DISABLED");
}
