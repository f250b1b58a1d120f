//! Request ids: a sane one of the client is kept, else one is made.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it in both directions.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is kept.
const LONGEST: usize = 128;

/// Differs between processes, so that ids stay unique in a log that outlives one.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A request's id in the two forms it is needed in.
pub struct RequestId {
    /// For logs, plugins and error bodies.
    pub text: Arc<str>,
    /// For the answer's header.
    pub header: HeaderValue,
}

impl RequestId {
    /// The client's id where it sent a sane one, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        if let Some(header) = headers.get(&X_REQUEST_ID)
            && let Some(text) = sane(header)
        {
            return Self {
                text: text.into(),
                header: header.clone(),
            };
        }
        Self::generate()
    }

    /// A new id: eight bytes of the process and a counter, in hexadecimal.
    pub fn generate() -> Self {
        let mut text = [0u8; 28];
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        write_hex(&mut text[..16], *PROCESS);
        text[16] = b'-';
        write_hex(&mut text[17..], count);
        let header =
            HeaderValue::from_bytes(&text).expect("invariant: hexadecimal is visible ASCII");
        let text = std::str::from_utf8(&text).expect("invariant: hexadecimal is ASCII");
        Self {
            text: text.into(),
            header,
        }
    }
}

fn sane(header: &HeaderValue) -> Option<&str> {
    let bytes = header.as_bytes();
    let allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if bytes.is_empty() || bytes.len() > LONGEST || !bytes.iter().all(allowed) {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

fn write_hex(digits: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(sent: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(&X_REQUEST_ID, HeaderValue::from_bytes(sent).unwrap());
        RequestId::of(&headers).text.to_string()
    }

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        assert_eq!(id_for(b"web:42_a.B-c"), "web:42_a.B-c");
        assert_eq!(id_for(&[b'x'; 128]).len(), 128);
        for sent in [&b""[..], b"a b", b"a\"b", b"\xff", b"a/b", &[b'x'; 129]] {
            let id = id_for(sent);
            assert_eq!(id.len(), 28, "{sent:?} became {id}");
        }
    }

    #[test]
    fn generated_ids_differ() {
        let first = RequestId::generate();
        let second = RequestId::generate();
        assert_ne!(first.text, second.text);
        assert_eq!(first.header.as_bytes(), first.text.as_bytes());
    }
}
