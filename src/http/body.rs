//! Bodies: what we answer with, and reading what we are sent within its limits.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::error::ApiError;
use mozaiks_config::ServerConfig;

/// An answer's body: complete bytes without a box on the hot path, axum's for everything else.
pub enum GatewayBody {
    /// Complete; `None` once it has been sent.
    Complete(Option<Bytes>),
    /// From a handler of the router.
    Streaming(axum::body::Body),
}

impl From<Bytes> for GatewayBody {
    fn from(bytes: Bytes) -> Self {
        Self::Complete(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Complete(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streaming(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Complete(bytes) => bytes.is_none(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Complete(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Streaming(body) => body.size_hint(),
        }
    }
}

/// Bodies up to this size need no room: connections and calls are counted anyway.
const SMALL_BODY_BYTES: usize = 16 * 1024;

/// What one body may cost.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes.
    pub max_bytes: usize,
    /// From the first wait to the last byte.
    pub timeout: Duration,
}

impl BodyLimits {
    /// Those of the configuration.
    pub fn of(config: &ServerConfig) -> Self {
        Self {
            max_bytes: config.max_body_bytes,
            timeout: config.body_timeout,
        }
    }
}

/// Room for the large bodies of all requests together, from their bytes' arrival until the plugin has
/// its data: without it connections times the largest body would be what the process may take.
#[derive(Debug)]
pub struct BodyRoom {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
}

impl BodyRoom {
    /// An empty room. One body of the largest size always fits.
    pub fn new(config: &ServerConfig) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes: config.body_memory_bytes.max(config.max_body_bytes),
            held_bytes: AtomicUsize::new(0),
        })
    }

    /// Bytes taken now.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

/// Bytes of the room, given back when dropped.
struct Held {
    room: Arc<BodyRoom>,
    bytes: usize,
}

impl Held {
    fn nothing_of(room: &Arc<BodyRoom>) -> Self {
        Self {
            room: Arc::clone(room),
            bytes: 0,
        }
    }

    /// Takes more; `false` where there is no more.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let before = self.room.held_bytes.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        before + more <= self.room.limit_bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room
            .held_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A large body with its place in the room.
struct HeldBody {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a request's whole body within its limits. What is large takes of the room until the returned
/// bytes are dropped.
///
/// # Errors
/// `PAYLOAD_TOO_LARGE`, at once where the length is declared; `REQUEST_TIMEOUT`; `OVERLOADED` where
/// the room is full; `BAD_REQUEST` where the body breaks off or its framing is broken.
pub async fn read_body<B>(
    body: B,
    limits: BodyLimits,
    room: &Arc<BodyRoom>,
) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let limit_bytes = limits.max_bytes;
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(ApiError::PayloadTooLarge { limit_bytes });
    }
    let mut reading = pin!(read_to_end(body, limit_bytes, room));
    // Most bodies came along with their head: they need no timer.
    if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await
    {
        return read;
    }
    tokio::time::timeout(limits.timeout, reading)
        .await
        .unwrap_or(Err(ApiError::RequestTimeout))
}

async fn read_to_end<B>(
    body: B,
    limit_bytes: usize,
    room: &Arc<BodyRoom>,
) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut joined: Option<BytesMut> = None;
    let mut held: Option<Held> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::MalformedRequest)?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let so_far = joined.as_ref().map_or(first.len(), BytesMut::len);
        let now = so_far + data.len();
        if now > limit_bytes {
            return Err(ApiError::PayloadTooLarge { limit_bytes });
        }
        if now > SMALL_BODY_BYTES
            && !held
                .get_or_insert_with(|| Held::nothing_of(room))
                .grow_to(now)
        {
            return Err(ApiError::Overloaded("too many large bodies are held"));
        }
        match &mut joined {
            Some(joined) => joined.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                // Grows as bytes come, not as they are announced.
                let mut all = BytesMut::with_capacity(now);
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                joined = Some(all);
            }
        }
    }
    let bytes = joined.map_or(first, BytesMut::freeze);
    Ok(match held {
        Some(held) => Bytes::from_owner(HeldBody { bytes, _held: held }),
        None => bytes,
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn room(limit_bytes: usize) -> Arc<BodyRoom> {
        BodyRoom::new(&ServerConfig {
            body_memory_bytes: limit_bytes,
            max_body_bytes: limit_bytes,
            ..ServerConfig::default()
        })
    }

    const LIMITS: BodyLimits = BodyLimits {
        max_bytes: 1 << 20,
        timeout: Duration::from_secs(1),
    };

    #[tokio::test]
    async fn large_bodies_take_of_the_room_until_they_are_dropped() {
        let room = room(100_000);
        let read = async |length: usize| {
            read_body(Full::new(Bytes::from(vec![b'x'; length])), LIMITS, &room).await
        };
        let small = read(SMALL_BODY_BYTES).await.unwrap();
        assert_eq!((small.len(), room.held_bytes()), (SMALL_BODY_BYTES, 0));
        let first = read(60_000).await.unwrap();
        assert_eq!((first.len(), room.held_bytes()), (60_000, 60_000));
        assert!(matches!(read(60_000).await, Err(ApiError::Overloaded(_))));
        assert_eq!(room.held_bytes(), 60_000, "what was refused holds nothing");
        // A part of it keeps the whole.
        let part = first.slice(..10);
        drop(first);
        assert_eq!(room.held_bytes(), 60_000);
        drop(part);
        assert_eq!(room.held_bytes(), 0);
        assert_eq!(read(60_000).await.unwrap().len(), 60_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_gives_its_room_back() {
        let room = room(100_000);
        let piece = Frame::data(Bytes::from(vec![b'x'; 20_000]));
        let pieces = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(piece)]);
        let endless = futures_util::StreamExt::chain(pieces, futures_util::stream::pending());
        let reading = read_body(StreamBody::new(endless), LIMITS, &room);
        let mut reading = pin!(reading);
        assert!(futures_util::poll!(&mut reading).is_pending());
        assert_eq!(room.held_bytes(), 20_000);
        assert!(matches!(reading.await, Err(ApiError::RequestTimeout)));
        assert_eq!(room.held_bytes(), 0);
    }

    #[tokio::test]
    async fn pieces_are_joined() {
        let room = room(100_000);
        let pieces = ["one ", "two ", "three"].map(|text| {
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(text.as_bytes())))
        });
        let body = StreamBody::new(futures_util::stream::iter(pieces)).boxed();
        assert_eq!(
            read_body(body, LIMITS, &room).await.unwrap(),
            "one two three"
        );
    }
}
