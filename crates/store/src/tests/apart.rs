//! Apps and plugins are kept apart; sessions and change streams of plugins.

use super::*;

fn other_caller(app: &str, plugin: &str) -> CommandCaller {
    CommandCaller {
        generation: 1,
        app_id: app.into(),
        plugin: plugin.into(),
        user_id: None,
    }
}

/// A store that serves many apps, on a server with transactions and change streams.
async fn many_apps() -> (Arc<Store>, Docstore, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = docstore(dir.path(), Some("rs0")).await;
    let config = StoreConfig {
        database_per_app: true,
        pool_size: 4,
        ..quick(socket_uri(dir.path()))
    };
    let store = Store::open(config, vec![DECLARED]).await.expect("a store");
    up(&store).await;
    (store, server, dir)
}

#[tokio::test]
async fn nothing_that_one_app_or_plugin_opened_serves_another() {
    let (store, _server, _dir) = many_apps().await;
    let apps = ["shop", "bank"];
    let everybody: Vec<_> = apps
        .iter()
        .flat_map(|app| ["orders", "stock"].map(|plugin| other_caller(app, plugin)))
        .collect();
    for app in apps {
        insert_numbers(&store, &other_caller(app, "orders"), 10).await;
    }
    for one in &everybody {
        let find = doc! { "find": "numbers", "batchSize": 2 };
        let open = cursor_id(&run(&store, one, find).await.expect("found"));
        let begin = doc! { "startSession": 1, "causalConsistency": true };
        let session = run(&store, one, begin).await.expect("started");
        let session = session.get_i64("session").expect("a number");
        for other in everybody.iter().filter(|other| *other != one) {
            let more = doc! { "getMore": open, "collection": "numbers" };
            let error = run(&store, other, more)
                .await
                .expect_err("another's cursor");
            assert_eq!(error.code, Some(43));
            let kill = doc! { "killCursors": "numbers", "cursors": [open] };
            let killed = run(&store, other, kill).await.expect("an answer");
            assert_eq!(
                killed.get_array("cursorsKilled").map(Vec::len).ok(),
                Some(0)
            );
            for command in [
                doc! { "find": "numbers", "$gateway": { "session": session } },
                doc! { "commitTransaction": 1, "$gateway": { "session": session } },
                doc! { "abortTransaction": 1, "$gateway": { "session": session } },
            ] {
                let error = run(&store, other, command)
                    .await
                    .expect_err("another's session");
                assert_eq!(error.code, Some(206));
            }
            let end = doc! { "endSessions": 1, "sessions": [session] };
            run(&store, other, end).await.expect("nothing to end");
            // Nor does its data, by any stage.
            for db in ["mozaiks_shop", "mozaiks_bank", "mozaiks_control", "mozaiks"] {
                if db == store.database_name(&other.app_id).expect("a name") {
                    continue;
                }
                for stage in [
                    doc! { "$merge": { "into": { "db": db, "coll": "numbers" } } },
                    doc! { "$out": { "db": db, "coll": "numbers" } },
                    doc! { "$lookup": { "from": { "db": db, "coll": "numbers" }, "as": "x" } },
                    doc! { "$unionWith": { "db": db, "coll": "numbers" } },
                ] {
                    let pipeline =
                        doc! { "aggregate": "numbers", "pipeline": [stage], "cursor": {} };
                    let error = run(&store, other, pipeline).await.expect_err("refused");
                    assert_eq!(error.code, Some(13));
                }
            }
        }
        // All that left both as they were.
        let more = doc! { "getMore": open, "collection": "numbers" };
        assert_eq!(
            numbers(&run(&store, one, more).await.expect("more"), "nextBatch").len(),
            2
        );
        let find = doc! { "find": "numbers", "$gateway": { "session": session } };
        assert_eq!(
            numbers(&run(&store, one, find).await.expect("found"), "firstBatch").len(),
            10
        );
    }
    assert_eq!(store.open_for_plugins(), (4, 4));
    store.forget_generation(1);
    assert_eq!(store.open_for_plugins(), (0, 0));
}

#[tokio::test]
async fn transactions_are_undone_or_kept() {
    let (store, _server, _dir) = many_apps().await;
    let who = caller(1);
    let count = async || {
        let reply = run(&store, &who, doc! { "count": "c" })
            .await
            .expect("counted");
        reply.get_i32("n").expect("a number")
    };
    run(&store, &who, doc! { "create": "c" })
        .await
        .expect("created");
    for (end, expected) in [("abortTransaction", 0), ("commitTransaction", 2), ("", 2)] {
        let begin = doc! { "startSession": 1, "causalConsistency": true };
        let session = run(&store, &who, begin).await.expect("started");
        let session = session.get_i64("session").expect("a number");
        let first = doc! {
            "insert": "c", "documents": [{}],
            "$gateway": { "session": session, "startTransaction": { "writeConcern": { "w": "majority" } } },
        };
        run(&store, &who, first).await.expect("inserted");
        let second = doc! { "insert": "c", "documents": [{}], "$gateway": { "session": session } };
        run(&store, &who, second).await.expect("inserted");
        let within = doc! { "find": "c", "batchSize": 1, "$gateway": { "session": session } };
        let seen = run(&store, &who, within).await.expect("found");
        assert_ne!(cursor_id(&seen), 0, "it sees what it wrote");
        let more = doc! { "getMore": cursor_id(&seen), "collection": "c" };
        run(&store, &who, more).await.expect("the rest");
        if !end.is_empty() {
            let end = doc! { end: 1, "$gateway": { "session": session } };
            run(&store, &who, end).await.expect("ended");
        }
        // With the session ends what it has open.
        let over = doc! { "endSessions": 1, "sessions": [session] };
        run(&store, &who, over).await.expect("ended");
        assert_eq!(count().await, expected, "{end}");
        assert_eq!(store.open_for_plugins(), (0, 0));
    }
}

