//! Attacks on tokens, and keys that come from a URL, over HTTP. What each check looks at is tested
//! beside the verifier.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{Claims, TestApp, hs256, within};

const ECHO: &str = "def execute(data):\n    return {'data': data}\n";
const LIMIT: Duration = Duration::from_secs(60);

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Something that listens and counts who comes.
struct Trap {
    url: String,
    visits: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Trap {
    async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&visits);
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, visits, task }
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn forged_tokens_are_refused_and_nothing_is_fetched() {
    let trap = Trap::set().await;
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let claims = Claims::user("root").with("roles", vec!["superadmin"]);
    let body = part(claims.value());
    let mut tokens: Vec<String> = Vec::new();
    for none in ["none", "None", "NONE", "nOnE", ""] {
        tokens.push(format!("{}.{body}.", part(&json!({ "alg": none }))));
    }
    // Signed with the right secret, but with a demand in the header.
    let own_key =
        json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode("attacker's own key of 32 bytes!!") });
    for header in [
        json!({ "alg": "HS256", "crit": ["exp"] }),
        json!({ "alg": "HS256", "crit": [], "b64": false }),
        json!({ "alg": "HS512" }),
        json!({ "alg": "RS256" }),
        json!({}),
    ] {
        tokens.push(claims.sign_with_header(header));
    }
    // Signed with a key that the header brings or points to.
    for header in [
        json!({ "alg": "HS256", "jwk": own_key }),
        json!({ "alg": "HS256", "jku": trap.url }),
        json!({ "alg": "HS256", "x5u": trap.url, "x5c": ["AAAA"] }),
        json!({ "alg": "HS256", "kid": "../../../../../../dev/null" }),
        json!({ "alg": "HS256", "kid": "x' UNION SELECT 'key" }),
    ] {
        tokens.push(hs256(
            &header,
            claims.value(),
            b"attacker's own key of 32 bytes!!",
        ));
        tokens.push(hs256(&header, claims.value(), b""));
    }
    // A good token with another payload, and one with its signature cut short.
    let good = claims.sign();
    let pieces: Vec<&str> = good.split('.').collect();
    let changed =
        part(&json!({ "user_id": "root", "exp": 4_000_000_000_u64, "is_superadmin": true }));
    tokens.push(format!("{}.{changed}.{}", pieces[0], pieces[2]));
    tokens.push(good[..good.len() - 4].to_owned());
    tokens.push(format!("{good}.{}", pieces[2]));
    for claims in [
        claims.clone().without("exp"),
        claims.clone().with("exp", "4000000000"),
        claims.clone().with("exp", Value::Null),
    ] {
        tokens.push(claims.sign());
    }
    for token in &tokens {
        let answer = app.with_token(token).execute("echo", &json!({})).await;
        answer.expect_error(401, "TOKEN_INVALID");
    }
    let large = claims.clone().with("pad", "x".repeat(9 << 10)).sign();
    let answer = app.with_token(&large).execute("echo", &json!({})).await;
    answer.expect_error(401, "TOKEN_TOO_LARGE");
    assert_eq!(trap.visits.load(Ordering::SeqCst), 0, "nothing is fetched");

    // The harmless headers of a good token change nothing either.
    let pointing = claims.sign_with_header(json!({ "alg": "HS256", "jku": trap.url }));
    let answer = app.with_token(&pointing).execute("echo", &json!({})).await;
    assert_eq!(answer.expect_ok()["data"]["user_id"], "root");
    assert_eq!(trap.visits.load(Ordering::SeqCst), 0, "nothing is fetched");
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let base64 = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    );
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("key.pem");
    std::fs::write(&path, &pem).unwrap();
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .without_secret()
        .env("MOZAIKS_JWT_PUBLIC_KEY_FILE", &path.display().to_string())
        .start()
        .await;
    let claims = Claims::user("root");
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), der.as_ref()] {
        let token = hs256(&header, claims.value(), secret);
        let answer = app.with_token(&token).execute("echo", &json!({})).await;
        answer.expect_error(401, "TOKEN_INVALID");
    }
    let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(private.as_ref())
    );
    let key = EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
    let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims.value(), &key).unwrap();
    let answer = app.with_token(&token).execute("echo", &json!({})).await;
    assert_eq!(answer.expect_ok()["data"]["user_id"], "root");
}

/// A key pair of an identity provider.
struct ProviderKey {
    id: &'static str,
    private: EncodingKey,
    jwk: Value,
}

impl ProviderKey {
    fn new(id: &'static str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self {
            id,
            private: EncodingKey::from_ec_der(der.as_ref()),
            jwk: json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encode(x), "y": encode(y) }),
        }
    }

    fn token(&self) -> String {
        let header = Header {
            kid: Some(self.id.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let claims = Claims::user("a");
        jsonwebtoken::encode(&header, claims.value(), &self.private).unwrap()
    }
}

/// Serves a document on loopback, or refuses to.
struct KeyServer {
    url: String,
    document: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl KeyServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let document = Arc::new(Mutex::new(None::<String>));
        let served = Arc::clone(&document);
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let document = served.lock().unwrap().clone();
                let (status, body) = match document {
                    Some(document) => ("200 OK", document),
                    None => ("503 Service Unavailable", String::new()),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self {
            url,
            document,
            task,
        }
    }

    fn serve(&self, keys: &[&ProviderKey]) {
        let keys: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
        *self.document.lock().unwrap() = Some(json!({ "keys": keys }).to_string());
    }

    fn fail(&self) {
        *self.document.lock().unwrap() = None;
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn keys_behind_a_url_rotate_and_outlive_an_outage() {
    let server = KeyServer::start().await;
    let (first, second, third) = (
        ProviderKey::new("first"),
        ProviderKey::new("second"),
        ProviderKey::new("third"),
    );
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .without_secret()
        .env("MOZAIKS_JWKS_URL", &server.url)
        .env("MOZAIKS_JWKS_MIN_REFRESH_SECONDS", "1")
        .start()
        .await;
    let call = async |key: &ProviderKey| {
        app.with_token(&key.token())
            .execute("echo", &json!({}))
            .await
    };
    // Fetches are at most one a second: the answer changes when the next one has been allowed.
    let becomes = async |key: &ProviderKey, status: u16| {
        within(LIMIT, async {
            loop {
                let answer = call(key).await;
                if answer.status.as_u16() == status {
                    return answer;
                }
            }
        })
        .await
    };

    // No keys yet: nobody can say whether the token is good.
    let answer = call(&first).await;
    answer.expect_error(503, "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("www-authenticate"), None);
    let forged = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&json!({})));
    let answer = app.with_token(&forged).execute("echo", &json!({})).await;
    answer.expect_error(401, "TOKEN_INVALID");

    server.serve(&[&first]);
    becomes(&first, 200).await;
    // A key that is nobody's, while the URL answers.
    becomes(&third, 401)
        .await
        .expect_error(401, "TOKEN_INVALID");
    server.serve(&[&first, &second]);
    becomes(&second, 200).await;

    server.fail();
    becomes(&third, 503).await.expect_error(503, "OVERLOADED");
    for key in [&first, &second] {
        call(key).await.expect_ok();
    }
    server.serve(&[&second, &third]);
    becomes(&third, 200).await;
    call(&first).await.expect_error(401, "TOKEN_INVALID");
    call(&second).await.expect_ok();
}
