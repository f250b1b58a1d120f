//! What a plugin may store: documents of its own collections, values and files together.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, Claims, TestApp, TestClient, within},
};

const SOON: Duration = Duration::from_secs(60);
const LIMIT: u64 = 64_000;

const KEEPER: &str = r#"
from core.config.database import db
from mozaiks import QuotaExceeded

ctx = None

async def on_load(context):
    global ctx
    ctx = context

async def execute(data):
    name, text, at = ctx.plugin.name, "x" * data.get("bytes", 8000), str(data.get("at", 0))
    notes = db[f"{name}_notes"]
    writes = {
        "insert": lambda: notes.insert_one({"at": at, "text": text}),
        "many": lambda: notes.insert_many([{"at": at, "text": text}]),
        "update": lambda: notes.update_one({"at": at}, {"$set": {"text": text}}, upsert=True),
        "replace": lambda: notes.replace_one({"at": at}, {"at": at, "text": text}, upsert=True),
        "modify": lambda: notes.find_one_and_update({"at": at}, {"$set": {"text": text}}, upsert=True),
        "foreign": lambda: db["somebodys"].insert_one({"text": text}),
        "value": lambda: ctx.set_storage(f"k{at}", text),
        "file": lambda: ctx.files.write_text(f"f{at}", text),
        "append": lambda: ctx.files.append("log", text),
        "mkdir": lambda: ctx.files.mkdir(f"d{at}"),
        "merge": lambda: db["seed"].aggregate([{"$merge": f"{name}_copies"}]),
        "delete_documents": lambda: notes.delete_many({}),
        "delete_value": lambda: ctx.delete_storage(f"k{at}"),
        "delete_file": lambda: ctx.files.delete(f"f{at}"),
        "delete_log": lambda: ctx.files.delete("log"),
        "pop": lambda: notes.find_one_and_delete({}),
        "read": lambda: notes.count_documents({}),
    }
    if data.get("catch"):
        try:
            await writes[data["do"]]()
        except QuotaExceeded as error:
            return {"refused": error.error_code, "details": error.details}
        return {"refused": None}
    await writes[data["do"]]()
    return {}
"#;

fn keeper(isolation: &str) -> Builder {
    let manifest = json!({ "isolation": isolation, "resource_limits": { "storage": LIMIT } });
    with_sdk()
        .plugin("keeper", KEEPER)
        .file("keeper/plugin.json", &manifest.to_string())
        .plugin("other", KEEPER)
        .file("other/plugin.json", &manifest.to_string())
        .env("MOZAIKS_STORAGE_RECOUNT_SECONDS", "0.1")
}

async fn does(client: &TestClient, plugin: &str, what: &str, at: usize) -> Answer {
    client
        .execute(plugin, &json!({ "do": what, "at": at }))
        .await
}

/// Writes until it is refused; how often it was not.
async fn fill(client: &TestClient, what: &str) -> usize {
    for at in 0..100 {
        let answer = does(client, "keeper", what, at).await;
        if answer.status != 200 {
            let body = answer.expect_error(507, "QUOTA_EXCEEDED");
            assert!(!body.to_string().contains("keeper_"), "{body}");
            return at;
        }
    }
    panic!("{what} was never refused");
}

/// Until a write is taken again, which is when it was counted.
async fn is_taken(client: &TestClient, what: &str) {
    within(SOON, async {
        loop {
            let answer = does(client, "keeper", what, 0).await;
            if answer.status == 200 {
                return;
            }
            answer.expect_error(507, "QUOTA_EXCEEDED");
        }
    })
    .await;
}

async fn used(app: &TestApp) -> Value {
    let limits = app.admin().get("/api/plugins/registry/keeper/limits").await;
    let limits = limits.expect_ok();
    let all = limits["limits"].as_array().unwrap();
    let storage = all.iter().find(|limit| limit["name"] == "storage").unwrap();
    assert_eq!(
        (&storage["enforced"], &storage["effective"]),
        (&json!(true), &json!(LIMIT))
    );
    storage["used"].clone()
}

