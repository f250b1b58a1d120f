//! How plugins declare scheduled jobs: in code, in files of their own, and wrongly.

use serde_json::json;

use crate::{
    data::with_sdk,
    jobs_of_plugins::{run_accepted, runs_of},
};

#[tokio::test]
async fn what_is_no_job_is_refused_by_its_name() {
    let schedule = |call: &str| format!("def on_load(ctx):\n    {call}\n");
    let mut builder = with_sdk()
        .plugin("fine", "def execute(data):\n    return {}\n")
        .env("MOZAIKS_PLUGIN_MAX_JOBS", "3");
    let cases = [
        (
            "cron",
            r#"ctx.schedule_task("61 * * * *", print, name="a")"#,
            "job \"a\": cron: \"61 * * * *\"",
        ),
        (
            "fields",
            r#"ctx.schedule_task("* * *", print)"#,
            "cron: \"* * *\"",
        ),
        (
            "never",
            r#"ctx.schedule_task("0 0 30 2 *", print)"#,
            "never comes",
        ),
        (
            "zone",
            r#"ctx.schedule_task("* * * * *", print, timezone="Mars/Olympus")"#,
            "timezone: \"Mars/Olympus\"",
        ),
        (
            "missed",
            r#"ctx.schedule_task("* * * * *", print, missed="later")"#,
            "later",
        ),
        (
            "limit",
            r#"ctx.schedule_task("* * * * *", print, timeout_seconds=-1)"#,
            "timeout_seconds",
        ),
        (
            "named",
            r#"ctx.schedule_task("* * * * *", print, name="a/b")"#,
            "\"a/b\" is no name of a job",
        ),
        (
            "twice",
            r#"[ctx.schedule_task("* * * * *", print, name="x") for _ in "ab"]"#,
            "has a job \"x\" already",
        ),
        (
            "many",
            r#"[ctx.schedule_task("* * * * *", print, name=x) for x in "abcd"]"#,
            "at most 3 jobs",
        ),
    ];
    for (name, call, _) in cases {
        builder = builder.plugin(name, &schedule(call));
    }
    // The same in a manifest.
    let app = builder
        .file("part/jobs/tidy.py", "def run():\n    pass\n")
        .file(
            "part/plugin.json",
            r#"{"jobs": [{"file": "tidy.py", "cron": "* * * * 9"}]}"#,
        )
        .start()
        .await;
    for (name, _, said) in cases
        .into_iter()
        .chain([("part", "", "jobs[0].cron: \"* * * * 9\"")])
    {
        let shown = app
            .admin()
            .get(&format!("/api/plugins/{name}"))
            .await
            .expect_ok();
        assert_eq!(shown["status"], "error", "{name}: {shown}");
        let error = shown["error"].as_str().unwrap();
        assert!(error.contains(said), "{name}: {error}");
        assert_eq!(shown["jobs"], json!([]), "{name}");
    }
    app.user("ann")
        .execute("fine", &json!({}))
        .await
        .expect_ok();
}

#[tokio::test]
async fn a_job_may_be_a_file_of_its_own() {
    let tidy = r#"
async def run(ctx, run):
    await ctx.db["tidied"].insert_one({"job": run["job"]})
"#;
    let manifest = r#"{"jobs": [
        {"file": "tidy.py", "schedule": "0 0 1 1 *"},
        {"file": "tidy.py", "cron": "0 0 1 2 *", "name": "again", "missed": "run_once", "timeout_seconds": 5}
    ]}"#;
    let app = with_sdk()
        .file("parts/jobs/tidy.py", tidy)
        .file("parts/plugin.json", manifest)
        .start()
        .await;
    run_accepted(&app, "parts", "again").await;
    assert_eq!(
        runs_of(&app, "parts", "again", 1).await[0]["status"],
        "succeeded"
    );
    let jobs = app.admin().get("/api/plugins/parts").await.expect_ok()["jobs"].clone();
    assert_eq!(
        (&jobs[0]["name"], &jobs[0]["timeout_seconds"]),
        (&json!("again"), &json!(5.0))
    );
    assert_eq!(
        (&jobs[1]["name"], &jobs[1]["missed"]),
        (&json!("tidy"), &json!("skip"))
    );
}
