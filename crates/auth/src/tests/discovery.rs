//! Keys of an OIDC issuer: what its document must be, what it may decide, and what it may not.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// An issuer on loopback: answers by path, status line and body.
struct Provider {
    base: String,
    answers: Arc<Mutex<HashMap<String, (String, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<HashMap<String, (String, String)>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (served, noted) = (Arc::clone(&answers), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let answer = served.lock().get(&path).cloned();
                let (status, body) = answer.unwrap_or(("404 Not Found".into(), "{}".into()));
                noted.lock().push(path);
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // A client that has had enough of a large body may be gone.
                let _ = socket.write_all(text.as_bytes()).await;
            }
        });
        Self {
            base,
            answers,
            asked,
            task,
        }
    }

    fn answer(&self, path: &str, status: &str, body: impl ToString) {
        let answer = (status.to_owned(), body.to_string());
        self.answers.lock().insert(path.to_owned(), answer);
    }

    /// Serves the document of the issuer below `path`.
    fn announce(&self, path: &str, document: &Value) {
        let path = format!("{path}/.well-known/openid-configuration");
        self.answer(&path, "200 OK", document);
    }

    fn document(&self, algorithms: &[&str]) -> Value {
        json!({
            "issuer": self.base,
            "jwks_uri": format!("{}/keys", self.base),
            "id_token_signing_alg_values_supported": algorithms,
        })
    }

    fn serve_keys(&self, keys: &[Value]) {
        self.answer("/keys", "200 OK", jwks(keys));
    }

    fn config(&self) -> AuthConfig {
        AuthConfig {
            keys: Some(KeySource::Oidc(self.base.clone())),
            jwks_min_refresh: Duration::ZERO,
            ..AuthConfig::default()
        }
    }

    fn token(&self, key: &TestKey, algorithm: Algorithm, id: &str) -> String {
        key.sign(algorithm, Some(id), &claims(json!({"iss": self.base})))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn the_document_leads_to_the_keys_and_names_the_issuer() {
    let provider = Provider::start().await;
    let key = TestKey::p256();
    provider.announce("", &provider.document(&["ES256"]));
    provider.serve_keys(&[key.jwk_named("k1")]);
    let (verifier, _) = build(&provider.config());
    let token = provider.token(&key, Algorithm::ES256, "k1");
    assert_eq!(verifier.verify_now(&token), None, "keys are fetched first");
    assert!(verifier.verify(&token).await.is_ok());
    assert!(verdict(&verifier, &token).is_ok());
    for issuer in [
        json!({}),
        json!({"iss": format!("{}/", provider.base)}),
        json!({"iss": "https://evil.example"}),
        json!({"iss": [provider.base]}),
    ] {
        let token = key.sign(Algorithm::ES256, Some("k1"), &claims(issuer.clone()));
        assert!(
            matches!(verdict(&verifier, &token), Err(AuthError::Invalid(_))),
            "{issuer}"
        );
    }
    let asked = provider.asked.lock().clone();
    assert_eq!(asked, ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn a_path_of_the_issuer_and_its_slash_are_kept() {
    let provider = Provider::start().await;
    let key = TestKey::p256();
    for (path, issuer) in [("/auth/v1", "/auth/v1"), ("/realms/shop", "/realms/shop/")] {
        let issuer = format!("{}{issuer}", provider.base);
        let mut document = provider.document(&["ES256"]);
        document["issuer"] = issuer.clone().into();
        provider.announce(path, &document);
        provider.serve_keys(&[key.jwk_named("k1")]);
        let config = AuthConfig {
            keys: Some(KeySource::Oidc(issuer.clone())),
            ..provider.config()
        };
        let (verifier, _) = build(&config);
        let token = key.sign(Algorithm::ES256, None, &claims(json!({"iss": issuer})));
        assert!(verifier.verify(&token).await.is_ok(), "{issuer}");
    }
}

#[tokio::test]
async fn a_document_that_is_not_the_issuers_own_brings_no_keys() {
    let provider = Provider::start().await;
    let key = TestKey::p256();
    provider.serve_keys(&[key.jwk_named("k1")]);
    let good = provider.document(&["ES256"]);
    let changed = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document
    };
    let slash = format!("{}/", provider.base);
    let large = format!("{}{}", good, " ".repeat(1 << 20));
    let cases = [
        (changed("issuer", slash.into()).to_string(), "its issuer is"),
        (
            changed("issuer", json!("https://evil.example")).to_string(),
            "evil.example",
        ),
        (
            changed("issuer", json!(null)).to_string(),
            "no discovery document",
        ),
        (
            changed("jwks_uri", json!(null)).to_string(),
            "no discovery document",
        ),
        (
            changed("jwks_uri", json!("keys")).to_string(),
            "cannot be read",
        ),
        (
            changed("jwks_uri", json!("http://192.0.2.1/keys")).to_string(),
            "must be https",
        ),
        (
            changed("jwks_uri", json!("file:///etc/passwd")).to_string(),
            "must be https",
        ),
        (large, "larger than 1MiB"),
        ("[]".into(), "no discovery document"),
        ("no JSON".into(), "no discovery document"),
    ];
    for (body, why) in cases {
        provider.answer("/.well-known/openid-configuration", "200 OK", &body);
        let (verifier, _) = build(&provider.config());
        verifier.prefetch().await;
        assert_eq!(verifier.key_count(), 0, "{why}");
        let said = verifier.fetch_failure().unwrap();
        assert!(said.contains(why), "{why}: {said}");
        let token = provider.token(&key, Algorithm::ES256, "k1");
        assert_eq!(
            verifier.verify(&token).await,
            Err(AuthError::KeysUnavailable)
        );
    }
    let elsewhere = format!("302 Found\r\nlocation: {}/other", provider.base);
    provider.answer("/other", "200 OK", &good);
    provider.answer("/.well-known/openid-configuration", &elsewhere, "");
    let (verifier, _) = build(&provider.config());
    verifier.prefetch().await;
    let said = verifier.fetch_failure().unwrap();
    assert!(said.contains("redirects are not followed"), "{said}");
    assert!(!provider.asked.lock().contains(&"/other".to_owned()));
}

#[tokio::test]
async fn only_announced_algorithms_of_public_keys_count() {
    let provider = Provider::start().await;
    let key = TestKey::rsa();
    provider.serve_keys(&[key.jwk_named("k1")]);
    let verdict_on = async |announced: Value, algorithm: Algorithm| {
        let mut document = provider.document(&[]);
        match announced {
            Value::Null => {
                let fields = document.as_object_mut().unwrap();
                fields.remove("id_token_signing_alg_values_supported");
            }
            listed => document["id_token_signing_alg_values_supported"] = listed,
        }
        provider.announce("", &document);
        let (verifier, _) = build(&provider.config());
        verifier.verify(&provider.token(key, algorithm, "k1")).await
    };
    let common = json!(["none", "HS256", "RS256", "PS256", "ES512", 7]);
    assert!(verdict_on(common.clone(), Algorithm::RS256).await.is_ok());
    assert!(verdict_on(common.clone(), Algorithm::PS256).await.is_ok());
    assert_eq!(
        verdict_on(common, Algorithm::RS512).await,
        Err(AuthError::Invalid("its algorithm is not one of the key's"))
    );
    assert!(verdict_on(Value::Null, Algorithm::RS512).await.is_ok());
    for useless in [
        json!([]),
        json!(["none"]),
        json!(["HS256", "HS512"]),
        json!(["ES256"]),
    ] {
        assert_eq!(
            verdict_on(useless.clone(), Algorithm::RS256).await,
            Err(AuthError::KeysUnavailable),
            "{useless}"
        );
    }
}

#[tokio::test]
async fn a_secret_in_the_keys_is_no_key() {
    let provider = Provider::start().await;
    let key = TestKey::p256();
    provider.announce("", &provider.document(&["HS256", "ES256"]));
    let secret = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": base64url(SECRET)});
    provider.serve_keys(&[secret, key.jwk_named("k1")]);
    let (verifier, _) = build(&provider.config());
    let good = provider.token(&key, Algorithm::ES256, "k1");
    assert!(verifier.verify(&good).await.is_ok());
    for header in [
        r#"{"alg":"HS256","kid":"s"}"#,
        r#"{"alg":"HS256","kid":"k1"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"none"}"#,
    ] {
        let forged = hs256_raw(header, &claims(json!({"iss": provider.base})).to_string());
        assert!(verifier.verify(&forged).await.is_err(), "{header}");
    }
}

#[tokio::test]
async fn keys_rotate_where_the_document_says_and_outlive_an_outage() {
    let provider = Provider::start().await;
    let (old, new) = (TestKey::p256(), TestKey::p256());
    provider.announce("", &provider.document(&["ES256"]));
    provider.serve_keys(&[old.jwk_named("old")]);
    let (verifier, _) = build(&provider.config());
    let of = |key: &TestKey, id: &str| provider.token(key, Algorithm::ES256, id);
    assert!(verifier.verify(&of(&old, "old")).await.is_ok());

    // The keys move, and with them the document.
    let mut moved = provider.document(&["ES256"]);
    moved["jwks_uri"] = format!("{}/new-keys", provider.base).into();
    provider.announce("", &moved);
    provider.answer("/new-keys", "200 OK", jwks(&[new.jwk_named("new")]));
    assert!(verifier.verify(&of(&new, "new")).await.is_ok());
    assert!(verifier.verify(&of(&old, "old")).await.is_err());

    let path = "/.well-known/openid-configuration";
    let stolen = json!({"issuer": "https://evil.example", "jwks_uri": moved["jwks_uri"]});
    for (status, body) in [("500 Oops", json!({})), ("200 OK", stolen)] {
        provider.answer(path, status, body);
        assert_eq!(
            verifier.verify(&of(&old, "other")).await,
            Err(AuthError::KeysUnavailable)
        );
        assert!(verdict(&verifier, &of(&new, "new")).is_ok(), "{status}");
    }
    let stats = verifier.fetch_stats();
    assert!(stats.succeeded >= 2 && stats.failed == 2, "{stats:?}");
}

#[tokio::test]
async fn algorithms_that_are_no_longer_announced_end_at_once() {
    let provider = Provider::start().await;
    let key = TestKey::rsa();
    provider.announce("", &provider.document(&["RS256", "RS512"]));
    provider.serve_keys(&[key.jwk_named("k1")]);
    let (verifier, _) = build(&provider.config());
    let weak = provider.token(key, Algorithm::RS512, "k1");
    assert!(verifier.verify(&weak).await.is_ok());
    provider.announce("", &provider.document(&["RS256"]));
    verifier.prefetch().await;
    assert!(
        verdict(&verifier, &weak).is_err(),
        "also a token that is in the cache"
    );
    assert_eq!(verifier.key_algorithms(), ["RS256"]);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_asked_again() {
    let provider = Provider::start().await;
    let key = TestKey::p256();
    let (verifier, _) = build(&provider.config());
    let token = provider.token(&key, Algorithm::ES256, "k1");
    assert_eq!(
        verifier.verify(&token).await,
        Err(AuthError::KeysUnavailable)
    );
    provider.announce("", &provider.document(&["ES256"]));
    assert_eq!(
        verifier.verify(&token).await,
        Err(AuthError::KeysUnavailable)
    );
    provider.serve_keys(&[key.jwk_named("k1")]);
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(verifier.fetch_failure(), None);
}
