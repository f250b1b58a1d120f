//! Scheduled jobs of plugins in one gateway: when they run, how often, and what becomes of those that fail.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, TestApp, TestClient, within},
};

const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    within(LIMIT, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

async fn post(client: &TestClient, path: &str, body: &Value) -> Answer {
    Answer::of(client.request(Method::POST, path).json(body)).await
}

pub async fn run(app: &TestApp, plugin: &str, job: &str) -> Answer {
    let path = format!("/api/plugins/registry/{plugin}/jobs/{job}/run");
    post(&app.admin(), &path, &json!({})).await
}

/// Has a job run that is not running.
pub async fn run_accepted(app: &TestApp, plugin: &str, job: &str) {
    let asked = run(app, plugin, job).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text);
}

/// Has a job run as soon as its run before has ended.
pub async fn run_again(app: &TestApp, plugin: &str, job: &str) {
    until(|| async { (run(app, plugin, job).await.status.as_u16() == 202).then_some(()) }).await;
}

async fn set_enabled(app: &TestApp, plugin: &str, enabled: bool) {
    let path = format!("/api/plugins/{plugin}/enable");
    post(&app.admin(), &path, &json!({ "enabled": enabled }))
        .await
        .expect_ok();
}

pub async fn registry(client: &TestClient, plugin: &str, what: &str) -> Value {
    let path = format!("/api/plugins/registry/{plugin}/{what}");
    client.get(&path).await.expect_ok()
}

/// The runs of a job that have ended, newest first.
pub async fn ended_runs(app: &TestApp, plugin: &str, job: &str) -> Vec<Value> {
    let runs = registry(&app.admin(), plugin, &format!("job-runs?job={job}")).await;
    let runs = runs["job_runs"].as_array().unwrap();
    let has_ended = |run: &&Value| run["status"] != "running";
    runs.iter().filter(has_ended).cloned().collect()
}

/// Waits until a job has so many runs that ended; gives them, newest first.
pub async fn runs_of(app: &TestApp, plugin: &str, job: &str, count: usize) -> Vec<Value> {
    until(|| async {
        let runs = ended_runs(app, plugin, job).await;
        (runs.len() >= count).then_some(runs)
    })
    .await
}

async fn state(app: &TestApp, plugin: &str) -> Value {
    app.user("ann")
        .get(&format!("/api/plugins/{plugin}/state"))
        .await
        .expect_ok()
}

/// Waits until the plugin's state is as wanted.
async fn state_where(app: &TestApp, plugin: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(|| async {
        let state = state(app, plugin).await;
        wanted(&state).then_some(state)
    })
    .await
}

fn count(state: &Value, name: &str) -> i64 {
    state["counts"][name].as_i64().unwrap_or(0)
}

/// Waits until the clock of the plugin has ticked that often more: what was to come has come by then.
async fn ticks(app: &TestApp, plugin: &str, more: i64) {
    let before = count(&state(app, plugin).await, "tick");
    state_where(app, plugin, |state| count(state, "tick") >= before + more).await;
}

/// A plugin with jobs of every kind, which a test lets go by the route `/let`.
const CLOCK: &str = r#"
import asyncio
import time
from collections import Counter

counts, free, heard, seen = Counter(), set(), [], []
at_once, most_at_once = 0, 0
NEVER = "0 0 1 1 *"


async def on_load(ctx):
    ctx.schedule_task("* * * * * *", tick, name="tick")
    ctx.schedule_task("* * * * * *", slow, name="slow")
    ctx.schedule_task(NEVER, raises, timezone="Europe/Berlin")
    ctx.schedule_task(NEVER, hangs, timeout_seconds=0.2)
    ctx.schedule_task(NEVER, blocks, timeout_seconds=0.2)
    ctx.schedule_task(NEVER, told, name="told", missed="run_once")
    ctx.on("plugin_job_failed", heard.append)
    ctx.register_route("GET", "/state", state)
    ctx.register_route("POST", "/let", let)


