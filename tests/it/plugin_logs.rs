//! What a plugin logs, prints and raises: in the log, and for admins who read it or follow it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Claims, TestApp, TestClient, within},
};

const LIMIT: Duration = Duration::from_secs(60);
const LOGS: &str = "/api/plugins/registry/talks/logs";

const TALKS: &str = r#"
CTX = None

def on_load(ctx):
    global CTX
    CTX = ctx
    ctx.logger.info("loading")
    ctx.register_route("GET", "/bad", lambda request: object())

async def execute(data):
    say = data["say"]
    if say == "print":
        print(data["words"])
    elif say == "raise":
        raise ValueError(data["words"])
    elif say == "error":
        try:
            raise KeyError("lost")
        except KeyError as error:
            CTX.logger.error({"error": error, "order": 7}, data["words"])
    else:
        CTX.logger.warning(data["words"], order=7, where="here", forged={"a": 1})
    return {}
"#;

async fn say(client: &TestClient, say: &str, words: &str) -> Answer {
    client
        .execute("talks", &json!({"say": say, "words": words}))
        .await
}

/// Waits until the lines hold what is wanted; logging is not waited for by calls.
async fn lines_with(client: &TestClient, path: &str, wanted: &str) -> Vec<Value> {
    within(LIMIT, async {
        loop {
            let page = client.get(path).await.expect_ok();
            let lines = page["logs"].as_array().unwrap().clone();
            assert_eq!(page["count"], lines.len());
            if lines.iter().any(|line| line.to_string().contains(wanted)) {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn admins_read_what_a_plugin_logged_printed_and_raised() {
    let app = with_sdk()
        .plugin("talks", TALKS)
        .plugin("other", TALKS)
        .start()
        .await;
    let (ann, admin) = (app.user("ann"), app.admin());
    say(&ann, "log", "logged words").await.expect_ok();
    say(&ann, "print", "printed words").await.expect_ok();
    say(&ann, "error", "failed words").await.expect_ok();
    say(&ann, "raise", "raised words")
        .await
        .expect_error(500, "PLUGIN_ERROR");
    ann.get("/api/plugins/talks/bad")
        .await
        .expect_error(500, "OUTPUT_NOT_SERIALIZABLE");
    let lines = lines_with(&admin, LOGS, "OUTPUT_NOT_SERIALIZABLE").await;
    let find = |words: &str| {
        let found = lines.iter().find(|line| line.to_string().contains(words));
        found.unwrap_or_else(|| panic!("{words} is not in {lines:#?}"))
    };
    let logged = find("logged words");
    assert_eq!(
        (&logged["level"], &logged["order"]),
        (&json!("WARN"), &json!(7))
    );
    assert_eq!(
        (&logged["where"], &logged["plugin.name"]),
        (&json!("here"), &json!("talks"))
    );
    assert!(logged["request.id"].is_string() && logged["timestamp"].is_string());
    assert_eq!(find("printed words")["logger"], "stdout");
    let failed = find("failed words");
    assert_eq!(
        (&failed["error"], &failed["order"]),
        (&json!("KeyError: 'lost'"), &json!(7))
    );
    let raised = find("raised words")["traceback"].as_str().unwrap();
    assert!(
        raised.contains("logic.py") && raised.contains("ValueError"),
        "{raised}"
    );
    find("loading");
    find("plugin.loaded");

    // From a place on: what came after it, and nothing twice.
    let page = admin.get(&format!("{LOGS}?limit=1")).await.expect_ok();
    let next = page["next_cursor"].as_str().unwrap();
    say(&ann, "print", "later words").await.expect_ok();
    let later = lines_with(&admin, &format!("{LOGS}?since={next}"), "later words").await;
    assert_eq!(later.len(), 1, "{later:?}");
    let nonsense = admin.get(&format!("{LOGS}?since=nonsense")).await;
    nonsense.expect_error(422, "VALIDATION_ERROR");
    let other = admin
        .get("/api/plugins/registry/other/logs")
        .await
        .expect_ok();
    assert!(!other.to_string().contains("words"), "{other}");
    ann.get(LOGS).await.expect_error(403, "FORBIDDEN");
    app.anonymous()
        .get(LOGS)
        .await
        .expect_error(401, "AUTH_REQUIRED");
    let none = admin.get("/api/plugins/registry/none/logs").await;
    none.expect_error(404, "PLUGIN_NOT_FOUND");
}

#[tokio::test]
async fn fields_are_in_the_log_whatever_its_format_and_forge_nothing() {
    for format in ["json", "pretty"] {
        let mut app = with_sdk()
            .plugin("talks", TALKS)
            .env("MOZAIKS_LOG_FORMAT", format)
            .start()
            .await;
        say(&app.user("ann"), "log", "logged words")
            .await
            .expect_ok();
        let line = app.log_line(&["logged words"]).await;
        if format == "json" {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&line["order"], &line["forged"]["a"]),
                (&json!(7), &json!(1))
            );
            assert_eq!(line["plugin.name"], "talks");
        } else {
            for part in [
                "order=7",
                "where=\"here\"",
                "forged={\"a\":1}",
                "plugin.name=\"talks\"",
            ] {
                assert!(line.contains(part), "{part} is not in {line}");
            }
        }
    }
}

/// Reads lines of a stream until one holds the words.
async fn follow_until(stream: &mut reqwest::Response, words: &str) -> String {
    let mut text = String::new();
    within(LIMIT, async {
        while !text.contains(words) {
            let piece = stream.chunk().await.unwrap();
            let piece = piece.unwrap_or_else(|| panic!("the stream ended after {text}"));
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    })
    .await;
    text
}

#[tokio::test]
async fn who_follows_gets_lines_as_they_come_until_the_gateway_ends() {
    let mut app = with_sdk()
        .plugin("talks", TALKS)
        .env("MOZAIKS_PLUGIN_LOG_FOLLOWERS", "1")
        .start()
        .await;
    let (ann, admin) = (app.user("ann"), app.admin());
    say(&ann, "print", "before").await.expect_ok();
    lines_with(&admin, LOGS, "before").await;
    let follow = format!("{LOGS}?follow=true&limit=1");
    let request = admin.request(Method::GET, &follow).send().await;
    let mut stream = request.unwrap();
    assert_eq!(stream.headers()["content-type"], "application/x-ndjson");
    follow_until(&mut stream, "before").await;
    let second = admin.get(&follow).await;
    second.expect_error(503, "OVERLOADED");
    say(&ann, "print", "first words").await.expect_ok();
    let first = follow_until(&mut stream, "first words").await;
    assert!(!first.contains("before"), "{first}");
    for line in first.lines().filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["cursor"].is_string(), "{line}");
    }
    assert_eq!(app.metric("mozaiks_plugin_log_followers").await, 1.0);
    // An open stream keeps nobody from ending.
    app.signal("TERM");
    let rest = within(LIMIT, async {
        while let Ok(Some(_)) = stream.chunk().await {}
        app.ended().await
    });
    assert!(rest.await.success());
}

#[tokio::test]
async fn an_admin_reads_the_own_app_and_no_other() {
    let app = with_sdk()
        .plugin("talks", TALKS)
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let of = |user: &str, app_id: &str, roles: Value| -> TestClient {
        let claims = Claims::user(user)
            .with("app_id", app_id)
            .with("roles", roles);
        app.with_claims(&claims)
    };
    for app_id in ["one", "two"] {
        let user = of("ann", app_id, json!([]));
        for how in ["log", "print", "raise"] {
            say(&user, how, &format!("{how} of {app_id}")).await;
        }
    }
    let superadmin = of("root", "one", json!(["superadmin"]));
    let all = lines_with(&superadmin, LOGS, "raise of two").await;
    assert!(
        all.iter()
            .any(|line| line.to_string().contains("raise of one"))
    );
    for (own, other) in [("one", "two"), ("two", "one")] {
        let admin = of("root", own, json!(["admin"]));
        let lines = lines_with(&admin, LOGS, &format!("raise of {own}")).await;
        let text = Value::from(lines).to_string();
        assert!(
            text.contains("plugin.loaded"),
            "what is of no app is for all"
        );
        assert!(!text.contains(&format!("of {other}")), "{text}");
    }
}

#[tokio::test]
async fn a_flood_is_kept_within_its_bound_and_counted() {
    let app: TestApp = with_sdk()
        .plugin("talks", TALKS)
        .env("MOZAIKS_PLUGIN_LOG_BYTES", "4KiB")
        .start()
        .await;
    let ann = app.user("ann");
    let first = app
        .admin()
        .get(&format!("{LOGS}?limit=1"))
        .await
        .expect_ok();
    for number in 0..40 {
        let words = format!("{number} {}", "x".repeat(400));
        say(&ann, "print", &words).await.expect_ok();
    }
    let lines = lines_with(&app.admin(), LOGS, "39 xxx").await;
    assert!(lines.len() < 10, "{}", lines.len());
    let since = first["next_cursor"].as_str().unwrap();
    let page = app
        .admin()
        .get(&format!("{LOGS}?since={since}"))
        .await
        .expect_ok();
    assert!(page["missed"].as_u64().unwrap() > 20, "{page}");
    let gone = app
        .metric("mozaiks_plugin_log_lines_overwritten_total")
        .await;
    assert!(gone > 20.0, "{gone}");
}
