//! A client that says exactly the bytes it is told to.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{Realtime, socket::SocketRequest};

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The other end of a served socket, speaking bytes.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
    pub(super) served: JoinHandle<()>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(Value),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
    End,
}

impl Peer {
    pub(super) async fn connect(realtime: &Arc<Realtime>, request: SocketRequest) -> Self {
        Self::connect_with(realtime, request, Bytes::new()).await
    }

    pub(super) async fn connect_with(
        realtime: &Arc<Realtime>,
        request: SocketRequest,
        leftover: Bytes,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let served =
            tokio::spawn(Arc::clone(realtime).serve_socket(socket.into(), leftover, request));
        Self {
            stream,
            received: Vec::new(),
            served,
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(super) async fn say(&mut self, value: Value) {
        self.send(&masked(0x81, value.to_string().as_bytes())).await;
    }

    pub(super) async fn next(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.next_frame())
            .await
            .expect("a frame in time")
    }

    async fn next_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.parse() {
                return frame;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Frame::End,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let have = &self.received;
        let (start, length) = match *have.get(1)? {
            126 => (
                4,
                usize::from(u16::from_be_bytes([*have.get(2)?, *have.get(3)?])),
            ),
            127 => (
                10,
                u64::from_be_bytes(have.get(2..10)?.try_into().unwrap()) as usize,
            ),
            length => (2, usize::from(length)),
        };
        let payload = have.get(start..start + length)?.to_vec();
        let first = have[0];
        self.received.drain(..start + length);
        Some(match first {
            0x81 => Frame::Text(serde_json::from_slice(&payload).unwrap()),
            0x88 => Frame::Close(
                u16::from_be_bytes([payload[0], payload[1]]),
                String::from_utf8(payload[2..].to_vec()).unwrap(),
            ),
            0x89 => Frame::Ping,
            0x8A => Frame::Pong(payload),
            other => panic!("an odd frame {other:x}"),
        })
    }

    pub(super) async fn text(&mut self) -> Value {
        match self.next().await {
            Frame::Text(value) => value,
            other => panic!("expected a message, not {other:?}"),
        }
    }

    pub(super) async fn ack(&mut self) -> Value {
        let ack = self.text().await;
        assert_eq!(ack["type"], "connection_ack");
        ack
    }

    pub(super) async fn expect_close(&mut self, code: u16) -> String {
        let reason = match self.next().await {
            Frame::Close(found, reason) => {
                assert_eq!(found, code);
                reason
            }
            other => panic!("expected a close, not {other:?}"),
        };
        assert_eq!(self.next().await, Frame::End);
        reason
    }

    pub(super) async fn ended(self) {
        drop(self.stream);
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("the task ends")
            .unwrap();
    }
}

pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    out
}
