//! The embedded store as a process of its own: it comes back, and what it has acknowledged with it.

use std::time::Duration;

use serde_json::json;

use crate::{data::with_sdk, support::within};

const SOON: Duration = Duration::from_secs(60);

const KEEPER: &str = r#"
from core.config.database import db

async def execute(data):
    if data.get("action") == "count":
        return {"count": await db["kept"].count_documents({})}
    await db["kept"].insert_one({"_id": data["n"]})
    return {"n": data["n"]}
"#;

/// The embedded store's process.
fn store_of(gateway: u32) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{gateway}/task")).ok()?;
    let children = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<u32> = children
        .flat_map(|pids| {
            pids.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids.into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"store")
    })
}

#[tokio::test]
async fn the_stores_process_is_started_again_and_nothing_acknowledged_is_lost() {
    let mut app = with_sdk().plugin("keeper", KEEPER).start().await;
    let ann = app.user("ann");
    let mut acknowledged = 0;
    let mut n = 0;
    for _ in 0..3 {
        for _ in 0..20 {
            n += 1;
            ann.execute("keeper", &json!({"n": n})).await.expect_ok();
            acknowledged += 1;
        }
        let pid = store_of(app.pid()).expect("the store has a process");
        let killed = std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status();
        assert!(killed.unwrap().success());
        within(SOON, async {
            loop {
                n += 1;
                let answer = ann.execute("keeper", &json!({"n": n})).await;
                if answer.status == 200 {
                    acknowledged += 1;
                    break;
                }
                answer.expect_error(503, "DATABASE_UNAVAILABLE");
            }
        })
        .await;
        assert_ne!(store_of(app.pid()), Some(pid));
    }
    let count = ann
        .execute("keeper", &json!({"action": "count"}))
        .await
        .expect_ok();
    // What was answered with an error may have been written all the same.
    assert!(count["count"].as_u64().unwrap() >= acknowledged, "{count}");
    app.log_line(&["store.started_again"]).await;
    app.signal("TERM");
    assert!(app.ended().await.success());
}
