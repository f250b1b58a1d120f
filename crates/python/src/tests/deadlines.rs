//! Deadlines, cancellation and code that does not let go.

use super::*;

/// A gateway of its own with a short limit: these tests hold its loop.
fn short() -> Gateway {
    Gateway::start("plugins", |config| {
        config.call_timeout = Duration::from_millis(300);
        config.thread_pool_size = 2;
    })
}

fn assert_timed_out(result: Result<Value, DispatchError>, started: Instant, what: &str) {
    assert!(
        matches!(result, Err(DispatchError::TimedOut(_))),
        "{what}: {result:?}"
    );
    let elapsed = started.elapsed();
    // Far less than what held it, with room for a busy machine; the integration tests hold the gateway
    // to its 100 ms by its own clock.
    assert!(
        elapsed < Duration::from_millis(300 + 2000),
        "{what}: {elapsed:?}"
    );
}

#[test]
fn waiting_code_is_cancelled() {
    let gateway = short();
    tokio_runtime().block_on(async {
        let started = Instant::now();
        let result = gateway.call("survives_cancel", json!({"tag": "t"})).await;
        assert_timed_out(result, started, "survives_cancel");
        eventually("nothing runs", || gateway.python.status().running == 0).await;
        let seen = gateway
            .call("survives_cancel", json!({"action": "seen"}))
            .await
            .unwrap();
        assert_eq!(seen, json!({"seen": ["t"]}));
        assert_eq!(gateway.dispatcher.in_flight(), 0);
    });
}

#[test]
fn code_that_spins_is_interrupted() {
    let gateway = short();
    tokio_runtime().block_on(async {
        for data in [json!({}), json!({"later": true}), json!({"stubborn": true})] {
            let started = Instant::now();
            let result = gateway.call("spin", data.clone()).await;
            assert_timed_out(result, started, &data.to_string());
            // Others get through again once the watchdog has freed the loop.
            let end = Instant::now() + Duration::from_secs(10);
            while gateway.call("echo", json!({})).await.is_err() {
                assert!(Instant::now() < end, "{data} still holds the loop");
            }
        }
        eventually("nothing runs", || gateway.python.status().running == 0).await;
    });
}

#[test]
fn a_spinning_child_task_is_interrupted() {
    let gateway = short();
    tokio_runtime().block_on(async {
        let started = Instant::now();
        let result = gateway.call("spin", json!({"in_task": true})).await;
        assert_timed_out(result, started, "in_task");
        let end = Instant::now() + Duration::from_secs(10);
        while gateway.call("echo", json!({})).await.is_err() {
            assert!(Instant::now() < end, "the child still holds the loop");
        }
    });
}

#[test]
fn plain_functions_that_spin_are_interrupted() {
    let gateway = short();
    tokio_runtime().block_on(async {
        for _ in 0..4 {
            let started = Instant::now();
            let result = gateway.call("sync_spin", json!({})).await;
            assert_timed_out(result, started, "sync_spin");
        }
        eventually("the threads are free", || {
            gateway.python.status().running == 0
        })
        .await;
        gateway.call("sync", json!({})).await.unwrap();
    });
}

#[test]
fn native_code_cannot_hold_the_callers() {
    let gateway = short();
    tokio_runtime().block_on(async {
        for (plugin, seconds) in [("regex_backtrack", 0.6), ("blocking_sleep", 0.6)] {
            let started = Instant::now();
            let result = gateway.call(plugin, json!({"seconds": seconds})).await;
            assert_timed_out(result, started, plugin);
            let end = Instant::now() + Duration::from_secs(10);
            while gateway.call("echo", json!({})).await.is_err() {
                assert!(Instant::now() < end, "{plugin} still holds the loop");
            }
        }
    });
}

#[test]
fn lost_pool_threads_are_replaced() {
    let gateway = short();
    tokio_runtime().block_on(async {
        let sleeping = (0..2).map(|_| gateway.call("sync_sleep", json!({"seconds": 6})));
        for result in futures_util::future::join_all(sleeping).await {
            assert!(
                matches!(result, Err(DispatchError::TimedOut(_))),
                "{result:?}"
            );
        }
        let end = Instant::now() + Duration::from_secs(5);
        while gateway.call("sync", json!({})).await.is_err() {
            assert!(Instant::now() < end, "no thread takes their place");
        }
    });
}

#[test]
fn a_call_that_has_waited_for_too_long_never_starts() {
    let gateway = Gateway::start("plugins", |config| {
        config.call_timeout = Duration::from_millis(300);
        config.queue_timeout = Duration::from_millis(300);
    });
    tokio_runtime().block_on(async {
        let blocking = gateway.call("blocking_sleep", json!({"seconds": 0.8}));
        let waiting = gateway.call("survives_cancel", json!({"tag": "never"}));
        let (first, second) = tokio::join!(blocking, waiting);
        assert!(matches!(first, Err(DispatchError::TimedOut(_))));
        assert!(matches!(second, Err(DispatchError::NotStarted(_))));
        eventually("nothing runs", || gateway.python.status().running == 0).await;
        let seen = gateway
            .call("survives_cancel", json!({"action": "seen"}))
            .await
            .unwrap();
        assert_eq!(seen, json!({"seen": []}));
    });
}

