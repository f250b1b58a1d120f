//! Every row of the contract's table of errors, met over HTTP.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Claims, TestApp};

const ECHO: &str = "def execute(data):\n    return {'data': data}\n";

/// Plugins that fail, each in one way.
const FAILING: &[(&str, &str)] = &[
    (
        "raises",
        "def execute(data):\n    raise ValueError('secret of the plugin')\n",
    ),
    (
        "raises_without_str",
        "class Broken(Exception):\n    def __str__(self):\n        raise RuntimeError('no')\n\
         def execute(data):\n    raise Broken()\n",
    ),
    ("exits", "import sys\ndef execute(data):\n    sys.exit(3)\n"),
    (
        "exits_async",
        "async def execute(data):\n    raise SystemExit(3)\n",
    ),
    (
        "interrupts",
        "def execute(data):\n    raise KeyboardInterrupt()\n",
    ),
    ("returns_list", "def execute(data):\n    return [1]\n"),
    ("returns_none", "def execute(data):\n    return None\n"),
    (
        "returns_nan",
        "def execute(data):\n    return {'deep': [{'x': float('nan')}]}\n",
    ),
    (
        "returns_bytes",
        "def execute(data):\n    return {'x': b'raw'}\n",
    ),
    (
        "returns_cycle",
        "def execute(data):\n    d = {}\n    d['d'] = d\n    return d\n",
    ),
    (
        "returns_surrogate",
        "def execute(data):\n    return {'x': '\\ud800'}\n",
    ),
    (
        "returns_object",
        "def execute(data):\n    return {'x': object()}\n",
    ),
    (
        "returns_much",
        "def execute(data):\n    return {'x': 'y' * (9 << 20)}\n",
    ),
    ("broken", "this is no python\n"),
];

async fn failing_app(dev: bool) -> TestApp {
    let mut builder = TestApp::builder().plugin("echo", ECHO);
    for (name, logic) in FAILING {
        builder = builder.plugin(name, logic);
    }
    if dev {
        builder = builder.dev();
    }
    builder.start().await
}

#[tokio::test]
async fn identity_errors() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let cases = [
        (app.anonymous(), 401, "AUTH_REQUIRED"),
        (app.expired(), 401, "TOKEN_EXPIRED"),
        (
            app.with_claims(&Claims::user("a").not_yet_valid()),
            401,
            "TOKEN_NOT_YET_VALID",
        ),
        (app.with_token("no.token.here"), 401, "TOKEN_INVALID"),
        (
            app.with_token(&Claims::user("a").sign_with("another secret, also long enough to use")),
            401,
            "TOKEN_INVALID",
        ),
        (
            app.with_claims(&Claims::user("a").without("exp")),
            401,
            "TOKEN_INVALID",
        ),
        (
            app.with_claims(&Claims::user("a").with("exp", "soon")),
            401,
            "TOKEN_INVALID",
        ),
        (
            app.with_claims(&Claims::user("a").without("user_id")),
            401,
            "TOKEN_INVALID",
        ),
        (
            // {"alg":"none","typ":"JWT"}
            app.with_token("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJ1c2VyX2lkIjoiYSJ9."),
            401,
            "TOKEN_INVALID",
        ),
        (
            app.with_claims(&Claims::user("a").with("padding", "x".repeat(9000))),
            401,
            "TOKEN_TOO_LARGE",
        ),
        (
            app.with_claims(&Claims::user("a").with("app_id", "another")),
            403,
            "APP_MISMATCH",
        ),
    ];
    for (client, status, code) in cases {
        let answer = client.execute("echo", &json!({})).await;
        answer.expect_error(status, code);
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge.is_some(), status == 401, "{code}: {challenge:?}");
    }
    app.user("a").execute("echo", &json!({})).await.expect_ok();
}

