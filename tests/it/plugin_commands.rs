//! `mozaiks plugin …` against a running gateway, and the plugins that it makes.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{
    data::with_sdk,
    support::{Claims, TestApp, program, python, within},
};

const LIMIT: Duration = Duration::from_secs(120);
const TEMPLATES: [&str; 4] = ["minimal", "crud", "webhook", "scheduled"];

const SHOP: &str = r#"
def on_load(ctx):
    ctx.register_route("GET", "/settings", lambda request: ctx.get_config())

async def execute(data):
    print("said", data["words"])
    return {}
"#;

/// The command with nothing of this process's environment but where programs are.
pub fn mozaiks(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(python().map(|path| ("MOZAIKS_PYTHON", path)))
        .env(
            "MOZAIKS_SDK_PATH",
            concat!(env!("CARGO_MANIFEST_DIR"), "/python-sdk"),
        )
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The command as an admin of a gateway.
pub fn admin(app: &TestApp, args: &[&str]) -> Command {
    let token = Claims::user("root").with("roles", vec!["admin"]).sign();
    let mut command = mozaiks(args);
    command
        .env("MOZAIKS_URL", format!("http://{}", app.address))
        .env("MOZAIKS_TOKEN", token);
    command
}

async fn output(mut command: Command) -> Output {
    within(LIMIT, command.output()).await.unwrap()
}

/// What a command that succeeds prints.
pub async fn printed(command: Command) -> String {
    let output = output(command).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The exit code of a command that fails, and what it says.
pub async fn failed(command: Command) -> (Option<i32>, String) {
    let output = output(command).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    (output.status.code(), said)
}

#[tokio::test]
async fn an_admin_works_on_plugins_from_the_shell() {
    let app = with_sdk()
        .plugin("shop", SHOP)
        .file(
            "shop/plugin.json",
            r#"{"version": "1.2.0", "config": {"size": 1}, "config_schema": {"properties": {"size": {"type": "integer"}}}}"#,
        )
        .start()
        .await;
    let run = async |args: &[&str]| printed(admin(&app, &[&["plugin"], args].concat())).await;
    let fail = async |args: &[&str]| failed(admin(&app, &[&["plugin"], args].concat())).await;
    assert_eq!(run(&["disable", "shop"]).await, "shop 1.2.0: disabled\n");
    let ann = app.user("ann");
    let off = ann.execute("shop", &json!({"words": "x"})).await;
    off.expect_error(404, "PLUGIN_DISABLED");
    assert_eq!(run(&["enable", "shop"]).await, "shop 1.2.0: active\n");
    assert_eq!(
        run(&["config", "set", "shop", "colour", "red"]).await,
        "colour = \"red\"\n"
    );
    assert_eq!(
        run(&["config", "set", "shop", "size", "-2"]).await,
        "size = -2\n"
    );
    assert_eq!(run(&["config", "get", "shop", "size"]).await, "-2\n");
    assert!(
        run(&["config", "get", "shop"])
            .await
            .contains("\"colour\": \"red\"")
    );
    let set = ann.get("/api/plugins/shop/settings").await.expect_ok();
    assert_eq!(set, json!({"colour": "red", "size": -2}));
    let (code, said) = fail(&["config", "set", "shop", "size", "large"]).await;
    assert!(
        code == Some(1) && said.contains("VALIDATION_ERROR"),
        "{said}"
    );
    let (_, said) = fail(&["config", "get", "shop", "none"]).await;
    assert!(said.contains("none"), "{said}");

    assert_eq!(run(&["reload", "shop"]).await, "shop 1.2.0: active\n");
    std::fs::write(
        app.plugins_dir().join("shop/logic.py"),
        "import nothing_there\n",
    )
    .unwrap();
    let (code, said) = fail(&["reload", "shop"]).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("RELOAD_FAILED") && said.contains("nothing_there"),
        "{said}"
    );
    ann.execute("shop", &json!({"words": "still"}))
        .await
        .expect_ok();
    assert!(run(&["remove", "shop"]).await.starts_with("shop removed"));
    let (_, said) = fail(&["reload", "shop"]).await;
    assert!(said.contains("PLUGIN_NOT_FOUND"), "{said}");
    let (_, said) = fail(&["reload", "../registry"]).await;
    assert!(said.contains("NOT_FOUND"), "{said}");
}

#[tokio::test]
async fn plugins_of_a_gateway_are_listed_and_else_those_of_a_directory() {
    let app = with_sdk()
        .plugin("shop", SHOP)
        .file("shop/plugin.json", r#"{"version": "1.2.0"}"#)
        .plugin("broken", "import nothing_there\n")
        .start()
        .await;
    let listed = printed(admin(&app, &["plugin", "list"])).await;
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("broken  0.0.0  error  "), "{listed}");
    assert!(lines[0].contains("nothing_there"), "{listed}");
    assert_eq!(lines[1], "shop  1.2.0  active");
    let json = printed(admin(&app, &["plugin", "list", "--json"])).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["count"], 2);
    assert_eq!(json["plugins"][1]["status"], "active");
    // As a user: without what is wrong with whom.
    let url = format!("http://{}", app.address);
    let token = Claims::user("ann").sign();
    let as_user = mozaiks(&["plugin", "list", "--url", &url, "--token", &token]);
    let listed = printed(as_user).await;
    assert_eq!(listed, "broken  0.0.0  error\nshop  1.2.0  active\n");
    let (code, said) = failed(mozaiks(&["plugin", "list", "--url", &url])).await;
    assert!(code == Some(2) && said.contains("MOZAIKS_TOKEN"), "{said}");

    // Nobody is asked where no gateway is named.
    let dir = app.plugins_dir().to_str().unwrap();
    let here = printed(mozaiks(&["plugin", "list", "--plugins", dir])).await;
    assert!(
        here.contains(&format!("shop  1.2.0  {dir}/shop\n")),
        "{here}"
    );
    let json = printed(mozaiks(&["plugin", "list", "--json", "--plugins", dir])).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["plugins"][1]["path"], format!("{dir}/shop"));
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let app = with_sdk().plugin("shop", SHOP).start().await;
    let mut command = admin(&app, &["plugin", "disable", "shop"]);
    command.env("MOZAIKS_TOKEN", Claims::user("ann").sign());
    let (code, said) = failed(command).await;
    assert!(code == Some(1) && said.contains("FORBIDDEN"), "{said}");
    let mut command = admin(&app, &["plugin", "disable", "shop"]);
    command.env_remove("MOZAIKS_TOKEN");
    let (code, said) = failed(command).await;
    assert!(code == Some(2) && said.contains("MOZAIKS_TOKEN"), "{said}");
    let mut command = admin(&app, &["plugin", "disable", "shop"]);
    command.env("MOZAIKS_URL", "nonsense");
    assert_eq!(failed(command).await.0, Some(2));
    let help = printed(admin(&app, &["plugin", "disable", "--help"])).await;
    let token = Claims::user("root").with("roles", vec!["admin"]).sign();
    assert!(!help.contains(&token[..20]), "the token is in the help");
    app.user("ann")
        .execute("shop", &json!({"words": "x"}))
        .await
        .expect_ok();
}

