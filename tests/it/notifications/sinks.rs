//! Servers that notifications are sent to: HTTP of any kind, and a mail server.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{LIMIT, within};

/// A request as it came.
#[derive(Debug)]
pub struct Request {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What an HTTP sink does with the next request.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    Answer(u16),
    /// Holds it for good.
    Hold,
}

/// An HTTP server that keeps what it is sent; answers 201 unless told otherwise.
pub struct HttpSink {
    pub address: SocketAddr,
    requests: mpsc::Receiver<Request>,
    plan: Plan,
}

type Plan = Arc<Mutex<VecDeque<Next>>>;

impl HttpSink {
    pub async fn start(plan: &[Next]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan: Plan = Arc::new(Mutex::new(plan.iter().copied().collect()));
        let (send, requests) = mpsc::channel(1000);
        let service = axum::Router::new()
            .fallback(take)
            .with_state((send, Arc::clone(&plan)));
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            address,
            requests,
            plan,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn then(&self, next: Next) {
        self.plan.lock().unwrap().push_back(next);
    }

    pub async fn request(&mut self) -> Request {
        within(LIMIT, self.requests.recv()).await.unwrap()
    }
}

async fn take(
    State((send, plan)): State<(mpsc::Sender<Request>, Plan)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let next = plan.lock().unwrap().pop_front();
    let request = Request {
        path: uri.path().to_owned(),
        headers,
        body: body.to_vec(),
    };
    send.send(request).await.unwrap();
    match next {
        None => StatusCode::CREATED,
        Some(Next::Answer(status)) => StatusCode::from_u16(status).unwrap(),
        Some(Next::Hold) => std::future::pending().await,
    }
}

/// A mail as the server took it.
#[derive(Debug)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

/// A mail server.
pub struct MailSink {
    pub address: SocketAddr,
    mails: mpsc::Receiver<Mail>,
}

impl MailSink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, mails) = mpsc::channel(100);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, send.clone()));
            }
        });
        Self { address, mails }
    }

    pub async fn mail(&mut self) -> Mail {
        within(LIMIT, self.mails.recv()).await.unwrap()
    }
}

async fn converse(stream: TcpStream, mails: mpsc::Sender<Mail>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink.test ESMTP\r\n").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink.test\r\n250 8BITMIME\r\n",
            "MAIL" => {
                from = line.to_owned();
                "250 ok\r\n"
            }
            "RCPT" => {
                to.push(line.to_owned());
                "250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut text).await? == 0 {
                        return Ok(());
                    }
                }
                let mail = Mail {
                    from: std::mem::take(&mut from),
                    to: std::mem::take(&mut to),
                    text,
                };
                mails.send(mail).await.ok();
                "250 taken\r\n"
            }
            "QUIT" => {
                return stream.write_all(b"221 bye\r\n").await;
            }
            "RSET" | "NOOP" => "250 ok\r\n",
            _ => "502 unknown\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