#[tokio::test]
async fn malformed_authorization() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let token = Claims::user("a").sign();
    for values in [
        vec!["Basic dTpw".to_owned()],
        vec!["Bearer".to_owned()],
        vec![token.clone()],
        vec![format!("Bearer {token}"), format!("Bearer {token}")],
    ] {
        let mut request = app
            .anonymous()
            .request(Method::POST, "/api/execute/echo")
            .json(&json!({}));
        for value in &values {
            request = request.header("authorization", value);
        }
        let answer = Answer::of(request).await;
        answer.expect_error(401, "AUTH_INVALID");
        assert!(!answer.text.contains(&token), "the token is not repeated");
    }
    let request = app
        .anonymous()
        .request(Method::POST, "/api/execute/echo")
        .header("authorization", format!("bEARER {token}"))
        .json(&json!({}));
    Answer::of(request).await.expect_ok();
}

#[tokio::test]
async fn names_that_are_no_plugin() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    for name in [
        "missing",
        "Echo",
        "1echo",
        "_echo",
        "echo.py",
        "echo%20",
        "%65cho",
        "..%2Fecho",
        "%2e%2e%2fecho",
        "echo%00",
        "echo/logic",
        "",
        &"e".repeat(65),
    ] {
        app.user("a")
            .execute(name, &json!({}))
            .await
            .expect_error(404, "PLUGIN_NOT_FOUND");
    }
}

#[tokio::test]
async fn bodies_that_are_not_taken() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let user = app.user("a");
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"{".to_vec(), 400, "INVALID_JSON"),
        (b" ".to_vec(), 400, "INVALID_JSON"),
        (b"\r\n\t".to_vec(), 400, "INVALID_JSON"),
        (vec![b' '; 100_000], 400, "INVALID_JSON"),
        (b"{'x': 1}".to_vec(), 400, "INVALID_JSON"),
        (b"{\"x\": \"\xff\"}".to_vec(), 400, "INVALID_JSON"),
        (b"{\"x\": \"\\ud800\"}".to_vec(), 400, "INVALID_JSON"),
        (b"\xef\xbb\xbf{}".to_vec(), 400, "INVALID_JSON"),
        (b"{\"x\": 1e999}".to_vec(), 400, "INVALID_JSON"),
        (b"{\"x\": NaN}".to_vec(), 400, "INVALID_JSON"),
        (b"{} {}".to_vec(), 400, "INVALID_JSON"),
        (deep.into_bytes(), 400, "INVALID_JSON"),
        (b"[1]".to_vec(), 400, "INVALID_REQUEST"),
        (b"null".to_vec(), 400, "INVALID_REQUEST"),
        (b"\"text\"".to_vec(), 400, "INVALID_REQUEST"),
        (vec![b' '; (1 << 20) + 1], 413, "PAYLOAD_TOO_LARGE"),
    ];
    for (body, status, code) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = user.execute_raw("echo", body).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.text);
        answer.expect_error(status, code);
    }
}

#[tokio::test]
async fn content_that_is_not_json() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let send = async |headers: &[(&str, &str)], body: &'static str| {
        let mut request = app
            .user("a")
            .request(Method::POST, "/api/execute/echo")
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request).await
    };
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
    ] {
        send(&[("content-type", content_type)], "{}")
            .await
            .expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    send(&[], "{}")
        .await
        .expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    send(&[], "").await.expect_ok();
    send(
        &[("content-type", "application/problem+json; charset=utf-8")],
        "{}",
    )
    .await
    .expect_ok();
    let json = ("content-type", "application/json");
    for encoding in ["gzip", "br"] {
        send(&[json, ("content-encoding", encoding)], "{}")
            .await
            .expect_error(415, "UNSUPPORTED_ENCODING");
    }
    send(&[json, ("content-encoding", "identity")], "{}")
        .await
        .expect_ok();
}

