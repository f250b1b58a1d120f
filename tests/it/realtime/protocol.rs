//! RFC 6455 with a socket that has no manners.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    Claims, TestApp, both, gateway,
    support::{Stream, within},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A socket after its handshake, speaking bytes.
pub struct RawSocket {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
}

impl RawSocket {
    pub async fn open(app: &TestApp, user: &str) -> Self {
        Self::open_with(app, user, b"").await
    }

    /// Sends `first` together with the handshake.
    async fn open_with(app: &TestApp, user: &str, first: &[u8]) -> Self {
        let mut stream = app.connect().await;
        let mut request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {}\r\n\r\n",
            app.address,
            Claims::user(user).sign(),
        )
        .into_bytes();
        request.extend_from_slice(first);
        stream.write_all(&request).await.unwrap();
        let mut socket = Self {
            stream,
            received: Vec::new(),
        };
        let head = socket.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of the RFC.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let (first, ack) = socket.frame().await.unwrap();
        assert_eq!(first, 0x81);
        assert!(ack.starts_with(b"{\"type\":\"connection_ack\"") || ack.starts_with(b"{"));
        socket
    }

    async fn head(&mut self) -> String {
        loop {
            let end = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.received.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill().await);
        }
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let count = within(LIMIT, self.stream.read(&mut buffer))
            .await
            .unwrap_or(0);
        self.received.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// First byte and payload of the next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((start, end)) = self.frame_bounds() {
                let frame: Vec<u8> = self.received.drain(..end).collect();
                return Some((frame[0], frame[start..].to_vec()));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    fn frame_bounds(&self) -> Option<(usize, usize)> {
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
        (have.len() >= start + length).then_some((start, start + length))
    }

    /// The close code; frames before it are dropped.
    pub async fn close_code(&mut self) -> u16 {
        while let Some((first, payload)) = self.frame().await {
            if first == 0x88 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
        panic!("the connection ended without a close frame");
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 99, 160, 255];
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

const PING: &[u8] = br#"{"type":"ping"}"#;
const PONG: &[u8] = br#"{"type":"pong"}"#;

#[tokio::test]
async fn messages_may_come_in_any_pieces() {
    for certificate in both() {
        let app = gateway().tls(certificate.as_ref()).start().await;
        let mut socket = RawSocket::open_with(&app, "ada", &frame(0x81, PING)).await;
        assert_eq!(
            socket.frame().await.unwrap(),
            (0x81, PONG.to_vec()),
            "came with the handshake"
        );

        let mut fragmented = frame(0x01, &PING[..3]);
        fragmented.extend(frame(0x89, b"between"));
        fragmented.extend(frame(0x00, b""));
        fragmented.extend(frame(0x00, &PING[3..9]));
        fragmented.extend(frame(0x8A, b"not asked for"));
        fragmented.extend(frame(0x80, &PING[9..]));
        socket.send(&fragmented).await;
        assert_eq!(socket.frame().await.unwrap(), (0x8A, b"between".to_vec()));
        assert_eq!(socket.frame().await.unwrap(), (0x81, PONG.to_vec()));

        for byte in frame(0x81, PING) {
            socket.send(&[byte]).await;
        }
        assert_eq!(socket.frame().await.unwrap(), (0x81, PONG.to_vec()));

        let longest = [b'x'; 125];
        socket.send(&frame(0x89, &longest)).await;
        assert_eq!(socket.frame().await.unwrap(), (0x8A, longest.to_vec()));
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    for certificate in both() {
        let app = gateway().tls(certificate.as_ref()).start().await;
        let mut unmasked = frame(0x81, PING);
        unmasked[1] &= 0x7F;
        let mut inside = frame(0x01, b"{");
        inside.extend(frame(0x81, PING));
        let mut large = frame(0x01, &vec![b' '; 40_000]);
        large.extend(frame(0x80, &vec![b' '; 40_000]));
        let mut cases: Vec<(String, u16, Vec<u8>)> = [
            ("unmasked", 1002, unmasked),
            ("rsv1", 1002, frame(0xC1, PING)),
            ("rsv2", 1002, frame(0xA1, PING)),
            ("rsv3", 1002, frame(0x91, PING)),
            ("reserved opcode", 1002, frame(0x83, PING)),
            ("reserved control opcode", 1002, frame(0x8B, b"")),
            ("fragmented ping", 1002, frame(0x09, b"")),
            ("long ping", 1002, frame(0x89, &[0; 126])),
            ("nothing to continue", 1002, frame(0x80, PING)),
            ("message inside a message", 1002, inside),
            (
                "length not minimal",
                1002,
                vec![0x81, 0xFE, 0, 1, 0, 0, 0, 0, 0],
            ),
            ("close with one byte", 1002, frame(0x88, &[3])),
            (
                "close with 1005",
                1002,
                frame(0x88, &1005_u16.to_be_bytes()),
            ),
            ("close reason not UTF-8", 1007, frame(0x88, b"\x03\xE8\xFF")),
            ("binary", 1003, frame(0x82, PING)),
            ("large in fragments", 1009, large),
            ("large in one", 1009, frame(0x81, &vec![b' '; 65_537])),
        ]
        .map(|(name, code, bytes)| (name.to_owned(), code, bytes))
        .into();
        let text = r#"{"type":"ping","x":"äöü"}"#.as_bytes();
        for position in 0..text.len() {
            let mut broken = text.to_vec();
            broken[position] = 0xFF;
            cases.push((
                format!("not UTF-8 at {position}"),
                1007,
                frame(0x81, &broken),
            ));
        }
        for (name, code, bytes) in cases {
            let mut socket = RawSocket::open(&app, "ada").await;
            socket.send(&bytes).await;
            assert_eq!(socket.close_code().await, code, "{name}");
            assert!(
                socket.frame().await.is_none(),
                "{name}: the connection ends"
            );
        }
    }
}

#[tokio::test]
async fn closing_is_answered_whoever_begins() {
    for certificate in both() {
        let app = gateway().tls(certificate.as_ref()).start().await;
        let mut socket = RawSocket::open(&app, "ada").await;
        socket.send(&frame(0x88, &1000_u16.to_be_bytes())).await;
        assert_eq!(socket.close_code().await, 1000);
        assert!(socket.frame().await.is_none());

        let mut empty = RawSocket::open(&app, "ada").await;
        empty.send(&frame(0x88, b"")).await;
        assert_eq!(empty.close_code().await, 1000);

        // What is said after a close is not heard.
        let mut talks_on = RawSocket::open(&app, "ada").await;
        let mut bytes = frame(0x88, &4999_u16.to_be_bytes());
        bytes.extend(frame(0x81, PING));
        talks_on.send(&bytes).await;
        assert_eq!(talks_on.frame().await.unwrap().0, 0x88);
        assert!(talks_on.frame().await.is_none());

        // Both at once.
        let mut crossing = RawSocket::open(&app, "ada").await;
        app.signal("TERM");
        crossing
            .stream
            .write_all(&frame(0x88, &1001_u16.to_be_bytes()))
            .await
            .ok();
        assert!(matches!(crossing.close_code().await, 1000 | 1001));
        assert!(crossing.frame().await.is_none());
    }
}