#[tokio::test]
async fn logs_are_shown_and_followed() {
    let app = with_sdk().plugin("shop", SHOP).start().await;
    let ann = app.user("ann");
    ann.execute("shop", &json!({"words": "one \u{1b}[2J"}))
        .await
        .expect_ok();
    let mut command = admin(&app, &["plugin", "logs", "-f", "shop"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut line_with = async |words: &str| {
        within(LIMIT, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it follows");
                if line.contains(words) {
                    return line;
                }
            }
        })
        .await
    };
    let line = line_with("said one").await;
    assert!(line.contains("INFO") && !line.contains('\u{1b}'), "{line}");
    ann.execute("shop", &json!({"words": "two"}))
        .await
        .expect_ok();
    line_with("said two").await;
    ann.execute("shop", &json!({}))
        .await
        .expect_error(500, "PLUGIN_ERROR");
    line_with("KeyError").await;
    following.kill().await.unwrap();
    let shown = printed(admin(&app, &["plugin", "logs", "shop", "-n", "2"])).await;
    assert!(
        shown.contains("Traceback") && shown.contains("said two"),
        "{shown}"
    );
    let raw = printed(admin(
        &app,
        &["plugin", "logs", "shop", "--json", "-n", "1"],
    ))
    .await;
    let line: serde_json::Value = serde_json::from_str(raw.trim()).unwrap();
    assert_eq!(line["plugin.name"], "shop");
}

