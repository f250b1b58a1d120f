//! Routes of plugins at their edges: who a client is, what a body may be, answers in pieces, what the
//! description says of them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Claims, TestApp, TestClient, within},
};

const LIMIT: Duration = Duration::from_secs(60);

const EDGES: &str = r#"
from core.plugin import Response
from core.event_bus import event_bus

written = 0
heard = []

def on_load(ctx):
    ctx.register_route("GET", "/who", who, requires_auth=False)
    ctx.register_route("GET", "/rare", lambda request: {}, requires_auth=False, rate_limit=1)
    ctx.register_route("POST", "/echo", lambda request: request.body, requires_auth=False)
    ctx.register_route("POST", "/raw", lambda request: request.raw, raw_body=True)
    ctx.register_route("GET", "/answer/{kind}", answer)
    ctx.register_route("GET", "/endless", endless)
    ctx.register_route("GET", "/written", lambda request: {"written": written, "heard": heard})
    ctx.register_route("POST", "/emit/{name}", lambda request: ctx.emit(request.params["name"], {}))
    ctx.register_route("PUT", "/things/:id/{*rest}", lambda request: {}, roles=["staff"],
        rate_limit=5,
        request_schema={
            "required": ["body"],
            "properties": {
                "body": {"type": "object", "properties": {"n": {"type": "integer"}}},
                "query": {"required": ["a"], "properties": {"a": {"type": "string"}, "b": {}}},
                "params": {"properties": {"id": {"pattern": "^[0-9]+$"}}},
            },
        },
        response_schema={"type": "object"})
    ctx.on("edges:asked", lambda data: heard.append("late"), priority=20)
    ctx.on("edges:asked", lambda data: heard.append("first"), priority=1)
    ctx.on("edges:asked", lambda data: heard.append("middle"))

async def who(request):
    return {"ip": request.client_ip, "app": request.app_id, "headers": sorted(request.headers)}

async def answer(request):
    return {
        "204": lambda: Response(204, body="left out"),
        "page": lambda: Response(body="<p>", content_type="Text/HTML"),
        "cors": lambda: Response(headers={"Access-Control-Allow-Origin": "*"}),
        "length": lambda: Response(headers={"Content-Length": "1"}),
        "low": lambda: Response(101),
        "high": lambda: Response(700),
        "set": lambda: {1, 2},
        "object": lambda: object(),
        "text": lambda: "four",
    }[request.params["kind"]]()

async def endless(request):
    async def pieces():
        global written
        while True:
            written += 1
            yield b"x" * 65536
    return pieces()
"#;

async fn edges() -> TestApp {
    with_sdk().plugin("edges", EDGES).start().await
}

fn path(below: &str) -> String {
    format!("/api/plugins/edges/{below}")
}

async fn forwarded(client: &TestClient, below: &str, said: &str) -> Answer {
    let request = client.request(Method::GET, &path(below));
    Answer::of(request.header("x-forwarded-for", said)).await
}

#[tokio::test]
async fn nobody_names_an_address_but_a_trusted_proxy() {
    let app = edges().await;
    let anybody = app.anonymous();
    let told = forwarded(&anybody, "who", "9.9.9.9").await.expect_ok();
    assert_eq!(told["ip"], "127.0.0.1");
    assert!(
        !told["headers"].to_string().contains("forwarded"),
        "a handler would believe it: {told}"
    );
    forwarded(&anybody, "rare", "9.9.9.1").await.expect_ok();
    let refused = forwarded(&anybody, "rare", "9.9.9.2").await;
    refused.expect_error(429, "RATE_LIMITED");
    assert!(refused.header("retry-after").is_some());
    // A user counts for itself, wherever it comes from.
    app.user("ann").get(&path("rare")).await.expect_ok();

    let app = with_sdk()
        .plugin("edges", EDGES)
        .env("MOZAIKS_TRUSTED_PROXIES", "127.0.0.0/8, fd00::/8")
        .start()
        .await;
    let anybody = app.anonymous();
    let told = forwarded(&anybody, "who", "8.8.8.8, 9.9.9.9").await;
    assert_eq!(
        told.expect_ok()["ip"],
        "9.9.9.9",
        "the last is the proxy's own word"
    );
    for client in ["9.9.9.1", "9.9.9.2", "2001:db8::1"] {
        forwarded(&anybody, "rare", client).await.expect_ok();
    }
    for again in ["9.9.9.1", "8.8.8.8, 9.9.9.2", "2001:db8::2"] {
        let refused = forwarded(&anybody, "rare", again).await;
        refused.expect_error(429, "RATE_LIMITED");
    }
}