#[tokio::test]
async fn plugins_that_fail() {
    let mut app = failing_app(false).await;
    let user = app.user("a");
    for (name, status, code) in [
        ("raises", 500, "PLUGIN_ERROR"),
        ("raises_without_str", 500, "PLUGIN_ERROR"),
        ("exits", 500, "PLUGIN_ERROR"),
        ("exits_async", 500, "PLUGIN_ERROR"),
        ("interrupts", 500, "PLUGIN_ERROR"),
        ("returns_list", 500, "PLUGIN_BAD_RESULT"),
        ("returns_none", 500, "PLUGIN_BAD_RESULT"),
        ("returns_nan", 500, "OUTPUT_NOT_SERIALIZABLE"),
        ("returns_bytes", 500, "OUTPUT_NOT_SERIALIZABLE"),
        ("returns_cycle", 500, "OUTPUT_NOT_SERIALIZABLE"),
        ("returns_surrogate", 500, "OUTPUT_NOT_SERIALIZABLE"),
        ("returns_object", 500, "OUTPUT_NOT_SERIALIZABLE"),
        ("returns_much", 500, "OUTPUT_TOO_LARGE"),
        ("broken", 503, "PLUGIN_UNAVAILABLE"),
    ] {
        let answer = user.execute(name, &json!({})).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        let body = answer.expect_error(status, code);
        assert!(!answer.text.contains("secret of the plugin"), "{body}");
        assert!(!answer.text.contains("Traceback"), "{body}");
    }
    let answer = user.execute("returns_nan", &json!({})).await;
    let path = answer.json()["details"]["path"].clone();
    assert!(
        path.as_str()
            .is_some_and(|path| path.contains("deep") && path.contains('x')),
        "{path}"
    );

    // The traceback is in the log, under the request's id.
    let answer = user.execute("raises", &json!({})).await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    app.log_line(&[&id, "Traceback", "secret of the plugin"])
        .await;

    // The process is as good as before.
    user.execute("echo", &json!({})).await.expect_ok();
}

#[tokio::test]
async fn reasons_are_told_to_admins_and_developers() {
    let app = failing_app(false).await;
    let told = |answer: &Answer| answer.json()["details"]["reason"].to_string();
    let answer = app.user("a").execute("broken", &json!({})).await;
    assert_eq!(told(&answer), "null");
    let answer = app.admin().execute("broken", &json!({})).await;
    answer.expect_error(503, "PLUGIN_UNAVAILABLE");
    assert!(told(&answer).contains("SyntaxError"), "{}", answer.text);

    let app = failing_app(true).await;
    let answer = app.user("a").execute("raises", &json!({})).await;
    let body = answer.expect_error(500, "PLUGIN_ERROR");
    let traceback = body["details"]["traceback"].as_str().unwrap_or_default();
    assert!(traceback.contains("secret of the plugin"), "{body}");
}

#[tokio::test]
async fn domain_failures_have_their_status_and_their_body() {
    let logic = "def execute(data):\n    data.pop('_context')\n    return data['answer']\n";
    let builder = || TestApp::builder().plugin("fails", logic);
    let app = builder().start().await;
    let lenient = builder()
        .env("MOZAIKS_DOMAIN_ERRORS_AS_200", "true")
        .start()
        .await;
    for (code, status) in [
        (Some("VALIDATION_ERROR"), 422),
        (Some("NOT_FOUND"), 404),
        (Some("FORBIDDEN"), 403),
        (Some("FEATURE_GATED"), 403),
        (Some("CONFLICT"), 409),
        (Some("LIMIT_EXCEEDED"), 429),
        (Some("OUT_OF_CHEESE"), 400),
        (None, 400),
    ] {
        let mut answer = json!({ "error": "it did not work", "more": [1, 2] });
        if let Some(code) = code {
            answer["error_code"] = code.into();
        }
        let data = json!({ "answer": answer });
        let strict = app.user("a").execute("fails", &data).await;
        assert_eq!(
            (strict.status.as_u16(), strict.json()),
            (status, answer.clone())
        );
        let as_200 = lenient.user("a").execute("fails", &data).await;
        assert_eq!((as_200.status.as_u16(), as_200.json()), (200, answer));
    }
    let no_failure = json!({ "answer": { "error": 7, "error_code": "NOT_FOUND" } });
    app.user("a")
        .execute("fails", &no_failure)
        .await
        .expect_ok();
}