fn new(dir: &Path, name: &str, template: &str) -> Command {
    let dir = dir.to_str().unwrap();
    mozaiks(&[
        "plugin",
        "new",
        name,
        "--template",
        template,
        "--plugins",
        dir,
    ])
}

#[tokio::test]
async fn each_template_passes_its_own_tests_and_notices_what_is_broken() {
    let dir = TempDir::new().unwrap();
    for template in TEMPLATES {
        let name = format!("my-{template}");
        printed(new(dir.path(), &name, template)).await;
        let made = dir.path().join(&name);
        let path = made.to_str().unwrap();
        let checked = printed(mozaiks(&["plugin", "validate", path])).await;
        assert_eq!(checked, format!("ok    {name} 0.1.0\n"), "{template}");
        let tested = printed(mozaiks(&["plugin", "test", path])).await;
        assert!(tested.contains(" passed"), "{template}: {tested}");
        let logic = made.join("logic.py");
        let text = std::fs::read_to_string(&logic).unwrap();
        assert!(!text.contains("{{"), "{text}");
        // A test that passes whatever the code does is none.
        std::fs::write(&logic, "async def execute(data):\n    return {}\n").unwrap();
        let broken = output(mozaiks(&["plugin", "test", path])).await;
        assert_eq!(broken.status.code(), Some(1), "{template}");
    }
    let (code, said) = failed(mozaiks(&["plugin", "test", "/nowhere"])).await;
    assert!(code == Some(2) && said.contains("/nowhere"), "{said}");
}

#[tokio::test]
async fn each_template_is_served() {
    let dir = TempDir::new().unwrap();
    let mut builder = with_sdk();
    for template in TEMPLATES {
        printed(new(dir.path(), template, template)).await;
        for file in ["logic.py", "plugin.json", "__init__.py"] {
            let text = std::fs::read_to_string(dir.path().join(template).join(file)).unwrap();
            builder = builder.file(&format!("{template}/{file}"), &text);
        }
    }
    let app = builder.start().await;
    let listed = app.admin().get("/api/plugins").await.expect_ok();
    for plugin in listed["plugins"].as_array().unwrap() {
        assert_eq!(plugin["status"], "active", "{plugin}");
    }
    let ann = app.user("ann");
    ann.execute("minimal", &json!({"action": "greet"}))
        .await
        .expect_ok();
    let request = ann.request(reqwest::Method::POST, "/api/plugins/crud/items");
    let made = crate::support::Answer::of(request.json(&json!({"title": "Milk"}))).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    assert_eq!(
        ann.get("/api/plugins/crud/items").await.expect_ok()["count"],
        1
    );
    let other = app.user("bob").get("/api/plugins/crud/items").await;
    assert_eq!(other.expect_ok()["count"], 0);
    assert_eq!(
        ann.get("/api/plugins/scheduled/status").await.expect_ok()["runs"],
        0
    );
    let unsigned = app
        .anonymous()
        .request(reqwest::Method::POST, "/api/plugins/webhook/hook");
    assert_eq!(
        crate::support::Answer::of(unsigned.body("{}"))
            .await
            .status
            .as_u16(),
        503
    );
}
