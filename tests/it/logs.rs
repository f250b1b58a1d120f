//! One line a request, and nothing in it that is nobody's business.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Claims, TestApp};

const PLUGINS: &[(&str, &str)] = &[
    ("echo", "async def execute(data):\n    return data\n"),
    ("raises", "def execute(data):\n    raise ValueError('no')\n"),
    (
        "nan",
        "async def execute(data):\n    return {'deep': {'x': float('nan')}}\n",
    ),
    ("broken", "import no_such_module_anywhere\n"),
    (
        "fails",
        "def execute(data):\n    return {'error': data['note'], 'error_code': 'CONFLICT'}\n",
    ),
    (
        "slow",
        "import asyncio\nasync def execute(data):\n    await asyncio.sleep(30)\n",
    ),
];

/// Text of bodies, of queries and of headers; each must be nowhere in the log.
const MARKS: &[&str] = &[
    "mark-in-the-body",
    "mark-in-the-query",
    "mark-in-a-header",
    "mark-in-an-action",
];

/// Sends good and bad requests, numbered by request id; gives every token that was used.
async fn converse(app: &TestApp) -> (Vec<String>, usize) {
    let user = Claims::user("u-1");
    let tokens = [
        user.sign(),
        user.clone().expired().sign(),
        user.clone().with("app_id", "other").sign(),
        user.sign_with("another secret, also long enough to use"),
        user.clone().with("pad", "x".repeat(9000)).sign(),
    ];
    let mut count = 0;
    for token in &tokens {
        for plugin in ["echo", "raises", "nan", "broken", "fails", "slow", "nobody"] {
            // A URI that is too long never becomes a request.
            let query = if token.len() < 4000 {
                token
            } else {
                &tokens[0]
            };
            let path = format!("/api/execute/{plugin}?token={query}&key=mark-in-the-query");
            let request = app
                .with_token(token)
                .request(Method::POST, &path)
                .header("x-request-id", format!("numbered-{count}."))
                .header("x-anything", "mark-in-a-header")
                .json(&json!({ "action": "mark-in-an-action is a sentence", "note": "mark-in-the-body" }));
            Answer::of(request).await;
            count += 1;
        }
    }
    let good = &tokens[0];
    for body in [
        "{\"note\": mark-in-the-body}",
        "[\"mark-in-the-body\"]",
        "{\"mark-in-the-body\": 1e999}",
        "{\"mark-in-the-body\": \"\\ud800\"}",
    ] {
        let request = app
            .with_token(good)
            .request(Method::POST, "/api/execute/echo")
            .header("x-request-id", format!("numbered-{count}."))
            .header("content-type", "application/json")
            .body(body);
        Answer::of(request).await;
        count += 1;
    }
    for authorization in [
        format!("Basic {good}"),
        format!("Bearer {good} {good}"),
        good.clone(),
    ] {
        let request = app
            .anonymous()
            .request(Method::POST, "/api/execute/echo")
            .header("x-request-id", format!("numbered-{count}."))
            .header("authorization", authorization)
            .body("mark-in-the-body");
        Answer::of(request).await;
        count += 1;
    }
    for path in ["/health", "/nothing", "/api/plugins"] {
        let request = app
            .with_token(good)
            .request(
                Method::GET,
                &format!("{path}?token={good}&key=mark-in-the-query"),
            )
            .header("x-request-id", format!("numbered-{count}."));
        Answer::of(request).await;
        count += 1;
    }
    (tokens.to_vec(), count)
}

async fn conversation_in(format: &str, filter: &str) -> (TestApp, Vec<String>, usize) {
    let mut builder = TestApp::builder()
        .env("MOZAIKS_LOG_FORMAT", format)
        .env("MOZAIKS_LOG", filter)
        // Only the one that never answers has so little time.
        .file("slow/plugin.json", r#"{"timeout_seconds": 0.2}"#);
    for (name, logic) in PLUGINS {
        builder = builder.plugin(name, logic);
    }
    let mut app = builder.start().await;
    let (tokens, count) = converse(&app).await;
    app.log_line(&[&format!("numbered-{}.", count - 1)]).await;
    app.signal("TERM");
    app.ended().await;
    app.log_line(&["stopped"]).await;
    (app, tokens, count)
}

fn assert_no_secrets(log: &str, tokens: &[String]) {
    for mark in MARKS {
        let line = log.lines().find(|line| line.contains(mark));
        assert_eq!(line, None, "{mark} is in the log");
    }
    for token in tokens {
        let parts: Vec<&str> = token.split('.').collect();
        // The header alone says nothing; payload and signature do.
        for part in &parts[1..] {
            let line = log.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "a token is in the log");
        }
    }
}