#[tokio::test]
async fn sessions_are_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    let config = StoreConfig {
        max_sessions_per_plugin: 2,
        idle_timeout: Duration::from_millis(1),
        ..quick(socket_uri(dir.path()))
    };
    let store = Store::open(config, vec![]).await.expect("a store");
    up(&store).await;
    let start = || doc! { "startSession": 1 };
    for _ in 0..5 {
        run(&store, &caller(1), start()).await.expect("started");
        assert!(store.open_for_plugins().1 <= 2);
    }
    tokio::time::timeout(Duration::from_secs(20), async {
        while store.open_for_plugins().1 > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("idle ones end");
}

#[tokio::test]
async fn change_streams_wait_without_holding_up_others() {
    let (store, _server, _dir) = many_apps().await;
    let who = caller(1);
    run(&store, &who, doc! { "create": "c" })
        .await
        .expect("created");
    let mut streams = Vec::new();
    // More than there are connections.
    for _ in 0..8 {
        let watch = doc! {
            "aggregate": "c", "pipeline": [{ "$changeStream": {} }], "cursor": {},
            "$gateway": { "maxAwaitTimeMS": 5000 },
        };
        streams.push(cursor_id(&run(&store, &who, watch).await.expect("opened")));
    }
    let waiting: Vec<_> = streams
        .iter()
        .map(|id| {
            let (store, who) = (Arc::clone(&store), who.clone());
            let more = doc! { "getMore": *id, "collection": "c" };
            tokio::spawn(async move { run(&store, &who, more).await })
        })
        .collect();
    let begin = Instant::now();
    run(&store, &who, doc! { "count": "c" })
        .await
        .expect("counted");
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    run(
        &store,
        &who,
        doc! { "insert": "c", "documents": [{ "n": 7 }] },
    )
    .await
    .expect("inserted");
    for waiting in waiting {
        let reply = waiting.await.expect("a task").expect("a batch");
        let batch = reply
            .get_document("cursor")
            .and_then(|c| c.get_array("nextBatch"));
        assert_eq!(batch.map(Vec::len).ok(), Some(1));
    }
    // Another app sees nothing of it.
    let other = other_caller("bank", "orders");
    let watch = doc! { "aggregate": 1, "pipeline": [{ "$changeStream": {} }], "cursor": {},
    "$gateway": { "maxAwaitTimeMS": 100 } };
    let stream = cursor_id(&run(&store, &other, watch).await.expect("opened"));
    run(
        &store,
        &who,
        doc! { "insert": "c", "documents": [{ "n": 8 }] },
    )
    .await
    .expect("inserted");
    let more = doc! { "getMore": stream, "collection": "$cmd.aggregate" };
    let reply = run(&store, &other, more).await.expect("a batch");
    let batch = reply
        .get_document("cursor")
        .and_then(|c| c.get_array("nextBatch"));
    assert_eq!(batch.map(Vec::len).ok(), Some(0));
}

#[tokio::test]
async fn no_answer_names_a_server() {
    let (store, _server, dir) = many_apps().await;
    let who = caller(1);
    insert_numbers(&store, &who, 3).await;
    let place = dir.path().to_string_lossy().into_owned();
    for command in [
        doc! { "hello": 1 },
        doc! { "explain": { "find": "numbers" }, "verbosity": "allPlansExecution" },
        doc! { "aggregate": "numbers", "pipeline": [], "explain": true },
        doc! { "dbStats": 1 },
        doc! { "collStats": "numbers" },
        doc! { "validate": "numbers" },
        doc! { "buildInfo": 1 },
        doc! { "listCollections": 1 },
        doc! { "listIndexes": "numbers" },
    ] {
        let reply = run(&store, &who, command.clone()).await.expect("an answer");
        let text = reply.to_string();
        for word in [
            "serverInfo",
            "\"host\"",
            "\"me\"",
            "\"hosts\"",
            place.as_str(),
        ] {
            assert!(!text.contains(word), "{command}: {text}");
        }
    }
}

#[tokio::test]
async fn collections_are_renamed_within_the_app() {
    let (store, _server, _dir) = many_apps().await;
    let who = caller(1);
    insert_numbers(&store, &who, 3).await;
    let rename = doc! { "renameCollection": "numbers", "to": "figures", "dropTarget": false };
    run(&store, &who, rename).await.expect("renamed");
    let reply = run(&store, &who, doc! { "count": "figures" })
        .await
        .expect("counted");
    assert_eq!(reply.get_i32("n").ok(), Some(3));
    // Another database's name is only a part of a collection's.
    let rename = doc! { "renameCollection": "figures", "to": "mozaiks_bank.stolen" };
    run(&store, &who, rename).await.expect("renamed");
    let reply = run(
        &store,
        &other_caller("bank", "orders"),
        doc! { "count": "stolen" },
    )
    .await
    .expect("counted");
    assert_eq!(reply.get_i32("n").ok(), Some(0));
}
