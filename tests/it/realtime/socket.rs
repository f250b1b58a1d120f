//! A WebSocket client that says exactly what came.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        handshake::client::{Request, Response},
        protocol::CloseFrame,
    },
};

use super::{
    Claims, TestApp,
    support::{Over, Stream, within},
};

/// Longest that a test waits for a frame.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    pub response: Response,
    /// The acknowledgement, where one was awaited.
    pub ack: Value,
}

impl Socket {
    /// A handshake to fill in by hand.
    pub fn request(app: &TestApp, path: &str) -> Request {
        let mut request = format!("ws://{}{path}", app.address)
            .into_client_request()
            .unwrap();
        request.extensions_mut().insert(app.over.clone());
        request
    }

    /// Opens a socket; the refusal's status and `error_code` where there is one.
    pub async fn try_open(request: Request) -> Result<Self, (u16, String)> {
        let over: &Over = request.extensions().get().expect("made by `request`");
        let address = request.uri().authority().unwrap().as_str();
        let stream = over.connect(address.parse().unwrap()).await;
        match within(LIMIT, client_async(request, stream)).await {
            Ok((stream, response)) => Ok(Self {
                stream,
                response,
                ack: Value::Null,
            }),
            Err(tungstenite::Error::Http(response)) => {
                let status = response.status().as_u16();
                let body = response.body().clone().unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                Err((status, body["error_code"].as_str().unwrap_or("").to_owned()))
            }
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    /// Opens a socket with a token in the header and waits for its acknowledgement.
    pub async fn open_as(app: &TestApp, claims: &Claims, path: &str) -> Self {
        let mut request = Self::request(app, path);
        let header = format!("Bearer {}", claims.sign()).parse().unwrap();
        request.headers_mut().insert("authorization", header);
        let mut socket = Self::try_open(request).await.expect("the socket opens");
        socket.ack().await;
        socket
    }

    /// Opens a user's socket.
    pub async fn open(app: &TestApp, user: &str) -> Self {
        Self::open_as(app, &Claims::user(user), "/ws").await
    }

    /// Waits for the acknowledgement.
    pub async fn ack(&mut self) {
        self.ack = self.message().await;
        assert_eq!(self.ack["type"], "connection_ack");
    }

    pub fn connection_id(&self) -> &str {
        self.ack["connection_id"].as_str().unwrap()
    }

    /// `<epoch>:<offset>` for coming back.
    pub fn position(&self, offset: u64) -> String {
        format!("{}:{offset}", self.ack["epoch"].as_str().unwrap())
    }

    pub async fn say(&mut self, value: &Value) {
        self.send(Message::text(value.to_string())).await;
    }

    pub async fn send(&mut self, message: Message) {
        within(LIMIT, self.stream.send(message)).await.unwrap();
    }

    /// The next message; pings are answered on the way.
    pub async fn message(&mut self) -> Value {
        loop {
            match within(LIMIT, self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message, not {other:?}"),
            }
        }
    }

    /// The code the gateway closes with; messages before it are dropped.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match within(LIMIT, self.stream.next()).await {
                Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => return code.into(),
                Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
                other => panic!("expected a close, not {other:?}"),
            }
        }
    }

    /// Everything that has been sent to this socket up to now: what comes before a pong.
    pub async fn drain(&mut self) -> Vec<Value> {
        self.say(&json!({"type": "ping"})).await;
        let mut said = Vec::new();
        loop {
            let message = self.message().await;
            if message["type"] == "pong" {
                return said;
            }
            said.push(message);
        }
    }
}
