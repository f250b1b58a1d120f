use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Answers every request by what its head says; notes the heads.
struct Sink {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Sink {
    async fn start(ip: [u8; 4], port: u16, answer: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::from(ip), port))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match socket.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).expect("text");
                    let said = answer(&head);
                    noted.lock().push(head);
                    socket.write_all(said.as_bytes()).await.ok();
                });
            }
        });
        Self {
            address,
            heads,
            connections,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

fn ok(_: &str) -> String {
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\nx-a: 1\r\n\r\nhi".into()
}

/// To whatever `to=` in the path says.
fn redirecting(head: &str) -> String {
    match head.split_once("to=") {
        Some((_, rest)) => {
            let to = rest.split_whitespace().next().expect("a target");
            format!(
                "HTTP/1.1 307 Go\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        }
        None => ok(head),
    }
}

fn config(listed: &[&str]) -> OutboundConfig {
    OutboundConfig {
        private_hosts: listed.iter().map(|host| (*host).to_owned()).collect(),
        timeout: Duration::from_secs(5),
        ..OutboundConfig::default()
    }
}

fn get(url: &str) -> Request {
    Request {
        method: "GET".into(),
        url: url.to_owned(),
        follow_redirects: true,
        ..Request::default()
    }
}

async fn ask(outbound: &Outbound, request: Request) -> Result<Answer, OutboundError> {
    let plugin: Arc<str> = "shop".into();
    let asking = Asking {
        plugin: &plugin,
        may_reach: &|_, _, _| true,
        max_connections: None,
    };
    outbound.send(asking, request).await
}

fn is_denied<T: std::fmt::Debug>(result: &Result<T, OutboundError>) -> bool {
    matches!(result, Err(OutboundError::Denied(_)))
}

/// A name that stands for one address now and for another the next time.
struct Rebinding {
    asked: AtomicUsize,
    answers: Vec<Vec<IpAddr>>,
}

impl Lookup for Rebinding {
    fn addresses(&self, _: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[at.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::test]
async fn what_is_not_public_is_asked_only_where_it_is_listed() {
    let sink = Sink::start([127, 0, 0, 1], 0, ok).await;
    let port = sink.address.port();
    let closed = Outbound::new(&config(&[])).expect("outbound");
    for url in [
        sink.url("/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://localhost.:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://0x7f.1:{port}/"),
        "https://169.254.169.254/latest/meta-data".into(),
        "https://10.0.0.1/".into(),
        "http://example.com/".into(),
        "ftp://example.com/".into(),
        "file:///etc/passwd".into(),
    ] {
        let answer = ask(&closed, get(&url)).await;
        let refused = is_denied(&answer) || matches!(answer, Err(OutboundError::Invalid(_)));
        assert!(refused, "{url}: {answer:?}");
    }
    assert_eq!(sink.connections(), 0);
    let open = Outbound::new(&config(&["127.0.0.1"])).expect("outbound");
    let answer = ask(&open, get(&sink.url("/a?b=c")))
        .await
        .expect("an answer");
    assert_eq!((answer.status, &*answer.body), (200, &b"hi"[..]));
    assert!(answer.headers.contains(&("x-a".into(), "1".into())));
    assert!(sink.heads()[0].starts_with("GET /a?b=c HTTP/1.1"));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_reaches_nothing_new() {
    let good = Sink::start([127, 0, 0, 2], 0, ok).await;
    let port = good.address.port();
    let trap = Sink::start([127, 0, 0, 1], port, ok).await;
    let (public, private) = (IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 1]));
    let lookup = Arc::new(Rebinding {
        asked: AtomicUsize::new(0),
        answers: vec![vec![public], vec![private], vec![public, private]],
    });
    // The first address stands for one that may be reached.
    let config = config(&["127.0.0.2"]);
    let outbound = Outbound::with_lookup(&config, lookup.clone()).expect("outbound");
    let url = format!("https://rebinding.test:{port}/");
    // One look-up for one connection: the address that was checked is the one that is connected to,
    // where it finds somebody who speaks no TLS.
    let first = ask(&outbound, get(&url)).await;
    assert!(
        matches!(first, Err(OutboundError::Upstream(_))),
        "{first:?}"
    );
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    assert_eq!(good.connections(), 1);
    for _ in 0..2 {
        let again = ask(&outbound, get(&url)).await;
        assert!(is_denied(&again), "{again:?}");
    }
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 3);
    assert_eq!((good.connections(), trap.connections()), (1, 0));
}

#[tokio::test]
async fn redirects_are_checked_like_requests() {
    let sink = Sink::start([127, 0, 0, 2], 0, redirecting).await;
    let trap = Sink::start([127, 0, 0, 1], 0, ok).await;
    let outbound = Outbound::new(&config(&["127.0.0.2"])).expect("outbound");
    let followed = ask(&outbound, get(&sink.url("/?to=/there")))
        .await
        .expect("an answer");
    assert!(followed.url.ends_with("/there"), "{}", followed.url);
    for to in [
        trap.url("/"),
        "http://169.254.169.254/".into(),
        "https://localhost/".into(),
    ] {
        let answer = ask(&outbound, get(&sink.url(&format!("/?to={to}")))).await;
        assert!(is_denied(&answer), "{to}: {answer:?}");
    }
    let plugin: Arc<str> = "shop".into();
    let asking = Asking {
        plugin: &plugin,
        may_reach: &|host, _, _| host == "127.0.0.2",
        max_connections: None,
    };
    let elsewhere = sink.url("/?to=https://elsewhere.example/");
    assert!(is_denied(&outbound.send(asking, get(&elsewhere)).await));
    let loops = ask(
        &outbound,
        get(&sink.url("/?to=/?to=/?to=/?to=/?to=/?to=/x")),
    )
    .await;
    assert!(matches!(loops, Err(OutboundError::Upstream(_)) | Ok(_)));
    assert_eq!(trap.connections(), 0);
    let mut stays = get(&sink.url("/?to=/there"));
    stays.follow_redirects = false;
    assert_eq!(ask(&outbound, stays).await.expect("an answer").status, 307);
}

#[tokio::test]
async fn what_a_sender_says_for_one_host_is_not_said_to_another() {
    let sink = Sink::start([127, 0, 0, 2], 0, redirecting).await;
    let other = Sink::start([127, 0, 0, 3], 0, ok).await;
    let outbound = Outbound::new(&config(&["127.0.0.0/8"])).expect("outbound");
    let mut request = get(&sink.url(&format!("/?to={}", other.url("/"))));
    request.headers = vec![
        ("authorization".into(), "Bearer secret".into()),
        ("x-api-key".into(), "secret".into()),
        ("accept".into(), "text/plain".into()),
    ];
    ask(&outbound, request).await.expect("an answer");
    assert_eq!(sink.heads()[0].matches("secret").count(), 2);
    let head = &other.heads()[0];
    assert!(
        !head.contains("secret") && head.contains("text/plain"),
        "{head}"
    );
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "a b",
    ] {
        let mut odd = get(&sink.url("/"));
        odd.headers = vec![(name.into(), "x".into())];
        let answer = ask(&outbound, odd).await;
        assert!(matches!(answer, Err(OutboundError::Invalid(_))), "{name}");
    }
    let with_password = get(&format!("http://a:b@{}/", sink.address));
    let answer = ask(&outbound, with_password).await;
    assert!(matches!(answer, Err(OutboundError::Invalid(_))));
}

#[tokio::test]
async fn an_interface_has_its_secret_its_paths_and_its_methods() {
    let sink = Sink::start([127, 0, 0, 1], 0, redirecting).await;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let text = format!(
        "[weather]\nbase_url = \"{}\"\nmethods = [\"GET\"]\nheaders = {{ x-key = \"secret\" }}\n",
        sink.url("/v1")
    );
    file.write_all(text.as_bytes()).expect("written");
    let config = OutboundConfig {
        apis: Some(file.path().to_owned()),
        ..config(&[])
    };
    let outbound = Outbound::new(&config).expect("outbound");
    let call = |method: &str, path: &str| Request {
        api: Some("weather".into()),
        method: method.into(),
        ..get(path)
    };
    let answer = ask(&outbound, call("GET", "/today?x=1"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200);
    let head = &sink.heads()[0];
    assert!(
        head.starts_with("GET /v1/today?x=1 ") && head.contains("x-key: secret"),
        "{head}"
    );
    for path in [
        "/../admin",
        "/a/%2e%2e/%2e%2e/admin",
        "/..%2fadmin",
        "\\..\\x",
        "/a#b",
    ] {
        let answer = ask(&outbound, call("GET", path)).await;
        assert!(
            matches!(answer, Err(OutboundError::Invalid(_))),
            "{path}: {answer:?}"
        );
    }
    let elsewhere = ask(&outbound, call("GET", "//evil.example/x"))
        .await
        .expect("an answer");
    assert!(
        elsewhere.url.starts_with(&sink.url("/v1/")),
        "{}",
        elsewhere.url
    );
    assert!(is_denied(&ask(&outbound, call("DELETE", "/today")).await));
    assert!(is_denied(
        &ask(&outbound, call("GET", "/x?to=/admin")).await
    ));
    let unknown = Request {
        api: Some("news".into()),
        ..call("GET", "/")
    };
    assert!(is_denied(&ask(&outbound, unknown).await));
    let mut stolen = call("GET", "/");
    stolen.headers = vec![("X-Key".into(), "mine".into())];
    assert!(matches!(
        ask(&outbound, stolen).await,
        Err(OutboundError::Invalid(_))
    ));
    // The address of an interface is for those who call it, and for nobody else.
    assert!(is_denied(
        &ask(&outbound, get(&sink.url("/v1/today"))).await
    ));
    let count = sink
        .heads()
        .iter()
        .filter(|head| head.contains("/admin"))
        .count();
    assert_eq!(count, 1, "only the redirect itself speaks of it");
}

#[tokio::test]
async fn sizes_times_and_numbers_are_bounded() {
    fn large(_: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}",
            "x".repeat(70_000)
        )
    }
    // Takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}/", listener.local_addr().expect("an address"));
    let sink = Sink::start([127, 0, 0, 1], 0, large).await;
    let config = OutboundConfig {
        max_response_bytes: 65_536,
        max_request_bytes: 10,
        max_connections: 2,
        ..config(&["127.0.0.1"])
    };
    let outbound = Arc::new(Outbound::new(&config).expect("outbound"));
    let answer = ask(&outbound, get(&sink.url("/"))).await;
    assert!(
        matches!(answer, Err(OutboundError::Upstream(_))),
        "{answer:?}"
    );
    let body = Request {
        body: Bytes::from_static(&[0; 11]),
        ..get(&sink.url("/"))
    };
    assert!(matches!(
        ask(&outbound, body).await,
        Err(OutboundError::Invalid(_))
    ));
    let short = Duration::from_millis(50);
    let waiting = Request {
        timeout: Some(short),
        ..get(&silent)
    };
    let answer = ask(&outbound, waiting).await;
    assert_eq!(
        answer.expect_err("no answer"),
        OutboundError::TimedOut(short)
    );
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (outbound, request) = (Arc::clone(&outbound), get(&silent));
            tokio::spawn(async move { ask(&outbound, request).await })
        })
        .collect();
    let plugin: Arc<str> = "shop".into();
    let other: Arc<str> = "other".into();
    while outbound
        .places
        .lock()
        .get(&plugin)
        .is_none_or(|places| places.available_permits() > 0)
    {
        tokio::task::yield_now().await;
    }
    let answer = ask(&outbound, get(&sink.url("/"))).await;
    assert_eq!(answer.expect_err("full"), OutboundError::TooMany(2));
    let asking = |max_connections| Asking {
        plugin: &other,
        may_reach: &|_, _, _| true,
        max_connections,
    };
    let none = outbound.send(asking(Some(0)), get(&sink.url("/"))).await;
    assert_eq!(none.expect_err("none"), OutboundError::TooMany(0));
    for task in held {
        task.abort();
    }
}

#[test]
fn a_bad_file_is_told_of_without_what_is_secret() {
    for (text, key) in [
        ("[a]\nbase_url = \"ftp://x\"", "a.base_url"),
        ("[a]\nbase_url = \"https://u:secret@x\"", "a.base_url"),
        (
            "[a]\nbase_url = \"https://x\"\nheaders = { k = \"secret\\n\" }",
            "a.headers.k",
        ),
        ("[a]\nbase = \"https://x\"", "base"),
    ] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let config = OutboundConfig {
            apis: Some(file.path().to_owned()),
            ..config(&[])
        };
        let why = Outbound::new(&config).err().expect("refused");
        assert!(
            why.contains(key) && !why.contains("secret"),
            "{text}: {why}"
        );
    }
}