#[test]
fn limits_of_the_manifest_hold() {
    on_shared(|gateway| async move {
        let call = |seconds: f64| gateway.call("timeout_setting", json!({"seconds": seconds}));
        assert!(matches!(call(5.0).await, Err(DispatchError::TimedOut(_))));
        let plugin = gateway.plugin("timeout_setting");
        eventually("its place is free", || plugin.in_flight() == 0).await;
        let (one, two, three) = tokio::join!(call(0.1), call(0.1), call(0.1));
        assert!(one.is_ok() && two.is_ok());
        assert!(matches!(three, Err(DispatchError::Overloaded)));
        assert!(call(0.0).await.is_ok());
    });
}

#[test]
fn a_client_that_goes_away_does_not_cancel_its_call() {
    let gateway = short();
    tokio_runtime().block_on(async {
        let plugin = gateway.plugin("slow");
        {
            let call = gateway.dispatcher.call(
                &plugin,
                user(),
                "gone".into(),
                Bytes::from_static(b"{\"seconds\": 0.05}"),
            );
            let mut call = std::pin::pin!(call);
            assert!(futures_util::poll!(&mut call).is_pending());
        }
        assert_eq!(plugin.in_flight(), 1);
        eventually("its place is free", || plugin.in_flight() == 0).await;
        eventually("the call has ended", || gateway.dispatcher.in_flight() == 0).await;
    });
}

#[test]
fn a_full_queue_and_draining_are_answers() {
    let gateway = Gateway::start("plugins", |config| {
        config.call_timeout = Duration::from_secs(30);
        config.queue_size = 4;
    });
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("open");
    tokio_runtime().block_on(async {
        let blocking = gateway.call("blocking_gate", json!({ "gate": gate }));
        let mut blocking = std::pin::pin!(blocking);
        assert!(futures_util::poll!(&mut blocking).is_pending());
        // The queue says less: the watchdog's ping may be in it behind the call.
        let begun = dir.path().join("open.begun");
        eventually("it holds the loop", || begun.exists()).await;
        let calls = (0..8).map(|_| gateway.call("echo", json!({})));
        let mut calls = std::pin::pin!(futures_util::future::join_all(calls));
        // All eight have come before the loop goes on.
        assert!(futures_util::poll!(&mut calls).is_pending());
        std::fs::write(&gate, "").unwrap();
        let results = calls.await;
        let full = results
            .iter()
            .filter(|one| matches!(one, Err(DispatchError::Overloaded)))
            .count();
        assert_eq!(full, 4, "of 8");
        assert_eq!(blocking.await.unwrap(), json!({"opened": true}));
        gateway.dispatcher.start_draining();
        let refused = gateway.call("echo", json!({})).await;
        assert!(matches!(refused, Err(DispatchError::Overloaded)));
    });
}

#[test]
fn a_held_loop_does_not_cost_others_their_time() {
    let gateway = short();
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("open");
    tokio_runtime().block_on(async {
        let holding = gateway.call("native_gate", json!({ "gate": gate }));
        let mut holding = std::pin::pin!(holding);
        assert!(futures_util::poll!(&mut holding).is_pending());
        let waiting = gateway.call("echo", json!({"n": 1}));
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let outcome = holding.await;
        assert!(
            matches!(outcome, Err(DispatchError::TimedOut(_))),
            "{outcome:?}"
        );
        // The other's limit has passed too, but it has not begun.
        assert!(futures_util::poll!(&mut waiting).is_pending());
        std::fs::write(&gate, "").unwrap();
        assert_eq!(waiting.await.unwrap()["n"], 1);
    });
}

#[test]
fn a_wake_up_that_is_put_off_comes_although_no_turn_ends() {
    let (_dir, gateway) = Gateway::of(
        &[
            ("plain", "def execute(data):\n    return {}\n"),
            ("quick", "async def execute(data):\n    return {}\n"),
        ],
        |_| {},
    );
    tokio_runtime().block_on(async {
        // A thread of the pool waits for work.
        gateway.call("plain", json!({})).await.unwrap();
        // This thread's turn never ends.
        crate::turns::begin_turn();
        for _ in 0..3 {
            for plugin in ["plain", "quick"] {
                let call = gateway.call(plugin, json!({}));
                let answer = tokio::time::timeout(Duration::from_secs(5), call).await;
                answer.expect("it is woken").unwrap();
            }
        }
    });
}
