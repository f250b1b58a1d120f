//! Sign-in at identity providers, with the settings that the guides give and documents in the shape of
//! theirs: whichever way a token comes in, the same identity reaches the plugin.

mod provider;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::client::Request;

use self::provider::Provider;
use crate::{
    realtime::Socket,
    support::{Answer, Builder, SECRET, TestApp, program, within},
};

const LIMIT: Duration = Duration::from_secs(60);

const KEYCLOAK: &str = include_str!("../fixtures/sign_in/keycloak.json");
const AUTH0: &str = include_str!("../fixtures/sign_in/auth0.json");
const SUPABASE: &str = include_str!("../fixtures/sign_in/supabase.json");
const OWN: &str = include_str!("../fixtures/sign_in/own.json");

/// Says who calls, by each way into plugin code that a token opens.
const WHO: &str = r#"
from core.websocket_manager import websocket_manager


def seen(data):
    context = data["_context"]
    assert data["user_id"] == context["user_id"] and data["app_id"] == context["app_id"]
    return {name: context[name] for name in ("user_id", "app_id", "username", "roles")}


async def execute(data):
    return seen(data)


async def on_load(ctx):
    ctx.register_route("POST", "/me", me)
    ctx.register_route("POST", "/editors", me, roles=["editor"])


async def me(request):
    assert list(request.user.roles) == request.body["_context"]["roles"]
    return seen(request.body)


async def who(data, connection_id):
    await websocket_manager.send_to_connection(connection_id, {"type": "you", "seen": seen(data)})


websocket_manager.on_message("who", who)
"#;

fn gateway(settings: &[(String, String)]) -> Builder {
    let mut builder = TestApp::builder()
        .plugin("who", WHO)
        .without_secret()
        .env("MOZAIKS_JWKS_MIN_REFRESH_SECONDS", "1");
    for (name, value) in settings {
        builder = builder.env(name, value);
    }
    builder
}

async fn post(app: &TestApp, token: &str, path: &str) -> Answer {
    let request = app.with_token(token).request(Method::POST, path);
    Answer::of(request.json(&json!({"_context": {"roles": ["superadmin"]}}))).await
}

