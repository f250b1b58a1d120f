//! Keys behind a URL: rotation, outage, one fetch at a time, no more often than allowed.

use std::{sync::atomic::AtomicUsize, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
    task::JoinHandle,
};

use super::*;

/// Serves one document on loopback and counts who asks.
struct KeyServer {
    url: String,
    /// Status line and body of the answers to come.
    answer: Arc<Mutex<(String, String)>>,
    requests: Arc<AtomicUsize>,
    /// One permit for each request that has come.
    arrived: Arc<Semaphore>,
    /// One permit is taken for each answer.
    released: Arc<Semaphore>,
    task: JoinHandle<()>,
}

const MANY: usize = 1000;

impl KeyServer {
    async fn start(document: &str) -> Self {
        let server = Self::start_holding(document).await;
        server.released.add_permits(MANY);
        server
    }

    /// Answers are held until they are released.
    async fn start_holding(document: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(("200 OK".to_owned(), document.to_owned())));
        let requests = Arc::new(AtomicUsize::new(0));
        let arrived = Arc::new(Semaphore::new(0));
        let released = Arc::new(Semaphore::new(0));
        let task = tokio::spawn({
            let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
            let (arrived, released) = (Arc::clone(&arrived), Arc::clone(&released));
            async move {
                loop {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(socket.read_u8().await.unwrap());
                    }
                    requests.fetch_add(1, Ordering::SeqCst);
                    arrived.add_permits(1);
                    released.acquire().await.unwrap().forget();
                    let (status, body) = answer.lock().clone();
                    let text = format!(
                        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    // A client that has had enough of a large body may be gone.
                    let _ = socket.write_all(text.as_bytes()).await;
                }
            }
        });
        Self {
            url,
            answer,
            requests,
            arrived,
            released,
            task,
        }
    }

    fn serve(&self, status: &str, body: &str) {
        *self.answer.lock() = (status.to_owned(), body.to_owned());
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn config(&self, min_refresh: Duration) -> AuthConfig {
        AuthConfig {
            keys: Some(KeySource::JwksUrl(self.url.clone())),
            jwks_min_refresh: min_refresh,
            ..AuthConfig::default()
        }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn token(key: &TestKey, id: &str) -> String {
    key.sign(Algorithm::ES256, Some(id), &claims(json!({})))
}

#[tokio::test]
async fn keys_are_fetched_for_the_first_token_and_used_without_waiting_after() {
    let key = TestKey::p256();
    let server = KeyServer::start(&jwks(&[key.jwk_named("k1")])).await;
    let (verifier, _) = build(&server.config(HOUR));
    let token = token(&key, "k1");
    assert_eq!(
        verifier.verify_now(&token),
        None,
        "keys must be fetched first"
    );
    assert!(verifier.verify(&token).await.is_ok());
    assert!(verdict(&verifier, &token).is_ok());
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_new_kid_is_fetched_and_the_old_keys_go() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let server = KeyServer::start(&jwks(&[old.jwk_named("old")])).await;
    let (verifier, _) = build(&server.config(Duration::ZERO));
    assert!(verifier.verify(&token(&old, "old")).await.is_ok());

    server.serve("200 OK", &jwks(&[new.jwk_named("new")]));
    assert!(verdict(&verifier, &token(&old, "old")).is_ok());
    assert!(verifier.verify(&token(&new, "new")).await.is_ok());
    assert_eq!(
        verifier.verify(&token(&old, "old")).await,
        Err(AuthError::Invalid(
            "it was signed with a key that is not known"
        ))
    );
    assert_eq!(
        verifier.cache_stats().entries,
        1,
        "only the new key's token is kept"
    );
}

#[tokio::test]
async fn unknown_kids_do_not_make_more_fetches_than_allowed() {
    let (key, stranger) = (TestKey::p256(), TestKey::p256());
    let server = KeyServer::start(&jwks(&[key.jwk_named("k1")])).await;
    let (verifier, _) = build(&server.config(HOUR));
    assert!(verifier.verify(&token(&key, "k1")).await.is_ok());
    for number in 0..20 {
        let token = token(&stranger, &format!("unknown-{number}"));
        assert!(matches!(
            verifier.verify_now(&token),
            Some(Err(AuthError::Invalid(_)))
        ));
        assert!(verifier.verify(&token).await.is_err());
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_burst_makes_one_fetch() {
    let key = TestKey::p256();
    let server = KeyServer::start_holding(&jwks(&[key.jwk_named("k1")])).await;
    let (verifier, _) = build(&server.config(Duration::ZERO));
    let token = token(&key, "k1");
    let burst = join_all((0..50).map(|_| verifier.verify(&token)));
    let release = async {
        server.arrived.acquire().await.unwrap().forget();
        server.released.add_permits(MANY);
    };
    let (results, ()) = tokio::join!(burst, release);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_fetch() {
    let key = TestKey::p256();
    let server = KeyServer::start_holding(&jwks(&[key.jwk_named("k1")])).await;
    let (verifier, _) = build(&server.config(HOUR));
    let token = token(&key, "k1");
    {
        let gone = verifier.verify(&token);
        tokio::pin!(gone);
        tokio::select! {
            result = &mut gone => panic!("answered before the keys came: {result:?}"),
            permit = server.arrived.acquire() => permit.unwrap().forget(),
        }
    }
    server.released.add_permits(1);
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn an_outage_keeps_the_old_keys() {
    let (key, stranger) = (TestKey::p256(), TestKey::p256());
    let server = KeyServer::start(&jwks(&[key.jwk_named("k1")])).await;
    let (verifier, _) = build(&server.config(Duration::ZERO));
    assert!(verifier.verify(&token(&key, "k1")).await.is_ok());
    let large = format!("{{\"keys\":[{}]}}", " ".repeat(1 << 20));
    let elsewhere = "302 Found\r\nlocation: http://127.0.0.1:1/";
    let answers = [
        ("500 Internal Server Error", "{}"),
        ("404 Not Found", "{}"),
        (elsewhere, ""),
        ("200 OK", "not JSON"),
        ("200 OK", "{\"keys\":[{\"kty\":\"unheard-of\"}]}"),
        ("200 OK", large.as_str()),
    ];
    for (number, (status, body)) in answers.into_iter().enumerate() {
        server.serve(status, body);
        let unknown = token(&stranger, &format!("unknown-{number}"));
        assert!(verifier.verify(&unknown).await.is_err());
        assert_eq!(server.requests(), number + 2, "it was asked");
        assert!(verdict(&verifier, &token(&key, "k1")).is_ok(), "{status}");
    }
}

#[tokio::test]
async fn an_empty_set_withdraws_all_keys_and_a_new_one_brings_them_back() {
    let key = TestKey::p256();
    let full = jwks(&[key.jwk_named("k1")]);
    let server = KeyServer::start(&full).await;
    let (verifier, _) = build(&server.config(Duration::ZERO));
    assert!(verifier.verify(&token(&key, "k1")).await.is_ok());
    server.serve("200 OK", "{\"keys\":[]}");
    verifier.prefetch().await;
    assert_eq!(verifier.key_count(), 0);
    assert_eq!(
        verifier.verify(&token(&key, "k1")).await,
        Err(AuthError::Invalid(
            "it was signed with a key that is not known"
        )),
        "also a token that is in the cache"
    );
    server.serve("200 OK", &full);
    assert!(verifier.verify(&token(&key, "k1")).await.is_ok());
}

#[tokio::test]
async fn a_url_that_is_down_from_the_start_is_no_error_until_a_token_comes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    drop(listener);
    let config = AuthConfig {
        keys: Some(KeySource::JwksUrl(url)),
        ..AuthConfig::default()
    };
    let (verifier, _) = build(&config);
    let key = TestKey::p256();
    let unavailable = AuthError::KeysUnavailable;
    assert_eq!(
        verifier.verify(&token(&key, "k1")).await,
        Err(unavailable.clone())
    );
    assert_eq!(
        verifier.verify_now(&token(&key, "k1")),
        Some(Err(unavailable))
    );
}

#[tokio::test]
async fn aged_keys_are_fetched_in_the_background_and_stale_ones_first() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let server = KeyServer::start(&jwks(&[old.jwk_named("old")])).await;
    let timing = |stale_after| UrlTiming {
        min_refresh: Duration::ZERO,
        refresh_after: Duration::ZERO,
        stale_after,
    };
    let (verifier, _) = build_with(&server.config(Duration::ZERO), timing(HOUR));
    verifier.prefetch().await;
    assert_eq!(server.requests(), 1);
    assert!(verdict(&verifier, &token(&old, "old")).is_ok());
    for _ in 0..2 {
        server.arrived.acquire().await.unwrap().forget();
    }
    assert_eq!(
        server.requests(),
        2,
        "the token has started a fetch in the background"
    );

    let (verifier, _) = build_with(&server.config(Duration::ZERO), timing(Duration::ZERO));
    verifier.prefetch().await;
    assert!(verifier.verify(&token(&old, "old")).await.is_ok());
    server.serve("200 OK", &jwks(&[new.jwk_named("new")]));
    assert_eq!(verifier.verify_now(&token(&old, "old")), None);
    assert!(
        verifier.verify(&token(&old, "old")).await.is_err(),
        "a withdrawn key does not let the first caller in"
    );
}

#[tokio::test]
async fn the_same_document_again_keeps_the_cache() {
    let key = TestKey::p256();
    let server = KeyServer::start(&jwks(&[key.jwk_named("k1")])).await;
    let (verifier, _) = build(&server.config(Duration::ZERO));
    assert!(verifier.verify(&token(&key, "k1")).await.is_ok());
    verifier.prefetch().await;
    assert_eq!(server.requests(), 2);
    assert_eq!(verifier.cache_stats().entries, 1);
}