async def state(request):
    return {"counts": dict(counts), "heard": heard, "seen": seen, "most_at_once": most_at_once}


async def let(request):
    free.add(request.body["go"])


async def tick():
    counts["tick"] += 1


async def slow():
    global at_once, most_at_once
    counts["slow"] += 1
    at_once += 1
    most_at_once = max(most_at_once, at_once)
    while "slow" not in free:
        await asyncio.sleep(0.01)
    at_once -= 1


def raises():
    counts["raises"] += 1
    raise ValueError("no such luck")


async def hangs():
    await asyncio.sleep(999)


def blocks():
    counts["blocks"] += 1
    while "blocks" not in free:
        try:
            time.sleep(0.01)
        except BaseException:
            pass


async def told(ctx, run):
    seen.append(run)
    await ctx.set_storage("run", run["run_id"])
    await ctx.db["runs"].insert_one({"run": run["run_id"]})
    seen.append(await ctx.get_storage("run"))
"#;

pub async fn clock() -> TestApp {
    with_sdk().plugin("clock", CLOCK).start().await
}

#[tokio::test]
async fn jobs_run_when_they_are_due_and_when_they_are_asked_for() {
    let app = clock().await;
    ticks(&app, "clock", 2).await;
    let jobs = registry(&app.admin(), "clock", "jobs").await;
    let names: Vec<_> = jobs["jobs"].as_array().unwrap().iter().collect();
    assert_eq!(jobs["count"], 6, "{jobs}");
    let told = names.iter().find(|job| job["name"] == "told").unwrap();
    assert_eq!(told["missed"], "run_once");
    let raises = names.iter().find(|job| job["name"] == "raises").unwrap();
    assert_eq!(
        (&raises["timezone"], &raises["cron"], &raises["active"]),
        (&json!("Europe/Berlin"), &json!("0 0 1 1 *"), &json!(true))
    );
    // Midnight in Berlin is the hour before in UTC.
    let next = raises["next_run"].as_str().unwrap();
    assert!(next.ends_with("-12-31T23:00:00Z"), "{next}");

    run_accepted(&app, "clock", "told").await;
    let ran = &runs_of(&app, "clock", "told", 1).await[0];
    assert_eq!(
        (&ran["status"], &ran["trigger"], &ran["attempt"]),
        (&json!("succeeded"), &json!("manual"), &json!(1))
    );
    let seen = &state(&app, "clock").await["seen"];
    assert_eq!(
        (&seen[0]["app_id"], &seen[0]["job"]),
        (&json!("default"), &json!("told"))
    );
    // It had an app, and so a storage and a database.
    assert_eq!((&seen[0]["run_id"], &seen[1]), (&ran["id"], &ran["id"]));
    let told = registry(&app.admin(), "clock", "jobs").await;
    let told = told["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["name"] == "told");
    assert_eq!(told.unwrap()["last_run"]["status"], "succeeded");
    // The next one is as the schedule says.
    assert!(
        told.unwrap()["next_run"]
            .as_str()
            .unwrap()
            .contains("-01-01T00:00:00")
    );

    run(&app, "clock", "none")
        .await
        .expect_error(404, "NOT_FOUND");
    run(&app, "none", "told")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    let by_user = post(
        &app.user("ann"),
        "/api/plugins/registry/clock/jobs/told/run",
        &json!({}),
    )
    .await;
    by_user.expect_error(403, "FORBIDDEN");
    for what in ["jobs", "job-runs", "health"] {
        let path = format!("/api/plugins/registry/clock/{what}");
        app.user("ann")
            .get(&path)
            .await
            .expect_error(403, "FORBIDDEN");
        app.anonymous()
            .get(&path)
            .await
            .expect_error(401, "AUTH_REQUIRED");
    }
    app.admin()
        .get("/api/plugins/registry/clock/job-runs?cursor=x")
        .await
        .expect_error(422, "VALIDATION_ERROR");
    runs_of(&app, "clock", "tick", 3).await;
    let page = registry(&app.admin(), "clock", "job-runs?job=tick&limit=2").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("job-runs?job=tick&limit=1&cursor={cursor}");
    let next = &registry(&app.admin(), "clock", &path).await["job_runs"][0];
    assert!(next["id"].as_str() < page["job_runs"][1]["id"].as_str());
    let shown = app.admin().get("/api/plugins/clock").await.expect_ok();
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 6);
    let shown = app.user("ann").get("/api/plugins/clock").await.expect_ok();
    assert_eq!((shown.get("jobs"), shown.get("health")), (None, None));
    assert!(
        app.metric("mozaiks_plugin_job_runs_total{outcome=\"succeeded\"}")
            .await
            >= 3.0
    );
    assert_eq!(app.metric("mozaiks_plugin_jobs").await, 6.0);
}