fn with_header(app: &TestApp, name: &'static str, value: String) -> Request {
    let mut request = Socket::request(app, "/ws");
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Sockets of the token, by each way to say who one is.
async fn sockets(app: &TestApp, token: &str) -> Vec<Socket> {
    let request = app
        .with_token(token)
        .request(Method::POST, "/api/ws/ticket");
    let ticket = Answer::of(request).await.expect_ok();
    let ticket = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    let mut sockets = Vec::new();
    for request in [
        with_header(app, "authorization", format!("Bearer {token}")),
        with_header(app, "sec-websocket-protocol", format!("bearer, {token}")),
        Socket::request(app, &ticket),
    ] {
        let mut socket = Socket::try_open(request).await.expect("it opens");
        socket.ack().await;
        sockets.push(socket);
    }
    let request = Socket::request(app, "/ws");
    let mut by_message = Socket::try_open(request).await.expect("it opens");
    by_message
        .say(&json!({"type": "auth", "token": token}))
        .await;
    by_message.ack().await;
    sockets.push(by_message);
    sockets
}

/// The guide's settings let the recorded token in, as whom it is of, by every way.
async fn follows_the_guide(recorded: &str) {
    let provider = Provider::start(recorded).await;
    provider.serve();
    let app = gateway(&provider.guide()).start().await;
    let token = provider.token(&json!({}));
    let expected = &provider.recorded["expected"];

    let called = app.with_token(&token).execute("who", &json!({})).await;
    assert_eq!(&called.expect_ok(), expected, "execute");
    for route in ["/api/plugins/who/me", "/api/plugins/who/editors"] {
        assert_eq!(
            &post(&app, &token, route).await.expect_ok(),
            expected,
            "{route}"
        );
    }
    for mut socket in sockets(&app, &token).await {
        assert_eq!(socket.ack["user_id"], expected["user_id"]);
        socket.say(&json!({"type": "who", "user_id": "root"})).await;
        assert_eq!(&socket.message().await["seen"], expected, "a socket");
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let stream = client
        .get(format!("http://{}/api/stream", app.address))
        .bearer_auth(&token);
    let mut stream = within(LIMIT, stream.send()).await.unwrap();
    let first = within(LIMIT, stream.chunk()).await.unwrap().unwrap();
    let user = expected["user_id"].as_str().unwrap();
    assert!(String::from_utf8_lossy(&first).contains(user), "a stream");
    // Each recorded user is an admin by the mapped roles.
    let admin = app.with_token(&token).get("/__mozaiks/admin/status").await;
    admin.expect_ok();
    assert!(app.metric("mozaiks_auth_keys").await >= 1.0);

    for wrong in [
        json!({"iss": "https://evil.example.com"}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"exp": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": ["root"]}),
        json!({"sub": null, "email": "root@example.com", "uid": ""}),
    ] {
        let token = provider.token(&wrong);
        for path in ["/api/execute/who", "/api/plugins/who/me"] {
            let refused = post(&app, &token, path).await;
            refused.expect_error(401, "TOKEN_INVALID");
        }
        let request = with_header(&app, "sec-websocket-protocol", format!("bearer, {token}"));
        let refused = Socket::try_open(request).await.err();
        assert_eq!(refused, Some((401, "TOKEN_INVALID".into())), "{wrong}");
    }
    if provider.recorded["heading"] != "An issuer of your own" {
        let nobody = post(
            &app,
            &provider.token(&json!({"sub": ""})),
            "/api/execute/who",
        )
        .await;
        assert!(
            nobody.text.contains("the claim sub must be"),
            "{}",
            nobody.text
        );
    }
    assert!(!app.log_text().contains(&token), "tokens are never logged");
}

#[tokio::test]
async fn keycloak_as_its_guide_says() {
    follows_the_guide(KEYCLOAK).await;
}

#[tokio::test]
async fn auth0_as_its_guide_says() {
    follows_the_guide(AUTH0).await;
}

#[tokio::test]
async fn supabase_as_its_guide_says() {
    follows_the_guide(SUPABASE).await;
}

#[tokio::test]
async fn an_issuer_of_ones_own_as_its_guide_says() {
    follows_the_guide(OWN).await;
}

#[tokio::test]
async fn a_missing_scope_is_named_by_every_way_in() {
    let provider = Provider::start(AUTH0).await;
    provider.serve();
    let app = gateway(&provider.guide()).start().await;
    let token = provider.token(&json!({"scope": "openid profile"}));
    for path in ["/api/execute/who", "/api/plugins/who/me", "/api/ws/ticket"] {
        let refused = post(&app, &token, path).await;
        let body = refused.expect_error(403, "FORBIDDEN");
        assert_eq!(body["details"]["scope"], "read:tasks", "{path}");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
    let stream = app.with_token(&token).get("/api/stream").await;
    stream.expect_error(403, "FORBIDDEN");
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("sec-websocket-protocol", format!("bearer, {token}")),
    ] {
        let refused = Socket::try_open(with_header(&app, name, value)).await.err();
        assert_eq!(refused, Some((403, "FORBIDDEN".into())), "{name}");
    }
    let mut socket = Socket::try_open(Socket::request(&app, "/ws"))
        .await
        .unwrap();
    socket.say(&json!({"type": "auth", "token": token})).await;
    assert_eq!(socket.close_code().await, 4403);

    let listed = provider.token(&json!({"scope": null, "scp": ["read:tasks"]}));
    app.with_token(&listed)
        .execute("who", &json!({}))
        .await
        .expect_ok();
}

#[tokio::test]
async fn an_issuer_that_is_down_or_another_is_waited_for() {
    let provider = Provider::start(KEYCLOAK).await;
    let issuer = [(
        "MOZAIKS_OIDC_ISSUER".to_owned(),
        provider.issuer().to_owned(),
    )];
    let mut app = gateway(&issuer).start().await;
    let token = provider.token(&json!({}));
    let call = async || app.with_token(&token).execute("who", &json!({})).await;
    let answer = call().await;
    answer.expect_error(503, "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));

    let mut other = provider.recorded["configuration"].clone();
    other["issuer"] = format!("{}/", provider.issuer()).into();
    provider.serve();
    provider.serve_configuration(&other);
    let doctor = doctor(&issuer).await;
    assert!(doctor.contains("FAIL  auth: no keys came from"), "{doctor}");
    assert!(doctor.contains("its issuer is"), "{doctor}");
    call().await.expect_error(503, "OVERLOADED");
    app.log_line(&["no keys could be fetched"]).await;

    provider.serve();
    let call = async || app.with_token(&token).execute("who", &json!({})).await;
    within(LIMIT, async {
        while call().await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let doctor = self::doctor(&issuer).await;
    assert!(doctor.contains("ok    auth: 1 key from"), "{doctor}");
    assert!(doctor.contains("(RS256)"), "{doctor}");
    assert!(doctor.contains("no audience is configured"), "{doctor}");
}

async fn doctor(settings: &[(String, String)]) -> String {
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = tokio::process::Command::new(program());
    command
        .args(["doctor", "--plugins", "."])
        .current_dir(dir.path())
        .env_remove("MOZAIKS_JWT_SECRET")
        .envs(settings.iter().map(|(name, value)| (name, value)));
    let output = within(LIMIT, command.output()).await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_shared_secret_takes_the_mapped_claims_too() {
    let dir = tempfile::TempDir::new().unwrap();
    let claims = [
        ("MOZAIKS_USER_ID_CLAIM", "account.id"),
        ("MOZAIKS_ROLES_CLAIM", r"resource_access.api\.shop.roles"),
        ("MOZAIKS_REQUIRED_SCOPES", "tasks"),
    ];
    let mut builder = TestApp::builder().plugin("who", WHO);
    for (name, value) in claims {
        builder = builder.env(name, value);
    }
    let app = builder.start().await;
    let mut command = tokio::process::Command::new(program());
    command
        .args(["token", "--user", "ada", "--role", "editor"])
        .current_dir(dir.path())
        .env("MOZAIKS_JWT_SECRET", SECRET)
        .envs(claims);
    let output = within(LIMIT, command.output()).await.unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let seen = app
        .with_token(token.trim())
        .execute("who", &json!({}))
        .await;
    let seen: Value = seen.expect_ok();
    assert_eq!(seen["user_id"], "ada");
    assert_eq!(seen["roles"], json!(["editor"]));
}