#[tokio::test]
async fn with_many_apps_a_public_route_needs_one_that_is_named() {
    let many = || with_sdk().plugin("edges", EDGES).env("MOZAIKS_APP_ID", "*");
    let app = many().start().await;
    let public = path("who");
    let refused = app.anonymous().get(&public).await;
    refused.expect_error(401, "AUTH_REQUIRED");
    let ann = app.with_claims(&Claims::user("ann").with("app_id", "one"));
    assert_eq!(ann.get(&public).await.expect_ok()["app"], "one");
    let app = many().env("MOZAIKS_PUBLIC_APP_ID", "shop").start().await;
    assert_eq!(
        app.anonymous().get(&public).await.expect_ok()["app"],
        "shop"
    );
    let ann = app.with_claims(&Claims::user("ann").with("app_id", "one"));
    assert_eq!(ann.get(&public).await.expect_ok()["app"], "one");
}

#[tokio::test]
async fn bodies_are_taken_to_the_last_level_and_byte_for_byte() {
    let app = edges().await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let post = async |below: &str, content: &str, body: String| {
        let request = app.user("ann").request(Method::POST, &path(below));
        Answer::of(request.header("content-type", content).body(body)).await
    };
    let deep = post("raw", "application/json", nested(64)).await;
    assert_eq!((deep.status.as_u16(), deep.text), (200, nested(64)));
    let deeper = post("raw", "application/json", nested(65)).await;
    deeper.expect_error(400, "INVALID_JSON");
    for wrong in ["{", "nonsense", "{\"a\": 1e999}"] {
        let refused = post("echo", "application/json", wrong.into()).await;
        refused.expect_error(400, "INVALID_JSON");
    }
    let text = post("echo", "text/plain", "{\"a\": 1}".into()).await;
    assert_eq!(text.text, "{\"a\": 1}");
    let signed = "{ \"b\" :1,\n\"a\":2.50 }";
    let raw = post("raw", "application/json", signed.into()).await;
    assert_eq!(raw.text, signed);
    let request = app.user("ann").request(Method::POST, &path("echo"));
    let packed = request.header("content-encoding", "gzip").body("x");
    Answer::of(packed)
        .await
        .expect_error(415, "UNSUPPORTED_ENCODING");
    let large = post("echo", "text/plain", "x".repeat((1 << 20) + 1)).await;
    large.expect_error(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn an_answer_sets_nothing_that_is_the_gateways() {
    let app = edges().await;
    let ann = app.user("ann");
    let get = async |kind: &str| ann.get(&path(&format!("answer/{kind}"))).await;
    let empty = get("204").await;
    assert_eq!((empty.status.as_u16(), &*empty.text), (204, ""));
    assert_eq!(empty.header("content-type"), None);
    let page = get("page").await;
    assert_eq!(page.header("content-security-policy"), Some("sandbox"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for wrong in ["cors", "length", "low", "high"] {
        get(wrong).await.expect_error(500, "PLUGIN_BAD_RESULT");
    }
    assert_eq!(get("set").await.expect_ok(), json!([1, 2]));
    let object = get("object").await;
    let object = object.expect_error(500, "OUTPUT_NOT_SERIALIZABLE");
    assert_eq!(
        object["details"]["path"], "$",
        "of the answer, however it travels"
    );
    let head = Answer::of(ann.request(Method::HEAD, &path("answer/text"))).await;
    assert_eq!((head.status.as_u16(), &*head.text), (200, ""));
    assert_eq!(
        head.header("content-length"),
        Some("4"),
        "as GET would send"
    );
    let options = Answer::of(ann.request(Method::OPTIONS, &path("echo"))).await;
    options.expect_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(options.header("allow"), Some("POST"));
    let head = Answer::of(ann.request(Method::HEAD, &path("echo"))).await;
    assert_eq!(head.status.as_u16(), 405);
}

#[tokio::test]
async fn a_stream_waits_for_its_reader_and_ends_with_it() {
    let app = edges().await;
    let ann = app.user("ann");
    let written = async || ann.get(&path("written")).await.expect_ok()["written"].clone();
    let request = ann.request(Method::GET, &path("endless")).send().await;
    let mut reading = request.unwrap();
    reading.chunk().await.unwrap().unwrap();
    // The writer stops once its queue and the sockets' buffers are full.
    let settled = within(LIMIT, async {
        let mut before = written().await;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = written().await;
            if now == before {
                return now;
            }
            before = now;
        }
    })
    .await;
    assert!(
        settled.as_u64().unwrap() < 1000,
        "{settled} pieces of 64 KiB"
    );
    assert_eq!(app.metric("mozaiks_plugin_streams_open").await, 1.0);
    drop(reading);
    app.metric_reaches("mozaiks_plugin_streams_open", |open| open == 0.0)
        .await;
    // Only the head is asked for: nobody reads, and the writer is let go.
    let head = Answer::of(ann.request(Method::HEAD, &path("endless"))).await;
    assert_eq!(head.status.as_u16(), 200);
    app.metric_reaches("mozaiks_plugin_streams_open", |open| open == 0.0)
        .await;
}

#[tokio::test]
async fn one_stream_more_than_there_may_be_is_to_come_again() {
    let app = with_sdk()
        .plugin("edges", EDGES)
        .env("MOZAIKS_PLUGIN_MAX_STREAMS", "1")
        .start()
        .await;
    let ann = app.user("ann");
    let reading = ann.request(Method::GET, &path("endless")).send().await;
    let mut reading = reading.unwrap();
    reading.chunk().await.unwrap().unwrap();
    let refused = ann.get(&path("endless")).await;
    let said = refused.expect_error(503, "OVERLOADED");
    assert!(said["error"].as_str().unwrap().contains("streamed"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(wait > 0);
    // What needs no stream is answered as ever.
    ann.get(&path("written")).await.expect_ok();
    drop(reading);
    app.metric_reaches("mozaiks_plugin_streams_open", |open| open == 0.0)
        .await;
    let again = ann.request(Method::GET, &path("endless")).send().await;
    assert_eq!(again.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn routes_are_described_as_long_as_they_are_served() {
    let app = edges().await;
    let describe = async || app.anonymous().get("/openapi.json").await.expect_ok();
    let paths = describe().await["paths"].clone();
    let who = &paths["/api/plugins/edges/who"]["get"];
    assert!(
        who["responses"]["200"].is_object() && who.get("security").is_none(),
        "{who}"
    );
    let things = &paths["/api/plugins/edges/things/{id}/{rest}"]["put"];
    assert_eq!(things["security"], json!([{"bearer": []}]));
    assert_eq!(things["x-roles"], json!(["staff"]));
    let body = &things["requestBody"];
    assert_eq!(body["required"], true);
    let schema = &body["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["n"]["type"], "integer");
    let parameters = things["parameters"].as_array().unwrap();
    let named: Vec<_> = parameters
        .iter()
        .map(|each| {
            (
                each["name"].as_str().unwrap(),
                each["in"].as_str().unwrap(),
                each["required"] == true,
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("id", "path", true),
            ("rest", "path", true),
            ("a", "query", true),
            ("b", "query", false)
        ]
    );
    assert_eq!(parameters[0]["schema"]["pattern"], "^[0-9]+$");
    for status in ["200", "401", "403", "422", "429", "default"] {
        assert!(things["responses"][status].is_object(), "{status}");
    }
    assert_eq!(
        things["responses"]["200"]["content"]["application/json"]["schema"]["type"],
        "object"
    );
    let set = async |enabled: bool| {
        let request = app.admin().request(Method::POST, &path("enable"));
        Answer::of(request.json(&json!({"enabled": enabled})))
            .await
            .expect_ok();
    };
    set(false).await;
    let of_it = |document: &Value| {
        document["paths"]
            .to_string()
            .contains("/api/plugins/edges/")
    };
    assert!(!of_it(&describe().await));
    set(true).await;
    assert!(of_it(&describe().await));
}

#[tokio::test]
async fn events_come_in_order_and_the_gateways_own_only_from_it() {
    let app = edges().await;
    let emit = async |name: &str| {
        let request = app
            .user("ann")
            .request(Method::POST, &path(&format!("emit/{name}")));
        Answer::of(request).await
    };
    assert_eq!(emit("edges:asked").await.status.as_u16(), 204);
    within(LIMIT, async {
        loop {
            let told = app.user("ann").get(&path("written")).await.expect_ok();
            if told["heard"].as_array().unwrap().len() == 3 {
                assert_eq!(told["heard"], json!(["first", "middle", "late"]));
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    for own in [
        "plugin_loaded",
        "plugin_executed",
        "settings_updated",
        "user:connected",
    ] {
        emit(own).await.expect_error(500, "PLUGIN_ERROR");
    }
    let history = app
        .admin()
        .get("/__mozaiks/admin/events/history?event=user:connected")
        .await;
    assert_eq!(history.expect_ok()["count"], 0);
}

#[tokio::test]
async fn a_dash_in_an_address_may_stand_for_a_line() {
    const NAMED: &str =
        "def on_load(ctx):\n    ctx.register_route('GET', '/', lambda request: __name__)\n";
    let app = with_sdk()
        .plugin("two_words", NAMED)
        .plugin("other-words", NAMED)
        .plugin("other_words", NAMED)
        .start()
        .await;
    let ann = app.user("ann");
    for good in ["two_words", "two-words", "other-words", "other_words"] {
        let answer = ann.get(&format!("/api/plugins/{good}/")).await;
        assert_eq!(answer.status.as_u16(), 200, "{good}: {}", answer.text);
        let exact = answer.text.contains(good) || good == "two-words";
        assert!(exact, "{good}: {}", answer.text);
    }
    let none = ann.get("/api/plugins/two-word/").await;
    none.expect_error(404, "PLUGIN_NOT_FOUND");
}