#[tokio::test]
async fn a_run_that_fails_is_told_and_disturbs_nobody() {
    let mut app = clock().await;
    run_accepted(&app, "clock", "raises").await;
    let failed = &runs_of(&app, "clock", "raises", 1).await[0];
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"], "ValueError: no such luck");
    let traceback = failed["traceback"].as_str().unwrap();
    assert!(traceback.contains("in raises"), "{traceback}");
    run_accepted(&app, "clock", "hangs").await;
    let hung = &runs_of(&app, "clock", "hangs", 1).await[0];
    assert_eq!(hung["status"], "timed_out");
    assert_eq!(hung["error"], "it did not end within 0.2 s");
    let state = state_where(&app, "clock", |state| {
        state["heard"].as_array().unwrap().len() == 2
    })
    .await;
    let heard = &state["heard"][0];
    assert_eq!(
        (&heard["job"], &heard["run_id"], &heard["error"]),
        (
            &json!("raises"),
            &failed["id"],
            &json!("ValueError: no such luck")
        )
    );
    assert_eq!(state["heard"][1]["status"], "timed_out");
    app.log_line(&["plugin_job.failed", "raises", "no such luck"])
        .await;
    // Neither is in anybody's way, its own included.
    ticks(&app, "clock", 1).await;
    run_again(&app, "clock", "raises").await;
    runs_of(&app, "clock", "raises", 2).await;
}

#[tokio::test]
async fn no_job_overlaps_with_itself_whatever_it_does() {
    let app = clock().await;
    // Due every second, and never at its end.
    state_where(&app, "clock", |state| count(state, "slow") == 1).await;
    run(&app, "clock", "slow")
        .await
        .expect_error(409, "CONFLICT");
    // A plain function that ignores the end of its time is still running.
    run_accepted(&app, "clock", "blocks").await;
    let over = &runs_of(&app, "clock", "blocks", 1).await[0];
    assert_eq!(over["status"], "timed_out");
    run(&app, "clock", "blocks")
        .await
        .expect_error(409, "CONFLICT");
    ticks(&app, "clock", 3).await;
    let state = state(&app, "clock").await;
    assert_eq!(
        (count(&state, "slow"), count(&state, "blocks")),
        (1, 1),
        "{state}"
    );

    for name in ["slow", "blocks"] {
        post(
            &app.user("ann"),
            "/api/plugins/clock/let",
            &json!({ "go": name }),
        )
        .await;
    }
    run_again(&app, "clock", "blocks").await;
    let state = state_where(&app, "clock", |state| {
        count(state, "slow") >= 3 && count(state, "blocks") == 2
    })
    .await;
    assert_eq!(state["most_at_once"], 1, "{state}");
}

