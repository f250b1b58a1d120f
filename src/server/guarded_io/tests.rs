use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

impl Guarded for DuplexStream {}

const HEAD: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(75);
const WRITE: Duration = Duration::from_secs(30);
const LINGER: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Seen {
    refused: Mutex<Vec<u16>>,
    timed_out: Mutex<u32>,
}

impl Refusals for Seen {
    fn refuse(&self, status: u16, _: Duration) -> Vec<u8> {
        self.refused.lock().push(status);
        format!("refused with {status}").into_bytes()
    }

    fn timed_out(&self) {
        *self.timed_out.lock() += 1;
    }
}

fn guarded() -> (
    GuardedIo<DuplexStream>,
    DuplexStream,
    Arc<ConnectionClock>,
    Arc<Seen>,
) {
    let (ours, theirs) = duplex(64);
    let clock = Arc::new(ConnectionClock::new(HEAD, IDLE));
    let seen = Arc::new(Seen::default());
    let io = GuardedIo::new(
        ours,
        Arc::clone(&clock),
        Arc::default(),
        Arc::clone(&seen) as Arc<dyn Refusals>,
        HEAD,
        WRITE,
        LINGER,
    );
    (io, theirs, clock, seen)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_cut() {
    let (mut io, _theirs, _clock, seen) = guarded();
    let began = Instant::now();
    let error = io.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), HEAD.as_secs());
    assert_eq!(*seen.timed_out.lock(), 1);
    assert!(seen.refused.lock().is_empty(), "nothing was asked");
}

#[tokio::test(start_paused = true)]
async fn http2_without_a_request_is_cut_without_words() {
    let (mut io, mut theirs, _clock, seen) = guarded();
    theirs
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let error = loop {
        if let Err(error) = io.read_u8().await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(*seen.timed_out.lock(), 1);
    drop(io);
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.unwrap();
    assert_eq!((said.len(), seen.refused.lock().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_answered_and_cut() {
    let (mut io, mut theirs, _clock, seen) = guarded();
    let began = Instant::now();
    let dripping = tokio::spawn(async move {
        while theirs.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        theirs
    });
    let error = loop {
        if let Err(error) = io.read_u8().await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), HEAD.as_secs());
    assert_eq!(*seen.refused.lock(), [408]);
    drop(io);
    let mut theirs = dripping.await.unwrap();
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "refused with 408");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_without_an_error_and_a_busy_one_does_not() {
    let (mut io, _theirs, clock, seen) = guarded();
    clock.request_started(false);
    let busy = tokio::time::timeout(Duration::from_secs(500), io.read_u8()).await;
    assert!(busy.is_err(), "a running call has no limit here");
    clock.request_ended();
    let began = Instant::now();
    let error = io.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(began.elapsed().as_secs(), IDLE.as_secs());
    assert_eq!(*seen.timed_out.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut() {
    let (mut io, _theirs, clock, _seen) = guarded();
    clock.request_started(false);
    let began = Instant::now();
    let error = io.write_all(&[0; 256]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), WRITE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn our_words_replace_hypers_while_a_head_is_read() {
    let (mut io, mut theirs, _clock, seen) = guarded();
    theirs.write_all(b"GET / HTTP/1.1\r\nx").await.unwrap();
    let mut head = [0; 17];
    io.read_exact(&mut head).await.unwrap();
    io.write_all(b"HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n")
        .await
        .unwrap();
    io.flush().await.unwrap();
    assert_eq!(*seen.refused.lock(), [431]);
    drop(io);
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "refused with 431");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_one_endless_line_has_a_uri_too_long() {
    let (mut io, mut theirs, _clock, seen) = guarded();
    theirs.write_all(b"GET /aaaaaaaaaaa").await.unwrap();
    let mut head = [0; 16];
    io.read_exact(&mut head).await.unwrap();
    io.write_all(b"HTTP/1.1 431 \r\n\r\n").await.unwrap();
    assert_eq!(*seen.refused.lock(), [414]);
}

#[tokio::test(start_paused = true)]
async fn answers_of_handlers_are_left_alone() {
    let (mut io, mut theirs, clock, seen) = guarded();
    clock.request_started(false);
    io.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n")
        .await
        .unwrap();
    drop(io);
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "HTTP/1.1 404 Not Found\r\n\r\n");
    assert!(seen.refused.lock().is_empty());
}

/// Takes everything that is written, as TLS does, and gives none of it to a client that takes nothing.
struct Kept {
    taken_bytes: u64,
    /// Whether the client takes a byte whenever it is asked to.
    is_slow: bool,
}

impl Guarded for Kept {
    fn taken_bytes(&self) -> Option<u64> {
        Some(self.taken_bytes)
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.taken_bytes += u64::from(self.is_slow);
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

fn kept(is_slow: bool) -> (GuardedIo<Kept>, Arc<ConnectionClock>, Arc<Seen>) {
    let clock = Arc::new(ConnectionClock::new(HEAD, IDLE));
    let seen = Arc::new(Seen::default());
    let inner = Kept {
        taken_bytes: 0,
        is_slow,
    };
    let refusals = Arc::clone(&seen) as Arc<dyn Refusals>;
    let clock_of = Arc::clone(&clock);
    let io = GuardedIo::new(
        inner,
        clock_of,
        Arc::default(),
        refusals,
        HEAD,
        WRITE,
        LINGER,
    );
    // An answer is under way: nothing else is waited for.
    clock.request_started(false);
    (io, clock, seen)
}

#[tokio::test(start_paused = true)]
async fn what_tls_keeps_for_a_client_that_takes_nothing_is_given_up() {
    let (mut io, _clock, seen) = kept(false);
    let began = Instant::now();
    io.write_all(b"an answer").await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    let error = io.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 5 + WRITE.as_secs());
    assert_eq!(*seen.timed_out.lock(), 1);
    // More that is accepted, and the end, buy no time: none of it was taken.
    io.write_all(b"more").await.unwrap();
    let error = io.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_what_tls_keeps_is_waited_for() {
    let (mut io, _clock, seen) = kept(true);
    io.write_all(b"an answer").await.unwrap();
    let waited = tokio::time::timeout(10 * WRITE, io.flush()).await;
    assert!(waited.is_err(), "it was cut");
    assert_eq!(*seen.timed_out.lock(), 0);
}