#[tokio::test]
async fn calls_over_their_limits() {
    let app = TestApp::builder()
        .plugin(
            "slow",
            "import asyncio\nasync def execute(data):\n    await asyncio.sleep(30)\n    return {}\n",
        )
        .plugin("spins", "async def execute(data):\n    while True:\n        pass\n")
        .env("MOZAIKS_PLUGIN_TIMEOUT_SECONDS", "1")
        .start()
        .await;
    for name in ["slow", "spins"] {
        let started = std::time::Instant::now();
        let answer = app.user("a").execute(name, &json!({})).await;
        answer.expect_error(504, "PLUGIN_TIMEOUT");
        // How late at most, `hostile` measures inside the gateway.
        let waited = started.elapsed();
        assert!(
            waited >= std::time::Duration::from_secs(1),
            "{name} was answered after {waited:?}"
        );
    }
}

#[tokio::test]
async fn a_full_plugin_is_overloaded() {
    let app = TestApp::builder()
        .plugin(
            "slow",
            "import asyncio\nasync def execute(data):\n    await asyncio.sleep(30)\n    return {}\n",
        )
        .env("MOZAIKS_PLUGIN_MAX_CONCURRENCY", "2")
        .start()
        .await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let user = app.user("a");
            tokio::spawn(async move { user.execute("slow", &json!({})).await })
        })
        .collect();
    app.metric_reaches("mozaiks_calls_running", |running| running >= 2.0)
        .await;
    let answer = app.user("a").execute("slow", &json!({})).await;
    answer.expect_error(503, "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    for call in waiting {
        call.abort();
    }
}

#[tokio::test]
async fn routes_and_methods() {
    let app = TestApp::builder().start().await;
    for path in ["/", "/nothing", "/api", "/api/execute", "/api/plugins/"] {
        app.user("a").get(path).await.expect_error(404, "NOT_FOUND");
    }
    for (method, path, allow) in [
        (Method::GET, "/api/execute/echo", "POST"),
        (Method::HEAD, "/api/execute/echo", "POST"),
        (Method::OPTIONS, "/api/execute/echo", "POST"),
        (Method::DELETE, "/api/plugins", "GET,HEAD"),
        (Method::POST, "/health", "GET,HEAD"),
    ] {
        let answer = Answer::of(app.user("a").request(method.clone(), path)).await;
        if method == Method::HEAD {
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (405, ""));
        } else {
            answer.expect_error(405, "METHOD_NOT_ALLOWED");
        }
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    let head = Answer::of(app.anonymous().request(Method::HEAD, "/health")).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn broken_plugins_leave_the_others_untouched() {
    let app = TestApp::with_plugins(&[
        "echo",
        "sync",
        "raises_broken_str",
        "sys_exit",
        "bad_import",
        "bad_manifest",
        "no_entry",
    ])
    .await;
    let user = app.user("a");
    for (name, status, code) in [
        ("raises_broken_str", 500, "PLUGIN_ERROR"),
        ("sys_exit", 500, "PLUGIN_ERROR"),
        ("bad_import", 503, "PLUGIN_UNAVAILABLE"),
        ("bad_manifest", 503, "PLUGIN_UNAVAILABLE"),
        ("no_entry", 503, "PLUGIN_UNAVAILABLE"),
    ] {
        let answer = user.execute(name, &json!({})).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        answer.expect_error(status, code);
        for fine in ["echo", "sync"] {
            user.execute(fine, &json!({ "n": 1 })).await.expect_ok();
        }
    }
}
