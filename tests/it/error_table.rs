//! Every row of the contract's table of errors, one after the other on one gateway, each followed by a
//! good call.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{Answer, Claims, TestApp};

/// Rows that need more than a request; where they are met instead.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "WORKER_CRASHED",
        "workers::what_a_plugin_of_its_own_process_breaks_is_its_own",
    ),
    (
        "CONFLICT",
        "life::a_removed_plugin_comes_back_by_discovery_only",
    ),
    (
        "RATE_LIMITED",
        "life::routes_answer_whoever_may_with_what_they_are_given",
    ),
    (
        "CHECKSUM_MISMATCH",
        "migrations::a_migration_is_run_once_told_of_undone_and_run_again",
    ),
    (
        "MIGRATION_DONE",
        "migrations::a_migration_is_run_once_told_of_undone_and_run_again",
    ),
    (
        "MIGRATION_RUNNING",
        "migrations::two_gateways_run_a_migration_once",
    ),
    (
        "NO_ROLLBACK",
        "migrations::one_that_fails_says_why_and_goes_on_from_there",
    ),
    (
        "ENTITY_NOT_MIGRATED",
        "entities::an_entity_becomes_a_collection_with_rules_indexes_and_a_model",
    ),
    (
        "RELOAD_FAILED",
        "life::a_reload_serves_the_new_code_or_goes_on_with_the_old",
    ),
    (
        "PERMISSION_DENIED",
        "permissions::without_its_permission_no_operation_is_done",
    ),
    (
        "HOOK_FAILED",
        "hooks::pages_reach_what_is_public_as_who_they_are",
    ),
    ("WIDGET_NOT_FOUND", "page_parts.rs"),
    (
        "QUOTA_EXCEEDED",
        "quotas::a_plugin_in_the_gateway_keeps_its_quota",
    ),
    (
        "FEATURE_DISABLED",
        "stored::attacks::stored_plugins_are_off_unless_wanted_and_for_authors_alone",
    ),
    ("FORBIDDEN", "roles: src/http/error/tests.rs"),
    ("PLUGIN_DISABLED", "crates/plugins/src/dispatch/tests.rs"),
    ("DATABASE_UNAVAILABLE", "src/http/error/tests.rs"),
    ("STORAGE_FULL", "src/http/error/tests.rs"),
    ("INTERNAL_ERROR", "src/http.rs"),
    ("BAD_REQUEST", "connections.rs"),
    ("REQUEST_TIMEOUT", "connections.rs"),
    ("UNSUPPORTED_TRANSFER_ENCODING", "connections.rs"),
    ("URI_TOO_LONG", "connections.rs"),
    ("HEADERS_TOO_LARGE", "connections.rs"),
    ("VALIDATION_ERROR", "errors.rs"),
    ("NOT_FOUND", "errors.rs"),
];

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "shop";

fn claims() -> Claims {
    Claims::user("a").with("iss", ISSUER).with("aud", AUDIENCE)
}