#[tokio::test]
async fn jobs_rest_while_their_plugin_is_off() {
    let app = with_sdk()
        .plugin("clock", CLOCK)
        .plugin("other", CLOCK)
        .start()
        .await;
    ticks(&app, "clock", 1).await;
    set_enabled(&app, "clock", false).await;
    run(&app, "clock", "tick")
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    let jobs = registry(&app.admin(), "clock", "jobs").await;
    assert_eq!(jobs["count"], 6, "they keep their history");
    assert_eq!(jobs["jobs"][0]["active"], false);
    let before = ended_runs(&app, "clock", "tick").await.len();
    // A run that had begun may have been written down since.
    ticks(&app, "other", 3).await;
    assert!(ended_runs(&app, "clock", "tick").await.len() <= before + 1);
    set_enabled(&app, "clock", true).await;
    runs_of(&app, "clock", "tick", before + 2).await;
}

#[tokio::test]
async fn a_run_ends_on_the_code_it_began_on() {
    let code = |version: &str| {
        format!(
            r#"
import asyncio
from core.config.database import db

async def on_load(ctx):
    ctx.schedule_task("0 0 1 1 *", work)
    if "{version}" == "old":
        ctx.schedule_task("0 0 1 1 *", work, name="gone")
    ctx.register_route("GET", "/state", state)
    ctx.register_route("POST", "/let", let)

async def state(request):
    rows = await db["work"].find().sort("_id", 1).to_list()
    return {{"rows": [row["by"] for row in rows]}}

async def let(request):
    await db["free"].insert_one({{}})

async def work():
    await db["work"].insert_one({{"by": "{version} begins"}})
    while not await db["free"].find_one():
        await asyncio.sleep(0.01)
    await db["work"].insert_one({{"by": "{version} ends"}})
"#
        )
    };
    let app = with_sdk().plugin("clock", &code("old")).start().await;
    let rows = |count: usize| {
        let app = &app;
        async move {
            let state = state_where(app, "clock", |state| {
                state["rows"].as_array().unwrap().len() >= count
            });
            state.await["rows"].clone()
        }
    };
    run_accepted(&app, "clock", "work").await;
    rows(1).await;
    std::fs::write(app.plugins_dir().join("clock/logic.py"), code("new")).unwrap();
    post(&app.admin(), "/api/plugins/clock/reload", &json!({}))
        .await
        .expect_ok();
    run(&app, "clock", "work")
        .await
        .expect_error(409, "CONFLICT");
    post(&app.user("ann"), "/api/plugins/clock/let", &json!({})).await;
    assert_eq!(rows(2).await, json!(["old begins", "old ends"]));
    run_again(&app, "clock", "work").await;
    assert_eq!(
        rows(4).await,
        json!(["old begins", "old ends", "new begins", "new ends"])
    );
    // The history goes on; a job that the new code does not have is gone.
    runs_of(&app, "clock", "work", 2).await;
    until(|| async {
        let jobs = registry(&app.admin(), "clock", "jobs").await;
        (jobs["count"] == 1).then_some(())
    })
    .await;
    run(&app, "clock", "gone")
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn one_plugins_jobs_leave_room_for_anothers() {
    let greedy = r#"
import asyncio

at_once, most_at_once = 0, 0

async def on_load(ctx):
    for name in "abc":
        ctx.schedule_task("* * * * * *", work, name=name)
    ctx.register_route("GET", "/state", lambda: {"most": most_at_once})

async def work():
    global at_once, most_at_once
    at_once += 1
    most_at_once = max(most_at_once, at_once)
    await asyncio.sleep(999)
"#;
    let modest = r#"
ticked = 0

async def on_load(ctx):
    ctx.schedule_task("* * * * * *", tick)
    ctx.register_route("GET", "/state", lambda: {"counts": {"tick": ticked}})

def tick():
    global ticked
    ticked += 1
"#;
    let app = with_sdk()
        .plugin("greedy", greedy)
        .plugin("modest", modest)
        .env("MOZAIKS_PLUGIN_JOB_CONCURRENCY", "2")
        .start()
        .await;
    state_where(&app, "greedy", |state| state["most"] == 1).await;
    ticks(&app, "modest", 3).await;
    assert_eq!(state(&app, "greedy").await["most"], 1);
    assert!(app.metric("mozaiks_plugin_job_runs_running").await >= 1.0);
}
