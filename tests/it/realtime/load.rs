//! Many sockets, some of which never read.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::Semaphore;

use super::{Claims, Socket, both, gateway, protocol::RawSocket, support::within};

const SOCKETS: usize = 1000;
const STALLED: usize = 100;
const MESSAGES: u64 = 40;
const PAD: u64 = 60_000;
/// Longest that a part of the test may take.
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_everything_and_those_who_never_read_are_closed() {
    let app = gateway()
        .env("MOZAIKS_WS_QUEUE_BYTES", "262144")
        // Those who never read learn at the very end why, and those who have read everything wait for
        // them without reading pings.
        .env("MOZAIKS_WS_CLOSE_TIMEOUT_SECONDS", "300")
        .env("MOZAIKS_WS_HEARTBEAT_SECONDS", "600")
        .start()
        .await;
    // A hundred users of ten sockets; the first ten users never read.
    let mut stalled = Vec::new();
    for index in 0..STALLED {
        stalled.push(RawSocket::open(&app, &format!("stalled{}", index / 10)).await);
    }
    let mut reading = Vec::new();
    let read = Arc::new(Semaphore::new(0));
    for index in 0..SOCKETS - STALLED {
        let mut socket = Socket::open(&app, &format!("reader{}", index / 10)).await;
        let read = Arc::clone(&read);
        reading.push(tokio::spawn(async move {
            for number in 1..=MESSAGES {
                assert_eq!(socket.message().await["n"], number);
                read.add_permits(1);
            }
            socket
        }));
    }
    assert_eq!(app.metric("mozaiks_sockets_open").await, SOCKETS as f64);

    let sender = app.user("sender");
    let sending = tokio::spawn(async move {
        for number in 1..=MESSAGES {
            let data = json!({"do": "broadcast_numbers", "first": number, "count": 1, "pad": PAD});
            sender.execute("live", &data).await.expect_ok();
            // The next one when all have this one, however slow the machine is: who reads keeps up.
            let all = (SOCKETS - STALLED) as u32;
            read.acquire_many(all).await.unwrap().forget();
        }
    });
    let queued = "mozaiks_socket_queued_bytes";
    let closed = "mozaiks_sockets_closed_total{code=\"4408\"}";
    let mut most_queued = 0.0_f64;
    let watching = async {
        while app.metric(closed).await < STALLED as f64 {
            most_queued = most_queued.max(app.metric(queued).await);
        }
    };
    within(LIMIT, watching).await;
    within(LIMIT, sending).await.unwrap();
    let mut readers = Vec::new();
    for task in reading {
        readers.push(within(LIMIT, task).await.unwrap());
    }
    assert!(most_queued <= 256.0 * 1024.0 * 1024.0, "{most_queued}");
    assert_eq!(
        app.metric(closed).await,
        STALLED as f64,
        "nobody else is closed"
    );
    // Reading at last, they find out why.
    for socket in &mut stalled {
        assert_eq!(socket.close_code().await, 4408);
    }
    drop(stalled);
    let left = (SOCKETS - STALLED) as f64;
    app.metric_reaches("mozaiks_sockets_open", |open| open == left)
        .await;
    app.metric_reaches(queued, |bytes| bytes == 0.0).await;
    for socket in &mut readers[..10] {
        assert!(socket.drain().await.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_lags_is_closed_however_little_waits() {
    for certificate in both() {
        let app = gateway()
            .tls(certificate.as_ref())
            .env("MOZAIKS_WS_MAX_LAG_SECONDS", "0.3")
            .env("MOZAIKS_WS_QUEUE_BYTES", "67108864")
            .start()
            .await;
        let mut stalled = RawSocket::open(&app, "ada").await;
        let data = json!({"do": "send_numbers", "to": "ada", "first": 1, "count": 150, "pad": PAD});
        app.user("bob").execute("live", &data).await.expect_ok();
        let closed = "mozaiks_sockets_closed_total{code=\"4408\"}";
        app.metric_reaches(closed, |count| count == 1.0).await;
        assert_eq!(stalled.close_code().await, 4408);
        let _comes_back = Socket::open_as(&app, &Claims::user("ada"), "/ws?recover=true").await;
    }
}

#[tokio::test]
async fn awaited_broadcasts_share_their_writes() {
    const COUNT: u64 = 1000;
    const USERS: usize = 20;
    // All of them take less than this to send, however slow the machine is; none waits for room.
    let app = gateway()
        .env("MOZAIKS_WS_GATHER_SECONDS", "1")
        .start()
        .await;
    let mut sockets = Vec::new();
    for index in 0..USERS {
        sockets.push(Socket::open(&app, &format!("user{index}")).await);
    }
    let written = "mozaiks_socket_writes_total";
    let before = app.metric(written).await;
    let data = json!({"do": "broadcast_numbers", "first": 1, "count": COUNT});
    let began = std::time::Instant::now();
    app.user("sender").execute("live", &data).await.expect_ok();
    let rounds = 2 + began.elapsed().as_secs();
    for socket in &mut sockets {
        for number in 1..=COUNT {
            assert_eq!(socket.message().await["n"], number);
        }
    }
    // The first round, and one a second from there on; twice as many where sockets take half of it.
    let writes = app.metric(written).await - before;
    let most = 2 * rounds * USERS as u64;
    assert!(writes <= most as f64, "{writes} of {most}");
}