async fn gateway() -> TestApp {
    let plugins: &[(&str, &str)] = &[
        ("echo", "def execute(data):\n    return {'data': data}\n"),
        ("raises", "def execute(data):\n    raise ValueError('no')\n"),
        (
            "broken_str",
            "class Broken(Exception):\n    def __str__(self):\n        raise RuntimeError\n\
             async def execute(data):\n    raise Broken()\n",
        ),
        (
            "exits",
            "async def execute(data):\n    raise SystemExit(3)\n",
        ),
        ("list", "async def execute(data):\n    return [1]\n"),
        (
            "nan",
            "async def execute(data):\n    return {'x': float('nan')}\n",
        ),
        (
            "large",
            "async def execute(data):\n    return {'x': 'y' * (9 << 20)}\n",
        ),
        ("missing_module", "import no_such_module_anywhere\n"),
        (
            "slow",
            "import asyncio\nasync def execute(data):\n    await asyncio.sleep(60)\n",
        ),
        (
            "busy",
            "import asyncio\nasync def execute(data):\n    await asyncio.sleep(data['s'])\n    return {}\n",
        ),
    ];
    let mut builder = TestApp::builder()
        .env("MOZAIKS_ISSUER", ISSUER)
        .env("MOZAIKS_AUDIENCE", AUDIENCE)
        .file("slow/plugin.json", r#"{"timeout_seconds": 0.3}"#)
        .file("busy/plugin.json", r#"{"max_concurrency": 1}"#);
    for (name, logic) in plugins {
        builder = builder.plugin(name, logic);
    }
    builder.start().await
}

/// One row: what is asked, and what must be answered.
struct Row {
    situation: &'static str,
    request: RequestBuilder,
    status: u16,
    code: &'static str,
}

/// A call of a plugin with a token and a body.
fn call(
    app: &TestApp,
    plugin: &str,
    token: &str,
    body: impl Into<reqwest::Body>,
) -> RequestBuilder {
    app.with_token(token)
        .request(Method::POST, &format!("/api/execute/{plugin}"))
        .header("content-type", "application/json")
        .body(body)
}

fn identity_rows(app: &TestApp) -> Vec<Row> {
    let anonymous = || {
        app.anonymous()
            .request(Method::POST, "/api/execute/echo")
            .json(&json!({}))
    };
    let row = |situation, request, status, code| Row {
        situation,
        request,
        status,
        code,
    };
    let token =
        |situation, token: String, code| row(situation, call(app, "echo", &token, "{}"), 401, code);
    let good = claims().sign();
    let (head, signed) = good.split_once('.').unwrap();
    // {"alg":"none"}, {"alg":"HS256","crit":["x"],"x":1}
    let none = format!("eyJhbGciOiJub25lIn0.{}.", signed.split('.').next().unwrap());
    let crit = claims().sign_with_header(json!({ "alg": "HS256", "crit": ["x"], "x": 1 }));
    assert!(!head.is_empty());
    vec![
        row("no header", anonymous(), 401, "AUTH_REQUIRED"),
        row(
            "malformed header",
            anonymous().header("authorization", "Basic dTpw"),
            401,
            "AUTH_INVALID",
        ),
        row(
            "two headers",
            anonymous()
                .header("authorization", format!("Bearer {good}"))
                .header("authorization", format!("Bearer {good}")),
            401,
            "AUTH_INVALID",
        ),
        token(
            "bad signature",
            claims().sign_with("another secret of thirty-two bytes!!"),
            "TOKEN_INVALID",
        ),
        token("alg none", none, "TOKEN_INVALID"),
        token("unknown crit", crit, "TOKEN_INVALID"),
        token("no exp", claims().without("exp").sign(), "TOKEN_INVALID"),
        token(
            "exp is text",
            claims().with("exp", "soon").sign(),
            "TOKEN_INVALID",
        ),
        token(
            "wrong iss",
            claims().with("iss", "other").sign(),
            "TOKEN_INVALID",
        ),
        token(
            "wrong aud",
            claims().with("aud", "other").sign(),
            "TOKEN_INVALID",
        ),
        token(
            "no user",
            claims().without("user_id").sign(),
            "TOKEN_INVALID",
        ),
        token("expired", claims().expired().sign(), "TOKEN_EXPIRED"),
        token(
            "early",
            claims().not_yet_valid().sign(),
            "TOKEN_NOT_YET_VALID",
        ),
        token(
            "9 KiB",
            claims().with("pad", "x".repeat(9000)).sign(),
            "TOKEN_TOO_LARGE",
        ),
        row(
            "another app",
            call(app, "echo", &claims().with("app_id", "other").sign(), "{}"),
            403,
            "APP_MISMATCH",
        ),
    ]
}

fn request_rows(app: &TestApp) -> Vec<Row> {
    let good = claims().sign();
    let body = |situation, body: Vec<u8>, status, code| Row {
        situation,
        request: call(app, "echo", &good, body),
        status,
        code,
    };
    let row = |situation, request, status, code| Row {
        situation,
        request,
        status,
        code,
    };
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    let in_object = |value: Vec<u8>| [b"{\"x\":".to_vec(), value, b"}".to_vec()].concat();
    let large = || vec![b' '; (1 << 20) + 1];
    vec![
        row(
            "unknown plugin",
            call(app, "nobody", &good, "{}"),
            404,
            "PLUGIN_NOT_FOUND",
        ),
        row(
            "odd name",
            call(app, "Echo", &good, "{}"),
            404,
            "PLUGIN_NOT_FOUND",
        ),
        row(
            "encoded traversal",
            call(app, "..%2f..%2fetc", &good, "{}"),
            404,
            "PLUGIN_NOT_FOUND",
        ),
        row(
            "not loaded",
            call(app, "missing_module", &good, "{}"),
            503,
            "PLUGIN_UNAVAILABLE",
        ),
        row(
            "not loaded, whatever its body",
            call(app, "missing_module", &good, "{").header("content-encoding", "gzip"),
            503,
            "PLUGIN_UNAVAILABLE",
        ),
        row(
            "wrong method",
            app.with_token(&good)
                .request(Method::PUT, "/api/execute/echo"),
            405,
            "METHOD_NOT_ALLOWED",
        ),
        row(
            "wrong type",
            app.with_token(&good)
                .request(Method::POST, "/api/execute/echo")
                .header("content-type", "text/plain")
                .body("{}"),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        row(
            "compressed",
            call(app, "echo", &good, "{}").header("content-encoding", "gzip"),
            415,
            "UNSUPPORTED_ENCODING",
        ),
        body("malformed", b"{".to_vec(), 400, "INVALID_JSON"),
        body(
            "bad UTF-8",
            b"{\"x\":\"\xff\"}".to_vec(),
            400,
            "INVALID_JSON",
        ),
        body(
            "overlong UTF-8",
            b"{\"x\":\"\xc0\xaf\"}".to_vec(),
            400,
            "INVALID_JSON",
        ),
        body("depth 65", in_object(deep(64)), 400, "INVALID_JSON"),
        body(
            "depth 100,000",
            in_object(deep(100_000)),
            400,
            "INVALID_JSON",
        ),
        body(
            "depth 100,000, an array",
            deep(100_000),
            400,
            "INVALID_JSON",
        ),
        body(
            "depth 100,000, never closed",
            in_object(vec![b'['; 100_000]),
            400,
            "INVALID_JSON",
        ),
        body(
            "5,000 digits",
            in_object(vec![b'7'; 5000]),
            400,
            "INVALID_JSON",
        ),
        body(
            "out of range",
            b"{\"x\":-1e999}".to_vec(),
            400,
            "INVALID_JSON",
        ),
        body(
            "lone surrogate",
            b"{\"x\":\"\\udc00\"}".to_vec(),
            400,
            "INVALID_JSON",
        ),
        body(
            "lone surrogate in a key",
            b"{\"\\ud800x\":1}".to_vec(),
            400,
            "INVALID_JSON",
        ),
        body("BOM", b"\xef\xbb\xbf{}".to_vec(), 400, "INVALID_JSON"),
        body("not an object", b"[{}]".to_vec(), 400, "INVALID_REQUEST"),
        body("over 1 MiB", large(), 413, "PAYLOAD_TOO_LARGE"),
        row(
            "over 1 MiB, chunked",
            call(
                app,
                "echo",
                &good,
                reqwest::Body::wrap(http_body_util::StreamBody::new(futures_util::stream::iter(
                    [Ok::<_, std::convert::Infallible>(http_body::Frame::data(
                        bytes::Bytes::from(large()),
                    ))],
                ))),
            ),
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ]
}

fn plugin_rows(app: &TestApp) -> Vec<Row> {
    let good = claims().sign();
    let row = |plugin, status, code| Row {
        situation: plugin,
        request: call(app, plugin, &good, "{}"),
        status,
        code,
    };
    vec![
        row("raises", 500, "PLUGIN_ERROR"),
        row("broken_str", 500, "PLUGIN_ERROR"),
        row("exits", 500, "PLUGIN_ERROR"),
        row("list", 500, "PLUGIN_BAD_RESULT"),
        row("nan", 500, "OUTPUT_NOT_SERIALIZABLE"),
        row("large", 500, "OUTPUT_TOO_LARGE"),
        row("slow", 504, "PLUGIN_TIMEOUT"),
    ]
}

#[tokio::test]
async fn each_row_is_answered_as_the_table_says() {
    let app = gateway().await;
    let user = app.with_claims(&claims());
    let mut met = BTreeSet::new();
    let rows = [identity_rows(&app), request_rows(&app), plugin_rows(&app)];
    for row in rows.into_iter().flatten() {
        let answer = Answer::of(row.request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error_code"].as_str()),
            (row.status, Some(row.code)),
            "{}: {}",
            row.situation,
            answer.text
        );
        answer.expect_error(row.status, row.code);
        let challenge = answer.header("www-authenticate").is_some();
        assert_eq!(challenge, row.status == 401, "{}", row.situation);
        met.insert(row.code);
        let after = user.execute("echo", &json!({ "n": 1 })).await;
        assert_eq!(after.status, 200, "after {}: {}", row.situation, after.text);
    }

    // The plugin's one place is taken.
    let running = tokio::spawn({
        let user = user.clone();
        async move { user.execute("busy", &json!({ "s": 20 })).await }
    });
    app.metric_reaches("mozaiks_calls_running", |running| running >= 1.0)
        .await;
    let answer = user.execute("busy", &json!({ "s": 0 })).await;
    answer.expect_error(503, "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    met.insert("OVERLOADED");
    let refused =
        "mozaiks_plugin_calls_total{plugin=\"busy\",kind=\"execute\",outcome=\"overloaded\"}";
    assert_eq!(app.metric(refused).await, 1.0);
    running.abort();

    // The reason is for admins.
    let admin = app.with_claims(&claims().with("roles", vec!["admin"]));
    for (client, told) in [(&user, false), (&admin, true)] {
        let answer = client.execute("missing_module", &json!({})).await;
        answer.expect_error(503, "PLUGIN_UNAVAILABLE");
        assert_eq!(
            answer.text.contains("no_such_module_anywhere"),
            told,
            "{}",
            answer.text
        );
    }

    // No code is documented and never met.
    for code in documented() {
        let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == code);
        assert!(
            met.contains(code.as_str()) != elsewhere,
            "{code}: met here {}, elsewhere {elsewhere}",
            met.contains(code.as_str())
        );
    }
}

/// The codes of the table that users read.
fn documented() -> Vec<String> {
    let text = include_str!("../../docs/errors.md");
    let rows = text.lines().filter(|line| {
        line.strip_prefix("| ")
            .is_some_and(|row| row.starts_with(|first: char| first.is_ascii_digit()))
    });
    let codes: Vec<String> = rows
        .filter_map(|row| row.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert!(codes.len() > 30, "{codes:?}");
    codes
}