#[tokio::test]
async fn json_lines_say_who_what_and_how_long_and_nothing_else() {
    let (app, tokens, count) = conversation_in("json", "debug").await;
    let log = app.log_text();
    assert_no_secrets(&log, &tokens);
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .filter(|line: &Value| line["target"] == "access")
        .collect();
    for number in 0..count {
        let id = format!("numbered-{number}.");
        let mine: Vec<_> = lines
            .iter()
            .filter(|line| line["request.id"] == *id)
            .collect();
        assert_eq!(mine.len(), 1, "{id}: {mine:?}");
        let line = mine[0];
        assert!(
            line["http.status"].is_u64() && line["time_ms"].is_number(),
            "{line}"
        );
        assert!(
            line["http.path"]
                .as_str()
                .is_some_and(|path| !path.contains('?')),
            "{line}"
        );
    }
    // The first seven were the good token's.
    let of = |number: usize, field: &str| -> Value {
        let id = format!("numbered-{number}.");
        lines.iter().find(|line| line["request.id"] == *id).unwrap()[field].clone()
    };
    for (number, (plugin, status, code)) in [
        ("echo", 200, Value::Null),
        ("raises", 500, json!("PLUGIN_ERROR")),
        ("nan", 500, json!("OUTPUT_NOT_SERIALIZABLE")),
        ("broken", 503, json!("PLUGIN_UNAVAILABLE")),
        ("fails", 409, json!("CONFLICT")),
        ("slow", 504, json!("PLUGIN_TIMEOUT")),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(of(number, "plugin.name"), plugin);
        assert_eq!(of(number, "http.status"), status, "{plugin}");
        assert_eq!(of(number, "error.code"), code, "{plugin}");
        assert_eq!(of(number, "user.id"), "u-1", "{plugin}");
    }
}

#[tokio::test]
async fn lines_for_people_have_the_same() {
    let (app, tokens, count) = conversation_in("pretty", "info").await;
    let log = app.log_text();
    assert_no_secrets(&log, &tokens);
    for number in 0..count {
        let id = format!("request.id=\"numbered-{number}.\"");
        let mine: Vec<_> = log
            .lines()
            .filter(|line| line.contains(" access: ") && line.contains(&id))
            .collect();
        assert_eq!(mine.len(), 1, "{id}: {mine:?}");
        assert!(mine[0].contains("ms "), "{}", mine[0]);
    }
    let first = log
        .lines()
        .find(|line| line.contains("\"numbered-0.\""))
        .unwrap();
    for part in [
        "POST \"/api/execute/echo\" 200 ",
        "user.id=\"u-1\"",
        "plugin.name=\"echo\"",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
}

/// What a plugin logs, or a client sends, cannot look like a line of the gateway's own.
#[tokio::test]
async fn no_words_make_a_line_of_the_log() {
    const SAYS: &str = "import logging\n\
         def execute(data):\n    logging.warning('said: %s', data['words'])\n    \
         print(data['words'])\n    raise ValueError(data['words'])\n";
    const WORDS: &str = "first\nFORGED by one\rFORGED by two\u{2028}FORGED by three";
    // A reader of JSON knows no line break but the line feed.
    let pretty: &[char] = &['\n', '\r', '\u{2028}'];
    for (format, breaks) in [("pretty", pretty), ("json", &['\n', '\r'])] {
        let mut app = TestApp::builder()
            .plugin("says", SAYS)
            .env("MOZAIKS_LOG_FORMAT", format)
            .start()
            .await;
        app.user("a")
            .execute("says", &json!({ "words": WORDS }))
            .await
            .expect_error(500, "PLUGIN_ERROR");
        app.log_line(&["said: first", "FORGED by one"]).await;
        app.log_line(&["ValueError: first", "FORGED by one"]).await;
        let log = app.log_text();
        for line in log.split(breaks) {
            assert!(!line.trim_start().starts_with("FORGED"), "{format}: {line}");
        }
    }
}