async fn is_used(app: &TestApp, wanted: impl Fn(u64) -> bool) {
    within(SOON, async {
        while !used(app).await.as_u64().is_some_and(&wanted) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn keeps_the_quota(isolation: &str) {
    let app = keeper(isolation).start().await;
    let user = app.user("ann");
    for (what, undo) in [
        ("insert", "delete_documents"),
        ("many", "delete_documents"),
        ("update", "delete_documents"),
        ("replace", "delete_documents"),
        ("modify", "delete_documents"),
        ("value", "delete_value"),
        ("file", "delete_file"),
        ("append", "delete_log"),
    ] {
        is_used(&app, |used| used < 1000).await;
        let written = fill(&user, what).await;
        // Eight thousand bytes each, and little beside.
        // One that was written during a count may be known only after the next.
        assert!((7..=8).contains(&written), "{what}: {written}");
        // One limit for all three ways; what is others' is not counted.
        for other in ["insert", "value", "file"] {
            does(&user, "keeper", other, 99)
                .await
                .expect_error(507, "QUOTA_EXCEEDED");
        }
        let caught = json!({ "do": what, "at": 99, "catch": true });
        let caught = user.execute("keeper", &caught).await.expect_ok();
        assert_eq!(
            caught,
            json!({ "refused": "QUOTA_EXCEEDED", "details": { "limit_bytes": LIMIT } })
        );
        does(&user, "keeper", "foreign", 0).await.expect_ok();
        does(&user, "keeper", "read", 0).await.expect_ok();
        does(&user, "other", what, 0).await.expect_ok();
        is_used(&app, |used| (56_000..=LIMIT + 9000).contains(&used)).await;
        for at in 0..written {
            does(&user, "keeper", undo, at).await.expect_ok();
        }
        is_taken(&user, what).await;
        does(&user, "keeper", undo, 0).await.expect_ok();
    }
    does(&user, "keeper", "pop", 0).await.expect_ok();
    let refused = app.metric("mozaiks_plugin_storage_refusals_total").await;
    assert!(refused >= 40.0, "{refused}");
}

#[tokio::test]
async fn a_plugin_in_the_gateway_keeps_its_quota() {
    keeps_the_quota("inline").await;
}

#[tokio::test]
async fn a_plugin_in_a_process_of_its_own_keeps_its_quota() {
    keeps_the_quota("dedicated").await;
}

#[tokio::test]
async fn one_document_may_be_written_for_ever() {
    let app = keeper("inline").start().await;
    let user = app.user("ann");
    // Four times the quota, and never more there than a part of it; counting is at most each second.
    within(SOON, async {
        for what in ["update", "value", "file"] {
            let mut taken = 0;
            while taken < 10 {
                let answer = does(&user, "keeper", what, 0).await;
                if answer.status == 200 {
                    taken += 1;
                } else {
                    answer.expect_error(507, "QUOTA_EXCEEDED");
                }
            }
        }
    })
    .await;
    is_used(&app, |used| (24_000..30_000).contains(&used)).await;
}

#[tokio::test]
async fn what_a_pipeline_writes_and_empty_directories_count_too() {
    let app = keeper("inline").start().await;
    let user = app.user("ann");
    fill(&user, "value").await;
    let small = json!({ "do": "value", "at": 50, "bytes": 6500 });
    user.execute("keeper", &small).await.expect_ok();
    let mut made = 0;
    while does(&user, "keeper", "mkdir", made).await.status == 200 {
        made += 1;
        assert!(made < 100, "directories are free");
    }
    // What is left is less than the command has.
    let mut at = 100;
    let tiny = |at: usize| json!({ "do": "value", "at": at, "bytes": 1 });
    while user.execute("keeper", &tiny(at)).await.status == 200 {
        at += 1;
    }
    let refused = does(&user, "keeper", "merge", 0).await;
    refused.expect_error(507, "QUOTA_EXCEEDED");
}

#[tokio::test]
async fn apps_have_a_quota_each_and_the_operator_may_give_more() {
    let app = keeper("inline").env("MOZAIKS_APP_ID", "*").start().await;
    let of = |id: &str| app.with_claims(&Claims::user("ann").with("app_id", id));
    let (a, b) = (of("a"), of("b"));
    fill(&a, "insert").await;
    for what in ["insert", "value", "file"] {
        does(&b, "keeper", what, 0).await.expect_ok();
    }
    let root = Claims::user("root")
        .with("app_id", "a")
        .with("roles", json!(["superadmin"]));
    let root = app.with_claims(&root);
    let request = root.request(Method::PUT, "/api/plugins/registry/keeper/limits");
    let more = json!({ "limits": { "storage": "1MB" } });
    Answer::of(request.json(&more)).await.expect_ok();
    is_taken(&a, "insert").await;
}

#[tokio::test]
async fn what_was_stored_before_a_start_counts_from_the_first_write_on() {
    let data = tempfile::tempdir().unwrap();
    let mut app = keeper("inline").data_dir(data.path()).start().await;
    fill(&app.user("ann"), "file").await;
    app.signal("TERM");
    app.ended().await;
    let app = keeper("inline").data_dir(data.path()).start().await;
    let first = does(&app.user("ann"), "keeper", "insert", 0).await;
    first.expect_error(507, "QUOTA_EXCEEDED");
}
