//! Saving: revisions, drafts, conflicts, and calls that go on meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::*;
use crate::support::DocstoreProcess;

#[tokio::test]
async fn broken_code_is_a_draft_and_the_last_good_revision_serves() {
    let app = builder().start().await;
    let (admin, bob) = (app.admin(), app.user("bob"));
    greeter(&app, "greeter").await;
    for (content, line, message) in [
        ("def execute(data:\n    return {}\n", 1, "SyntaxError"),
        (
            "import os\n\n\ndef execute(data):\n    return {}\n",
            1,
            "may not import os",
        ),
        (
            "from .gone import x\n\n\ndef execute(data):\n    return x\n",
            1,
            "no module .gone",
        ),
        (
            "def execute(data):\n    return {'a': nothing_here}\n",
            2,
            "nothing_here is not defined",
        ),
        ("raise ValueError('at import')\n", 1, "at import"),
    ] {
        let before = admin.get(&format!("{REGISTRY}/greeter")).await.expect_ok();
        let revision = before["source_code"][0]["revision"].clone();
        let saved = put(&admin, "greeter", "logic.py", content, revision)
            .await
            .expect_ok();
        assert_eq!(
            (&saved["saved"], &saved["active"]),
            (&json!(true), &json!(false)),
            "{saved}"
        );
        let problem = &saved["problems"][0];
        assert_eq!(
            (&problem["file"], &problem["line"]),
            (&json!("logic.py"), &json!(line)),
            "{saved}"
        );
        assert!(
            problem["message"].as_str().unwrap().contains(message),
            "{problem}"
        );
        assert_eq!(says(&bob, "greeter").await, "hello");
    }
    let checked = post(&admin, &format!("{REGISTRY}/greeter/validate"), json!({}))
        .await
        .expect_ok();
    assert_eq!(
        checked["valid"], true,
        "what only its import says is not looked for: {checked}"
    );
    // A good one is live with its answer.
    let saved = put(&admin, "greeter", "logic.py", &greeting("again"), json!(6))
        .await
        .expect_ok();
    assert_eq!(saved["active"], true, "{saved}");
    assert_eq!(says(&bob, "greeter").await, "again");
    // And every one of before comes back.
    let path = format!("{REGISTRY}/greeter/files/logic.py");
    let revisions = admin.get(&format!("{path}/revisions")).await.expect_ok();
    assert_eq!(revisions["count"], 7, "{revisions}");
    let restored = post(&admin, &format!("{path}/restore"), json!({"revision": 1})).await;
    assert_eq!(restored.expect_ok()["revision"], 8);
    assert_eq!(says(&bob, "greeter").await, "hello");
    // An author's save waits for an admin.
    let plugin = json!({"name": "anns"});
    let ann = author(&app, "ann");
    made(&post(&ann, REGISTRY, plugin).await);
    put(&ann, "anns", "logic.py", &greeting("one"), Value::Null)
        .await
        .expect_ok();
    post(&admin, &format!("{REGISTRY}/anns/activate"), json!({}))
        .await
        .expect_ok();
    let saved = put(&ann, "anns", "logic.py", &greeting("two"), json!(1))
        .await
        .expect_ok();
    assert_eq!(
        (&saved["active"], &saved["problems"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(says(&bob, "anns").await, "one");
    // Nor does an admin let it serve who saves something else.
    let saved = put(&admin, "anns", "README.md", "# It\n", Value::Null)
        .await
        .expect_ok();
    assert_eq!(
        (&saved["active"], &saved["waiting"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(says(&bob, "anns").await, "one");
    post(&admin, &format!("{REGISTRY}/anns/activate"), json!({}))
        .await
        .expect_ok();
    assert_eq!(says(&bob, "anns").await, "two");
}

#[tokio::test]
async fn of_two_authors_of_one_file_one_is_told_both_versions() {
    let app = builder().start().await;
    let admin = app.admin();
    greeter(&app, "greeter").await;
    let (one, two) = (greeting("one"), greeting("two"));
    let (first, second) = tokio::join!(
        put(&admin, "greeter", "logic.py", &one, json!(1)),
        put(&admin, "greeter", "logic.py", &two, json!(1)),
    );
    let (kept, refused) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    kept.expect_ok();
    let conflict = refused.expect_error(409, "CONFLICT");
    let details = &conflict["details"];
    assert_eq!(details["current"]["revision"], 2);
    assert_eq!(details["yours"]["revision"], 1);
    let both = [&details["current"]["content"], &details["yours"]["content"]];
    assert!(
        both.contains(&&json!(one)) && both.contains(&&json!(two)),
        "{details}"
    );
    // Without a word of what was seen nothing is overwritten.
    put(&admin, "greeter", "logic.py", &one, Value::Null)
        .await
        .expect_error(409, "CONFLICT");
    let manifest = json!({"description": "x", "revision": 99});
    send(
        &admin,
        Method::PATCH,
        &format!("{REGISTRY}/greeter"),
        manifest,
    )
    .await
    .expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn saves_under_load_fail_no_call() {
    let app = Arc::new(builder().start().await);
    let admin = app.admin();
    greeter(&app, "greeter").await;
    let (done, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..16)
        .map(|n| {
            let (app, done, calls) = (Arc::clone(&app), Arc::clone(&done), Arc::clone(&calls));
            tokio::spawn(async move {
                let client = app.user(&format!("u{n}"));
                while !done.load(Ordering::Relaxed) {
                    client.execute("greeter", &json!({})).await.expect_ok();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let started = Instant::now();
    for n in 1..=SAVES {
        let word = format!("w{n}");
        let saved = put(&admin, "greeter", "logic.py", &greeting(&word), json!(n)).await;
        assert_eq!(saved.expect_ok()["active"], true, "{}", saved.text);
        // What was saved serves when the save is answered.
        assert_eq!(says(&admin, "greeter").await, word.as_str());
    }
    let each = started.elapsed() / SAVES;
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    eprintln!("{} calls, {each:?} a save", calls.load(Ordering::Relaxed));
}

/// Saves of the test under load.
const SAVES: u32 = 25;

#[tokio::test]
async fn what_is_saved_on_one_gateway_serves_on_the_other() {
    let database = DocstoreProcess::start().await;
    let start = || {
        builder()
            .env("MOZAIKS_DATABASE_URI", &database.uri())
            .start()
    };
    let (one, two) = tokio::join!(start(), start());
    greeter(&one, "greeter").await;
    let (bob, path) = (two.user("bob"), "/api/plugins/greeter");
    until(&bob, path, |answer| {
        answer.status == 200 && answer.json()["status"] == "active"
    })
    .await;
    assert_eq!(says(&bob, "greeter").await, "hello");
    put(
        &one.admin(),
        "greeter",
        "logic.py",
        &greeting("new"),
        json!(1),
    )
    .await
    .expect_ok();
    let heard = async { while says(&bob, "greeter").await != "new" {} };
    tokio::time::timeout(SOON, heard).await.expect("it follows");
    // Gone here, gone there; and no mark is left in the place of the name.
    Answer::of(
        two.admin()
            .request(Method::DELETE, &format!("{REGISTRY}/greeter")),
    )
    .await
    .expect_ok();
    until(&one.user("bob"), path, |answer| answer.status == 404).await;
    greeter(&one, "greeter").await;
}
