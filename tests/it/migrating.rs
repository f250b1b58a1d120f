//! What `python -m mozaiks.migrate` has copied, the gateway serves.

use std::process::Command;

use serde_json::json;

use crate::{
    data::with_sdk,
    support::{Answer, DocstoreProcess, TestClient, python},
};

/// Documents as the original kept them.
const FILL: &str = r#"
import datetime as dt, sys
from pymongo import MongoClient

old = MongoClient(sys.argv[1]).get_default_database()
now = dt.datetime.now(dt.timezone.utc)
ann = "650000000000000000000001"
old["users"].insert_one({
    "_id": ann,
    "notification_preferences": {"task_due": {"enabled": False, "frequency": "immediate"}},
    "notifications": [{
        "id": "one", "user_id": ann, "type": "task_due", "title": "Embedded", "message": "M",
        "created_at": (now - dt.timedelta(days=1)).replace(tzinfo=None).isoformat(),
        "read": True, "metadata": {"n": 7},
    }],
})
old["settings"].insert_one({
    "user_id": ann,
    "plugin_settings": {"notes": {"theme": "dark", "since": now}},
    "notification_preferences": {"email_enabled": False, "digest_frequency": "weekly"},
})
old["notifications"].insert_one({
    "user_id": ann, "type": "news", "title": "Stored", "message": "", "metadata": {},
    "read": False, "created_at": now,
})
"#;

fn run(arguments: &[&str]) -> String {
    let sdk = concat!(env!("CARGO_MANIFEST_DIR"), "/python-sdk");
    let output = Command::new(python().expect("a Python"))
        .args(arguments)
        .env("PYTHONPATH", sdk)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{trouble}");
    said
}

async fn listed(client: &TestClient) -> Vec<(String, bool)> {
    let page = client.get("/api/notifications").await.expect_ok();
    let all = page["notifications"].as_array().unwrap().iter();
    let read = |one: &serde_json::Value| one["read"].as_bool().unwrap();
    all.map(|one| (one["title"].as_str().unwrap().to_owned(), read(one)))
        .collect()
}

#[tokio::test]
async fn what_users_had_elsewhere_they_have_here() {
    let store = DocstoreProcess::start().await;
    let old = store.uri().replace("/?", "/old?");
    let new = store.uri().replace("/?", "/shop?");
    run(&["-c", FILL, &old]);
    let copy = ["-m", "mozaiks.migrate", "--from", &old, "--to", &new];
    let said = run(&copy);
    assert!(
        said.contains("notifications: 2 copied, 0 there already, 0 left"),
        "{said}"
    );

    let notes = "from core.settings_manager import settings_manager\n\n\
                 async def execute(data):\n    \
                 return await settings_manager.get_plugin_settings(data['user_id'], 'notes')\n";
    let app = with_sdk()
        .plugin("notes", notes)
        .env("MONGODB_URI", &new)
        .start()
        .await;
    let ann = app.user("650000000000000000000001");
    let both = [("Stored".to_owned(), false), ("Embedded".to_owned(), true)];
    assert_eq!(listed(&ann).await, both);
    let settings = ann.execute("notes", &json!({})).await.expect_ok();
    assert_eq!(settings["theme"], "dark");
    assert!(settings["since"].is_string());
    let said = ann.get("/api/notifications/preferences").await.expect_ok();
    let preferences = &said["preferences"];
    assert_eq!(preferences["types"]["task_due"]["enabled"], false);
    assert_eq!(preferences["channels"]["email"], false);
    assert_eq!(preferences["digest"], "weekly");

    // Again, beside the running gateway: nothing twice, nothing undone.
    let all = ann.request(reqwest::Method::POST, "/api/notifications/read-all");
    Answer::of(all).await.expect_ok();
    let again = run(&copy);
    assert!(
        again.contains("notifications: 0 copied, 2 there already, 0 left"),
        "{again}"
    );
    let both = both.map(|(title, _)| (title, true));
    assert_eq!(listed(&ann).await, both);
}
