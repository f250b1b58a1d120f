//! Scheduled jobs of plugins where there is more than one gateway, or more than one app.

use std::{collections::BTreeSet, time::Duration};

use mongodb::bson::{DateTime, Document, doc};
use serde_json::json;

use crate::{
    data::with_sdk,
    jobs_of_plugins::{ended_runs, registry, run_accepted, runs_of, until},
    support::{Builder, Claims, DocstoreProcess},
};

fn on(database: &DocstoreProcess) -> Builder {
    with_sdk()
        .env("MOZAIKS_DATABASE_URI", &database.uri())
        .env("MOZAIKS_PLUGIN_JOB_LEASE_SECONDS", "1")
        .env("MOZAIKS_PLUGIN_JOB_POLL_SECONDS", "0.1")
}

async fn control(database: &DocstoreProcess) -> mongodb::Database {
    let client = mongodb::Client::with_uri_str(database.uri()).await.unwrap();
    client.database("mozaiks_control")
}

/// Waits until so many jobs are declared.
async fn declared(control: &mongodb::Database, count: u64) {
    let entries = control.collection::<Document>("plugin_jobs");
    until(|| async {
        let found = entries.count_documents(doc! {}).await.unwrap();
        (found == count).then_some(())
    })
    .await;
}

/// Says that the jobs which the filter finds were due so long ago.
async fn make_due(control: &mongodb::Database, filter: Document, ago: Duration) {
    let at = DateTime::from_millis(DateTime::now().timestamp_millis() - ago.as_millis() as i64);
    let due = doc! { "$set": { "run_at": at, "due_at": at } };
    control
        .collection::<Document>("plugin_jobs")
        .update_many(filter, due)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_whose_time_passed_is_made_up_for_once_or_left_out() {
    let database = DocstoreProcess::start().await;
    let code = r#"
from core.config.database import db

async def on_load(ctx):
    for missed in ("skip", "run_once"):
        ctx.schedule_task("0 0 1 1 *", work, name=missed, missed=missed)
    ctx.schedule_task("0 0 1 1 *", work, name="late")

async def work(ctx, run):
    await db["work"].insert_one({"job": run["job"]})
"#;
    let mut app = on(&database).plugin("clock", code).start().await;
    let control = control(&database).await;
    declared(&control, 3).await;
    app.signal("KILL");
    app.ended().await;
    let hour = Duration::from_secs(3600);
    make_due(&control, doc! { "job": { "$ne": "late" } }, hour).await;
    // A little late is not missed.
    make_due(&control, doc! { "job": "late" }, Duration::from_secs(5)).await;
    let app = on(&database).plugin("clock", code).start().await;
    for (job, status) in [
        ("run_once", "succeeded"),
        ("skip", "missed"),
        ("late", "succeeded"),
    ] {
        let runs = runs_of(&app, "clock", job, 1).await;
        assert_eq!(
            (runs.len(), &runs[0]["status"]),
            (1, &json!(status)),
            "{job}"
        );
    }
    let jobs = registry(&app.admin(), "clock", "jobs").await;
    for job in jobs["jobs"].as_array().unwrap() {
        let next = job["next_run"].as_str().unwrap();
        assert!(next.contains("-01-01T00:00:00"), "{job}");
        assert_eq!(job["last_run"].is_null(), job["name"] == "skip", "{job}");
    }
    // Whoever asks for a run gets it, also where its entry is not there: not yet, or taken out.
    let entries = control.collection::<Document>("plugin_jobs");
    entries.delete_one(doc! { "job": "skip" }).await.unwrap();
    run_accepted(&app, "clock", "skip").await;
    assert_eq!(
        runs_of(&app, "clock", "skip", 2).await[0]["status"],
        "succeeded"
    );
}

#[tokio::test]
async fn of_two_gateways_one_runs_each_job() {
    const JOBS: usize = 500;
    let database = DocstoreProcess::start().await;
    let code = format!(
        r#"
from core.config.database import db

async def on_load(ctx):
    for number in range({JOBS} // 5):
        ctx.schedule_task("0 0 1 1 *", work, name=f"job-{{number}}", missed="run_once")

async def work(ctx, run):
    await db["work"].insert_one({{"job": ctx.plugin.name + ":" + run["job"]}})
"#
    );
    let start = || {
        let plugins = ["one", "two", "three", "four", "five"];
        plugins
            .iter()
            .fold(on(&database), |builder, name| builder.plugin(name, &code))
            .start()
    };
    let (first, second) = tokio::join!(start(), start());
    let control = control(&database).await;
    declared(&control, JOBS as u64).await;
    make_due(&control, doc! {}, Duration::from_secs(1)).await;
    let runs = control.collection::<Document>("plugin_job_runs");
    let done = doc! { "status": "succeeded" };
    until(|| async {
        let count = runs.count_documents(done.clone()).await.unwrap();
        (count >= JOBS as u64).then_some(())
    })
    .await;
    // What has been run twice would have been by now: nothing is due any more.
    let work = control
        .client()
        .database("mozaiks")
        .collection::<Document>("work");
    assert_eq!(work.count_documents(doc! {}).await.unwrap(), JOBS as u64);
    assert_eq!(work.distinct("job", doc! {}).await.unwrap().len(), JOBS);
    assert_eq!(runs.count_documents(doc! {}).await.unwrap(), JOBS as u64);
    let gateways = runs.distinct("gateway", doc! {}).await.unwrap();
    assert_eq!(gateways.len(), 2, "{gateways:?}");
    for app in [first, second] {
        let lost = app
            .metric("mozaiks_plugin_job_runs_total{outcome=\"lost\"}")
            .await;
        assert_eq!(lost, 0.0);
    }
}

#[tokio::test]
async fn what_a_killed_gateway_ran_another_runs_once() {
    let database = DocstoreProcess::start().await;
    let code = r#"
import asyncio
from core.config.database import db

async def on_load(ctx):
    ctx.schedule_task("0 0 1 1 *", work)
    ctx.schedule_task("0 0 1 1 *", later)

async def work(ctx, run):
    await db["begun"].insert_one({"attempt": run["attempt"]})
    while not await db["free"].find_one():
        await asyncio.sleep(0.02)
    await db["done"].insert_one({"attempt": run["attempt"]})

async def later():
    await db["done"].insert_one({"later": True})
"#;
    let mut first = on(&database).plugin("clock", code).start().await;
    let control = control(&database).await;
    declared(&control, 2).await;
    let plugins = control.client().database("mozaiks");
    run_accepted(&first, "clock", "work").await;
    let begun = plugins.collection::<Document>("begun");
    until(|| async { begun.find_one(doc! {}).await.unwrap() }).await;
    let second = on(&database).plugin("clock", code).start().await;
    first.signal("KILL");
    first.ended().await;
    // Due while nobody but the second lives.
    make_due(&control, doc! { "job": "later" }, Duration::ZERO).await;
    until(|| async { begun.find_one(doc! { "attempt": 2 }).await.unwrap() }).await;
    let free = plugins.collection::<Document>("free");
    free.insert_one(doc! {}).await.unwrap();
    let runs = until(|| async {
        let runs = ended_runs(&second, "clock", "work").await;
        runs.iter()
            .any(|run| run["status"] == "succeeded")
            .then_some(runs)
    })
    .await;
    let went: Vec<_> = runs
        .iter()
        .map(|run| (&run["status"], &run["attempt"]))
        .collect();
    assert_eq!(
        went,
        [
            (&json!("succeeded"), &json!(2)),
            (&json!("lost"), &json!(1))
        ]
    );
    assert_ne!(runs[0]["gateway"], runs[1]["gateway"]);
    runs_of(&second, "clock", "later", 1).await;
    let done = plugins.collection::<Document>("done");
    assert_eq!(done.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test]
async fn a_gateway_of_many_apps_runs_a_job_in_each() {
    let database = DocstoreProcess::start().await;
    let code = r#"
from core.config.database import db

async def on_load(ctx):
    ctx.schedule_task("* * * * * *", tick)

async def tick(ctx, run):
    await ctx.db["ticks"].insert_one({"app": run["app_id"]})

async def check_health(ctx):
    return {"ticks": await ctx.db["ticks"].count_documents({})}

async def execute(data):
    rows = await db["ticks"].find().to_list()
    return {"apps": sorted({row["app"] for row in rows}), "count": len(rows)}
"#;
    let app = on(&database)
        .plugin("clock", code)
        .env("MOZAIKS_APP_ID", "*")
        .env("MOZAIKS_PLUGIN_HEALTH_INTERVAL_SECONDS", "0.2")
        .start()
        .await;
    let of = |name: &str, role: &str| {
        let claims = Claims::user("ann")
            .with("app_id", name)
            .with("roles", vec![role]);
        app.with_claims(&claims)
    };
    let ticked = |name: &'static str, least: i64| {
        let client = of(name, "user");
        async move {
            until(|| async {
                let answer = client.execute("clock", &json!({})).await.expect_ok();
                (answer["count"].as_i64() >= Some(least)).then_some(answer)
            })
            .await
        }
    };
    // An app is known from its first call on.
    for name in ["north", "south"] {
        assert_eq!(ticked(name, 1).await["apps"], json!([name]));
        let runs = registry(&of(name, "admin"), "clock", "job-runs").await;
        assert!(runs["count"].as_u64() >= Some(1), "{runs}");
        let healthy = until(|| async {
            let health = registry(&of(name, "admin"), "clock", "health").await;
            (health["status"] == "healthy").then_some(health)
        })
        .await;
        assert!(healthy["details"]["ticks"].is_number(), "{healthy}");
    }
    // Switched off in one of them it goes on in the other.
    let control = control(&database).await;
    control
        .collection::<Document>("plugins")
        .update_one(
            doc! { "name": "clock" },
            doc! { "$addToSet": { "disabled_apps": "north" } },
        )
        .await
        .unwrap();
    let runs = control.collection::<Document>("plugin_job_runs");
    until(|| async {
        let before = runs
            .count_documents(doc! { "app_id": "north" })
            .await
            .unwrap();
        let south = ticked("south", 0).await["count"].as_i64().unwrap();
        ticked("south", south + 2).await;
        let after = runs
            .count_documents(doc! { "app_id": "north" })
            .await
            .unwrap();
        (before == after).then_some(())
    })
    .await;
    let apps: BTreeSet<_> = runs
        .distinct("app_id", doc! {})
        .await
        .unwrap()
        .into_iter()
        .filter_map(|app| app.as_str().map(str::to_owned))
        .collect();
    assert_eq!(apps, BTreeSet::from(["north".into(), "south".into()]));
}
