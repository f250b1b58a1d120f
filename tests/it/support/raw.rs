//! A socket without a client's manners.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Stream, within};

/// Longest that a test waits for bytes.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection to the gateway.
pub struct RawConnection {
    stream: Box<dyn Stream>,
    /// Bytes after the last answer.
    surplus: Vec<u8>,
}

/// One answer of a [`RawConnection`].
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawConnection {
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            surplus: Vec::new(),
        }
    }

    /// Sends bytes; whether they could be sent.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sending = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        within(LIMIT, sending).await.is_ok()
    }

    /// Reads one answer with a `content-length`.
    pub async fn answer(&mut self) -> RawAnswer {
        let mut bytes = std::mem::take(&mut self.surplus);
        let head_bytes = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.read_some(&mut bytes).await > 0,
                "the connection ended in a head: {}",
                String::from_utf8_lossy(&bytes)
            );
        };
        let head = String::from_utf8(bytes[..head_bytes].to_vec()).unwrap();
        let length: usize = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().unwrap())
            })
            .unwrap_or(0);
        while bytes.len() < head_bytes + length {
            assert!(
                self.read_some(&mut bytes).await > 0,
                "the connection ended in a body after: {head}"
            );
        }
        self.surplus = bytes.split_off(head_bytes + length);
        RawAnswer {
            status: head[9..12].parse().unwrap(),
            body: String::from_utf8(bytes[head_bytes..].to_vec()).unwrap(),
            head,
        }
    }

    /// Waits until the gateway closes the connection.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        while self.read_some(&mut rest).await > 0 {}
    }

    /// Everything that still comes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.surplus);
        while self.read_some(&mut rest).await > 0 {}
        rest
    }

    async fn read_some(&mut self, bytes: &mut Vec<u8>) -> usize {
        let mut buffer = [0; 4096];
        let count = within(LIMIT, self.stream.read(&mut buffer))
            .await
            .unwrap_or(0);
        bytes.extend_from_slice(&buffer[..count]);
        count
    }
}

impl RawAnswer {
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["error_code"], code, "{self:?}");
        let id = body["request_id"].as_str().unwrap();
        assert!(
            self.head.contains(&format!("x-request-id: {id}")),
            "{self:?}"
        );
    }
}
