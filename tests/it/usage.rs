//! What plugins have used, hour by hour and app by app, and how their calls go.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Builder, Claims, TestApp, TestClient, within};

const SOON: Duration = Duration::from_secs(60);

/// Answers, refuses and fails.
const MIXED: &str = "async def execute(data):\n\
    \x20   if data.get('raise'):\n        raise ValueError('on purpose')\n\
    \x20   if data.get('code'):\n        return {'error': 'no', 'error_code': data['code']}\n\
    \x20   return {'said': 'x' * data.get('size', 0)}\n";

fn gateway() -> Builder {
    TestApp::builder()
        .plugin("mixed", MIXED)
        .plugin("idle", MIXED)
}

async fn sums(admin: &TestClient, plugin: &str) -> Value {
    let path = format!("/api/plugins/registry/{plugin}/usage?hours=2");
    let answer = admin.get(&path).await.expect_ok();
    let hours = answer["usage"].as_array().unwrap();
    assert_eq!(answer["count"], hours.len());
    let sum = |name: &str| -> u64 {
        let numbers = hours.iter().filter_map(|hour| hour[name].as_u64());
        numbers.sum()
    };
    json!({ "calls": sum("calls"), "errors": sum("errors"), "bytes": sum("bytes") })
}

/// Waits until so many calls are written down.
async fn reaches(admin: &TestClient, plugin: &str, calls: u64) -> Value {
    within(SOON, async {
        loop {
            let sums = sums(admin, plugin).await;
            if sums["calls"].as_u64().unwrap() >= calls {
                return sums;
            }
        }
    })
    .await
}

#[tokio::test]
async fn calls_are_written_down_by_app_plugin_and_hour() {
    let app = gateway()
        .env("MOZAIKS_APP_ID", "*")
        .env("MOZAIKS_USAGE_FLUSH_SECONDS", "50ms")
        .start()
        .await;
    let of = |app_id: &str, user: &str, role: &str| {
        let claims = Claims::user(user).with("app_id", app_id);
        app.with_claims(&claims.with("roles", vec![role]))
    };
    let one = of("one", "ann", "user");
    one.execute("mixed", &json!({})).await.expect_ok();
    one.execute("mixed", &json!({"size": 1000}))
        .await
        .expect_ok();
    let refusal = one.execute("mixed", &json!({"code": "CONFLICT"})).await;
    refusal.expect_domain_failure(409, "CONFLICT");
    let raised = one.execute("mixed", &json!({"raise": true})).await;
    raised.expect_error(500, "PLUGIN_ERROR");
    let two = of("two", "ann", "user");
    two.execute("mixed", &json!({})).await.expect_ok();

    let admin = of("one", "root", "admin");
    let used = reaches(&admin, "mixed", 4).await;
    assert_eq!((&used["calls"], &used["errors"]), (&json!(4), &json!(1)));
    assert!(
        (1000..2000).contains(&used["bytes"].as_u64().unwrap()),
        "{used}"
    );
    assert_eq!(
        reaches(&of("two", "root", "admin"), "mixed", 1).await["calls"],
        1
    );
    assert_eq!(sums(&admin, "idle").await["calls"], 0);

    let path = "/api/plugins/registry/mixed/usage";
    one.get(path).await.expect_error(403, "FORBIDDEN");
    for hours in ["0", "100000"] {
        let odd = admin.get(&format!("{path}?hours={hours}")).await;
        odd.expect_error(422, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn what_was_counted_last_survives_the_end() {
    let dir = TempDir::new().unwrap();
    let start = || {
        let app = gateway().data_dir(dir.path());
        app.env("MOZAIKS_USAGE_FLUSH_SECONDS", "3600").start()
    };
    let mut app = start().await;
    for _ in 0..5 {
        app.user("ann")
            .execute("mixed", &json!({}))
            .await
            .expect_ok();
    }
    app.signal("TERM");
    assert!(app.ended().await.success());
    let app = start().await;
    assert_eq!(sums(&app.admin(), "mixed").await["calls"], 5);
}

#[tokio::test]
async fn a_process_of_its_own_is_timed() {
    let app = TestApp::builder()
        .plugin(
            "busy",
            "def execute(data):\n    return {'n': sum(range(3_000_000))}\n",
        )
        .file(
            "busy/plugin.json",
            r#"{"name": "busy", "isolation": "dedicated"}"#,
        )
        .env("MOZAIKS_USAGE_FLUSH_SECONDS", "50ms")
        .start()
        .await;
    app.user("ann")
        .execute("busy", &json!({}))
        .await
        .expect_ok();
    within(SOON, async {
        loop {
            let path = "/api/plugins/registry/busy/usage";
            let hours = app.admin().get(path).await.expect_ok();
            let timed = hours["usage"][0]["cpu_ms"].as_u64();
            if timed.is_some_and(|millis| millis > 0) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn how_calls_go_is_told_by_plugin_and_code() {
    let app = gateway().env("MOZAIKS_METRICS_PLUGINS", "1").start().await;
    let ann = app.user("ann");
    let calls = [
        json!({}),
        json!({"code": "CONFLICT"}),
        json!({"code": "OUT_OF_STOCK"}),
        json!({"raise": true}),
        json!({"raise": true}),
    ];
    for data in &calls {
        ann.execute("mixed", data).await;
    }
    let invalid = ann.execute_raw("mixed", "{").await;
    invalid.expect_error(400, "INVALID_JSON");
    let errors = json!({
        "CONFLICT": 1, "INVALID_JSON": 1, "PLUGIN_ERROR": 2, "other": 1,
    });
    let admin = app.admin();
    let whole = admin.get("/api/plugins/mixed").await.expect_ok();
    let status = admin.get("/__mozaiks/admin/status").await.expect_ok();
    assert_eq!(
        (&status["phase"], &status["count"]),
        (&json!("ready"), &json!(2))
    );
    let plugins = status["plugins"].as_array().unwrap();
    let listed = plugins.iter().find(|plugin| plugin["name"] == "mixed");
    for metrics in [&whole["metrics"], listed.unwrap()] {
        assert_eq!(metrics["errors"], errors, "{metrics}");
        let counts = (&metrics["calls"], &metrics["failed"], &metrics["restarts"]);
        assert_eq!(counts, (&json!(6), &json!(5), &json!(0)), "{metrics}");
        let queue = (&metrics["queue"]["running"], &metrics["queue"]["waiting"]);
        assert_eq!(queue, (&json!(0), &json!(0)), "{metrics}");
        let last = metrics["latency"]["buckets"].as_array().unwrap().last();
        assert_eq!(last.unwrap(), &json!({"le_seconds": null, "count": 6}));
    }
    let user = ann.get("/__mozaiks/admin/status").await;
    user.expect_error(403, "FORBIDDEN");
    let seen = ann.get("/api/plugins/mixed").await.expect_ok();
    assert!(seen.get("metrics").is_none(), "{seen}");

    // Only one has a name there: the first of the alphabet.
    let text = admin.get("/metrics").await.text;
    assert!(!text.contains("plugin=\"mixed\""), "{text}");
    for line in [
        "mozaiks_plugin_errors_total{plugin=\"other\",code=\"PLUGIN_ERROR\"} 2",
        "mozaiks_plugin_errors_total{plugin=\"other\",code=\"other\"} 1",
        "mozaiks_plugin_calls_running{plugin=\"idle\"} 0",
        "mozaiks_plugin_calls_waiting{plugin=\"other\"} 0",
        "mozaiks_plugin_queue_delay_seconds_count{plugin=\"other\"} 6",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
}
