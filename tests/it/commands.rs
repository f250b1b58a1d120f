//! The command line as a newcomer meets it: a clean environment, exit codes, no secrets on the screen.

use std::{
    net::TcpListener,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::support::{program, within};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
const SECRET: &str = "do-not-show-this-secret-to-anybody";

/// The binary with nothing of this process's environment but where programs are.
fn mozaiks(dir: &Path) -> Command {
    let mut command = Command::new(program());
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(dir)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = mozaiks(dir);
    command.args(args).envs(environment.iter().copied());
    within(LIMIT, command.output()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn shipped_plugins() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/runtime/ai/plugins").to_owned()
}

#[tokio::test]
async fn the_line_that_development_mode_prints_works_as_it_is() {
    let dir = TempDir::new().unwrap();
    let mut gateway = mozaiks(dir.path())
        .args([
            "serve",
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--plugins",
            &shipped_plugins(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let line = within(LIMIT, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the gateway runs");
            if let Some(line) = line.strip_prefix("try it: ") {
                return line.to_owned();
            }
        }
    })
    .await;
    assert!(line.starts_with("curl "), "{line}");
    // What curl prints besides the body is asked for in its own file: the line stays as it is.
    std::fs::write(
        dir.path().join(".curlrc"),
        "write-out = \"\\n%{http_code}\"\n",
    )
    .unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &line])
        .env("HOME", dir.path())
        .env("CURL_HOME", dir.path())
        .env_remove("http_proxy");
    let output = within(LIMIT, shell.output()).await.unwrap();
    let (body, status) = {
        let printed = text(&output.stdout);
        let (body, status) = printed.rsplit_once('\n').unwrap();
        (body.to_owned(), status.to_owned())
    };
    assert_eq!(status, "200", "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["message"], "Hello, dev!");

    // Its secret is for its owner alone, and `token` signs with the same.
    let token = run(dir.path(), &["token", "--dev", "--user", "ann"], &[]).await;
    let token = text(&token.stdout).trim().to_owned();
    let address = line
        .split_once("http://")
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .0;
    let answer = crate::support::TestClient::new(&format!("http://{address}"), Some(token))
        .execute("echo", &serde_json::json!({ "n": 1 }))
        .await;
    assert_eq!(answer.expect_ok()["user_id"], "ann");
    let mut secrets = 0;
    for entry in std::fs::read_dir(dir.path().join(".mozaiks")).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = entry.unwrap().metadata().unwrap();
        if metadata.is_file() {
            assert_eq!(metadata.permissions().mode() & 0o077, 0);
            secrets += 1;
        }
    }
    assert!(secrets > 0);
    gateway.kill().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_said_before_a_port_is_bound() {
    let dir = TempDir::new().unwrap();
    // Taken: a gateway that got as far as binding would complain about that instead.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let key = dir.path().join("key.pem");
    std::fs::write(&key, "no key").unwrap();
    let key = key.display().to_string();
    let secret = ("MOZAIKS_JWT_SECRET", SECRET);
    let cases: &[(&[&str], &[(&str, &str)], &[&str])] = &[
        (&[], &[], &["jwt_secret", "MOZAIKS_JWT_SECRET", "--dev"]),
        (
            &[],
            &[("MOZAIKS_JWT_SECRET", "short and secret")],
            &["jwt_secret", "at least 32 bytes"],
        ),
        (
            &["--max-body-bytes", "lots"],
            &[secret],
            &["max_body_bytes", "lots", "--max-body-bytes"],
        ),
        (
            &[],
            &[secret, ("MOZAIKS_PLUGIN_TIMEOUT_SECONDS", "-1")],
            &[
                "plugin_timeout_seconds",
                "-1",
                "MOZAIKS_PLUGIN_TIMEOUT_SECONDS",
            ],
        ),
        (
            &[],
            &[("MOZAIKS_JWT_PUBLIC_KEY_FILE", &key)],
            &["public_key"],
        ),
        (&["--config", "missing.toml"], &[secret], &["missing.toml"]),
        (&["--no-such-flag"], &[secret], &["--no-such-flag"]),
        (
            &["--plugins", "nowhere/at/all"],
            &[secret],
            &["nowhere/at/all", "does not exist"],
        ),
        (
            &[],
            &[secret, ("MOZAIKS_PLUGINS_PATH", "a-typo")],
            &["a-typo", "does not exist"],
        ),
    ];
    for (args, environment, said) in cases {
        let args = [&["serve", "--listen", &listen], *args].concat();
        let output = run(dir.path(), &args, environment).await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(text(&output.stdout), "");
        for part in *said {
            assert!(stderr.contains(part), "{part} is not in: {stderr}");
        }
        assert!(!stderr.contains("short and secret"), "{stderr}");
        assert!(!stderr.contains(SECRET), "{stderr}");
    }
    // And with nothing wrong it is the port.
    let output = run(dir.path(), &["serve", "--listen", &listen], &[secret]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("cannot listen on"), "{stderr}");
}

#[tokio::test]
async fn a_definition_file_that_is_wrong_ends_the_start_with_its_place() {
    const TYPES: &str = "notifications_config.json";
    const TEMPLATES: &str = "notification_templates.json";
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let secret = ("MOZAIKS_JWT_SECRET", SECRET);
    let due =
        |more: &str| format!(r#"{{"notifications": [{{"id": "due"}}, {{"id": "late", {more}}}]}}"#);
    let cases: [(&str, String, &[&str]); 10] = [
        (
            TYPES,
            "{\n  \"notifications\": [,]\n}".into(),
            &["line 2 column 21"],
        ),
        (TYPES, "7".into(), &["notifications", "must be a list"]),
        (
            TYPES,
            due(r#""channels": "email""#),
            &["notifications[1].channels"],
        ),
        (
            TYPES,
            due(r#""channels": ["fax"]"#),
            &["notifications[1].channels", "fax"],
        ),
        (
            TYPES,
            due(r#""default_enabled": "yes""#),
            &["notifications[1].default_enabled"],
        ),
        (TEMPLATES, "{\"due\": ".into(), &["line 1 column 8"]),
        (
            TEMPLATES,
            r#"{"due": {"email": {"text": 7}}}"#.into(),
            &["due.email.text", "string"],
        ),
        (
            TEMPLATES,
            r#"{"due": {"email": {"text": "{{ title"}}}"#.into(),
            &["due.email.text", ":1)"],
        ),
        (
            TEMPLATES,
            r#"{"due": {"sms": {"text": "{{ title }}"}, "push": {"body": "{{ nmae }}"}}}"#.into(),
            &["due.push.body", "nmae", "user_id"],
        ),
        (
            TEMPLATES,
            r#"{"due": {"email": {"footer": "x"}}}"#.into(),
            &["due.email.footer", "subject"],
        ),
    ];
    for (file, content, said) in cases {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join(file), &content).unwrap();
        let output = run(dir.path(), &["serve", "--listen", &listen], &[secret]).await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{content}: {stderr}");
        assert_eq!(text(&output.stdout), "");
        for part in [file].iter().chain(said) {
            assert!(stderr.contains(part), "{part} is not in: {stderr}");
        }
    }
    // A file that is named has to be there.
    let dir = TempDir::new().unwrap();
    let args = [
        "serve",
        "--listen",
        &listen,
        "--notification-templates",
        "mine.json",
    ];
    let output = run(dir.path(), &args, &[secret]).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("mine.json"), "{stderr}");
}

#[tokio::test]
async fn config_shows_values_and_origins_but_no_secrets() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("mozaiks.toml"), "max_depth = 32\n").unwrap();
    let environment = [
        ("MOZAIKS_JWT_SECRET", SECRET),
        (
            "MOZAIKS_DATABASE_URI",
            "mongodb://root:hunter2@db.example.com/shop",
        ),
        ("MOZAIKS_JWKS_URL", ""),
    ];
    let args = ["config", "--python-threads", "7"];
    let output = run(dir.path(), &args, &environment).await;
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let row = |name: &str| -> Vec<String> {
        stdout
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .find(|words: &Vec<String>| words.first().is_some_and(|first| first == name))
            .unwrap_or_else(|| panic!("no {name} in {stdout}"))
    };
    assert_eq!(row("python_threads")[1..], ["7", "--python-threads"]);
    assert_eq!(row("max_depth")[1], "32");
    assert!(row("max_depth")[2].ends_with("mozaiks.toml"));
    assert_eq!(row("max_headers")[1..], ["64", "default"]);
    assert_eq!(row("jwt_secret").last().unwrap(), "MOZAIKS_JWT_SECRET");
    assert!(row("database_uri")[1].contains("db.example.com"));
    for secret in [SECRET, "hunter2"] {
        let said = stdout.clone() + &text(&output.stderr);
        assert!(!said.contains(secret), "{secret} is shown");
    }
}

#[tokio::test]
async fn doctor_says_what_is_right_and_what_is_not() {
    let dir = TempDir::new().unwrap();
    let plugins = shipped_plugins();
    let good = ["doctor", "--plugins", &plugins];
    let output = run(dir.path(), &good, &[("MOZAIKS_JWT_SECRET", SECRET)]).await;
    let stdout = text(&output.stdout);
    for line in stdout.lines() {
        let status = line.split_whitespace().next().unwrap();
        assert!(["ok", "warn", "FAIL"].contains(&status), "{line}");
    }
    for what in ["configuration", "Python", "plugins", "auth"] {
        assert!(
            stdout
                .lines()
                .any(|line| line.to_lowercase().contains(&what.to_lowercase())),
            "{what} is not in {stdout}"
        );
    }
    assert_eq!(
        output.status.success(),
        !stdout.lines().any(|line| line.starts_with("FAIL")),
        "{stdout}"
    );
    assert!(!stdout.contains(SECRET));

    let output = run(dir.path(), &["doctor", "--plugins", "nowhere"], &[]).await;
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(
        stdout
            .lines()
            .any(|line| line.starts_with("FAIL") && line.contains("nowhere")),
        "{stdout}"
    );
}

#[tokio::test]
async fn a_plugin_is_made_listed_checked_and_called() {
    let dir = TempDir::new().unwrap();
    let output = run(
        dir.path(),
        &["plugin", "new", "counter", "--plugins", "mine"],
        &[],
    )
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(dir.path(), &["plugin", "validate", "mine/counter"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).starts_with("ok    counter "));
    let output = run(dir.path(), &["plugin", "list", "--plugins", "mine"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("counter "));
    let output = run(
        dir.path(),
        &["plugin", "new", "counter", "--plugins", "mine"],
        &[],
    )
    .await;
    assert_eq!(output.status.code(), Some(2), "it is never overwritten");
    let output = run(
        dir.path(),
        &["plugin", "new", "../counter", "--plugins", "mine"],
        &[],
    )
    .await;
    assert_eq!(output.status.code(), Some(2));

    let logic = std::fs::read_to_string(dir.path().join("mine/counter/logic.py")).unwrap();
    let app = crate::support::TestApp::builder()
        .plugin("counter", &logic)
        .start()
        .await;
    let answer = app
        .user("a")
        .execute("counter", &serde_json::json!({}))
        .await;
    assert!(answer.json().is_object(), "{}", answer.text);
    assert!(answer.status.as_u16() < 500, "{}", answer.text);

    std::fs::write(
        dir.path().join("mine/counter/plugin.json"),
        "{\"version\": 1}",
    )
    .unwrap();
    let output = run(dir.path(), &["plugin", "validate", "mine/counter"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("version"));
}

#[tokio::test]
async fn a_token_is_all_that_token_prints() {
    let dir = TempDir::new().unwrap();
    let args = ["token", "--user", "ann", "--role", "admin", "--ttl", "15m"];
    let output = run(dir.path(), &args, &[("MOZAIKS_JWT_SECRET", SECRET)]).await;
    assert_eq!(output.status.code(), Some(0));
    let token = text(&output.stdout);
    assert_eq!(token.trim_end().split('.').count(), 3);
    assert_eq!(token.lines().count(), 1);
    let output = run(dir.path(), &args, &[]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("MOZAIKS_JWT_SECRET"));
    assert_eq!(text(&output.stdout), "");
}

/// `make run` starts the gateway without variables that it would warn of.
#[tokio::test]
async fn make_gives_the_gateway_no_variables_of_its_own() {
    let mut make = Command::new("make");
    make.args(["-s", "--eval", "environment: ; @env", "environment"])
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = within(LIMIT, make.output()).await.unwrap();
    let environment = text(&output.stdout);
    assert!(environment.contains("PYO3_PYTHON="), "{output:?}");
    assert!(!environment.contains("MOZAIKS_"), "{environment}");
}
