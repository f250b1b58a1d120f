//! Plugins whose files change while the gateway runs: what is saved is served, what is broken is not, and
//! no call is lost.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, TestApp, within},
};

/// Longest that a change may take on a machine that is busy with other tests; how long it does take is
/// measured by the benchmark.
const SOON: Duration = Duration::from_secs(30);

fn says(what: &str) -> String {
    format!("async def execute(data):\n    return {{'says': {what:?}}}\n")
}

fn watching() -> Builder {
    with_sdk().env("MOZAIKS_PLUGINS_WATCH", "true")
}

fn write(path: PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As editors do: the new file takes the old one's place at once.
    let beside = path.with_extension("tmp");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

fn save(app: &TestApp, path: &str, text: &str) {
    write(app.plugins_dir().join(path), text);
}

/// Asks until the answer is as wanted.
async fn until<F: Future<Output = Value>>(ask: impl Fn() -> F, wanted: impl Fn(&Value) -> bool) {
    let last = std::sync::Mutex::new(Value::Null);
    let asking = async {
        loop {
            let answer = ask().await;
            if wanted(&answer) {
                return;
            }
            *last.lock().unwrap() = answer;
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(SOON, asking).await.is_err() {
        panic!("it stays {}", last.lock().unwrap());
    }
}

/// Calls a plugin until it says something.
async fn until_says(app: &TestApp, plugin: &str, what: &str) {
    let ask = || async { app.user("ann").execute(plugin, &json!({})).await.json() };
    until(ask, |answer| answer["says"] == what).await;
}

async fn shown(app: &TestApp, plugin: &str) -> Value {
    let answer = app.admin().get(&format!("/api/plugins/{plugin}")).await;
    answer.json()
}

async fn until_shown(app: &TestApp, plugin: &str, wanted: impl Fn(&Value) -> bool) {
    until(|| shown(app, plugin), wanted).await;
}

#[tokio::test]
async fn what_is_saved_is_served() {
    let app = with_sdk()
        .dev()
        .plugin("talker", &says("0"))
        .file("talker/static/page.html", "<p>0</p>")
        .start()
        .await;
    // The same size, in quick succession.
    for number in 1..=5 {
        save(&app, "talker/logic.py", &says(&number.to_string()));
        until_says(&app, "talker", &number.to_string()).await;
    }
    // Another module, a template, the manifest.
    let reads = "from pathlib import Path\nfrom .words import WORD\n\
        TEXT = Path(__file__).with_name('templates').joinpath('a.txt').read_text()\n\
        async def execute(data):\n    return {'says': WORD + TEXT}\n";
    save(&app, "talker/templates/a.txt", "1");
    save(&app, "talker/words.py", "WORD = 'a'\n");
    save(&app, "talker/logic.py", reads);
    until_says(&app, "talker", "a1").await;
    save(&app, "talker/templates/a.txt", "2");
    until_says(&app, "talker", "a2").await;
    save(&app, "talker/words.py", "WORD = 'b'\n");
    until_says(&app, "talker", "b2").await;
    save(&app, "talker/plugin.json", r#"{"version": "1.2.3"}"#);
    until_shown(&app, "talker", |shown| shown["version"] == "1.2.3").await;
    // A page is read whenever it is asked for: no new load for that, nor for what nobody reads.
    let generation = shown(&app, "talker").await["generation"].clone();
    save(&app, "talker/static/page.html", "<p>1</p>");
    save(&app, "talker/tests/test_it.py", "x = 1");
    save(&app, "talker/logic.py", reads);
    let page = app.anonymous().get("/demo/talker/page.html").await;
    assert_eq!(page.text, "<p>1</p>");
    save(&app, "second/logic.py", &says("there"));
    until_says(&app, "second", "there").await;
    assert_eq!(shown(&app, "talker").await["generation"], generation);
}

#[tokio::test]
async fn a_broken_save_leaves_the_old_code_in_service() {
    let mut app = watching().plugin("talker", &says("old")).start().await;
    for (broken, said) in [
        ("async def execute(data:\n", "SyntaxError"),
        ("raise ValueError('at import')\n", "at import"),
        (
            "def on_load(ctx):\n    raise ValueError('at load')\n",
            "at load",
        ),
        (
            "def on_enable(ctx):\n    raise ValueError('at enable')\n",
            "at enable",
        ),
    ] {
        save(&app, "talker/logic.py", broken);
        until_shown(&app, "talker", |shown| {
            let traceback = shown["last_error"]["traceback"].as_str();
            traceback.is_some_and(|text| text.contains(said))
        })
        .await;
        let answer = app.user("ann").execute("talker", &json!({})).await;
        assert_eq!(answer.expect_ok(), json!({"says": "old"}), "{broken}");
        assert_eq!(shown(&app, "talker").await["status"], "active");
    }
    app.log_line(&["plugin.not_loaded", "SyntaxError"]).await;
    save(&app, "talker/logic.py", &says("new"));
    until_says(&app, "talker", "new").await;
    assert!(shown(&app, "talker").await.get("last_error").is_none());
}

#[tokio::test]
async fn directories_come_and_go() {
    for poll in ["0", "0.2"] {
        let app = watching()
            .env("MOZAIKS_PLUGINS_WATCH_POLL_SECONDS", poll)
            .plugin("stays", &says("stays"))
            .start()
            .await;
        save(&app, "late/logic.py", &says("late"));
        until_says(&app, "late", "late").await;
        let (here, away) = (
            app.plugins_dir().join("late"),
            app.plugins_dir().join(".away"),
        );
        std::fs::rename(&here, &away).unwrap();
        until_shown(&app, "late", |shown| shown["status"] == "error").await;
        let gone = shown(&app, "late").await;
        let summary = gone["last_error"]["summary"].as_str().unwrap();
        assert!(summary.starts_with("SOURCE_MISSING"), "{gone}");
        // What was loaded goes on.
        until_says(&app, "late", "late").await;
        let reload = app
            .admin()
            .request(Method::POST, "/api/plugins/late/reload");
        Answer::of(reload).await.expect_error(409, "RELOAD_FAILED");
        std::fs::rename(&away, &here).unwrap();
        until_shown(&app, "late", |shown| shown["status"] == "active").await;
        assert!(shown(&app, "late").await.get("last_error").is_none());
        // A removed one does not come back because somebody saves a file of it.
        let remove = app.admin().request(Method::DELETE, "/api/plugins/late");
        Answer::of(remove).await.expect_ok();
        save(&app, "late/logic.py", &says("again"));
        save(&app, "last/logic.py", &says("last"));
        until_says(&app, "last", "last").await;
        app.user("ann")
            .execute("late", &json!({}))
            .await
            .expect_error(404, "PLUGIN_NOT_FOUND");
        until_says(&app, "stays", "stays").await;
    }
}

#[tokio::test]
async fn without_notices_of_the_system_files_are_looked_at() {
    // No notices at all, no directory that may be watched, and none but the first ones.
    for (what, most) in [("instances", 0), ("watches", 0), ("watches", 4)] {
        let mut app = watching()
            .inotify(what, most)
            .plugin("talker", &says("old"))
            .start()
            .await;
        if most == 0 {
            app.log_line(&["plugins.watch_refused"]).await;
            app.log_line(&["plugins.watched", "poll_ms", "500"]).await;
        }
        save(&app, "talker/logic.py", &says("new"));
        until_says(&app, "talker", "new").await;
        for name in ["one", "two", "three", "four", "five"] {
            save(&app, &format!("{name}/logic.py"), &says(name));
            until_says(&app, name, name).await;
            save(&app, &format!("{name}/logic.py"), &says("changed"));
            until_says(&app, name, "changed").await;
        }
    }
}

#[tokio::test]
async fn a_hangup_asks_for_what_has_changed() {
    let app = with_sdk()
        .plugin("talker", &says("old"))
        .plugin("same", &says("same"))
        .plugin("shipped", &says("shipped"))
        .file("shipped/plugin.json", r#"{"type": "static"}"#)
        .start()
        .await;
    let same = shown(&app, "same").await["generation"].clone();
    save(&app, "talker/logic.py", &says("new"));
    save(&app, "late/logic.py", &says("late"));
    save(&app, "shipped/logic.py", &says("changed"));
    app.signal("HUP");
    until_says(&app, "talker", "new").await;
    until_says(&app, "late", "late").await;
    until_says(&app, "shipped", "changed").await;
    assert_eq!(shown(&app, "same").await["generation"], same);
}

#[tokio::test]
async fn what_is_shipped_is_not_watched() {
    let app = watching()
        .plugin("shipped", &says("shipped"))
        .file("shipped/plugin.json", r#"{"type": "static"}"#)
        .plugin("talker", &says("old"))
        .start()
        .await;
    save(&app, "shipped/logic.py", &says("changed"));
    save(&app, "talker/logic.py", &says("new"));
    until_says(&app, "talker", "new").await;
    until_says(&app, "shipped", "shipped").await;
}

#[tokio::test]
async fn what_needs_a_plugin_follows_it() {
    let app = watching()
        .plugin("needs", &says("needs"))
        .file("needs/plugin.json", r#"{"dependencies": {"base": ">=1"}}"#)
        .plugin("far", &says("far"))
        .file("far/plugin.json", r#"{"dependencies": ["needs"]}"#)
        .plugin("other", &says("other"))
        .start()
        .await;
    let (far, other) = (shown(&app, "far").await, shown(&app, "other").await);
    assert_eq!(far["status"], "error");
    // What is missing comes, and with it what waited for it.
    std::fs::create_dir(app.plugins_dir().join("base")).unwrap();
    std::fs::write(
        app.plugins_dir().join("base/plugin.json"),
        r#"{"version": "1.0.0"}"#,
    )
    .unwrap();
    save(&app, "base/logic.py", &says("base"));
    until_says(&app, "far", "far").await;
    let before = shown(&app, "far").await["generation"].clone();
    save(&app, "base/logic.py", &says("base 2"));
    until_says(&app, "base", "base 2").await;
    until_shown(&app, "far", |shown| {
        shown["generation"].as_u64() > before.as_u64()
    })
    .await;
    // A version that does not do: what serves goes on, and says why it did not follow.
    save(&app, "base/plugin.json", r#"{"version": "0.9.0"}"#);
    until_shown(&app, "needs", |shown| {
        shown["last_error"]["summary"]
            .as_str()
            .is_some_and(|summary| summary.contains("base >=1"))
    })
    .await;
    until_says(&app, "needs", "needs").await;
    assert_eq!(
        shown(&app, "other").await["generation"],
        other["generation"]
    );
}

#[tokio::test]
async fn of_two_plugins_of_one_name_the_second_is_refused() {
    let app = with_sdk()
        .plugin("shop", &says("shop"))
        .file("shop/plugin.json", r#"{"name": "shop"}"#)
        .plugin("shop-copy", &says("copy"))
        .file("shop-copy/plugin.json", r#"{"name": "shop"}"#)
        .start()
        .await;
    until_says(&app, "shop", "shop").await;
    let refused = shown(&app, "shop-copy").await;
    assert_eq!(refused["status"], "error");
    let error = refused["error"].as_str().unwrap();
    assert!(
        error.contains("/shop ") && error.contains("/shop-copy"),
        "{error}"
    );
}

#[tokio::test]
async fn routes_are_compared_with_what_the_manifest_declares() {
    let app = with_sdk()
        .plugin(
            "shop",
            "def on_load(ctx):\n    ctx.register_route('GET', '/a/{id}', print)\n    ctx.register_route('GET', '/b', print)\n",
        )
        .file(
            "shop/plugin.json",
            r#"{"endpoints": [{"method": "GET", "path": "/a/:n"}, {"method": "POST", "path": "/c"}]}"#,
        )
        .start()
        .await;
    let warnings = shown(&app, "shop").await["warnings"].clone();
    assert_eq!(
        warnings,
        json!([
            "endpoints: POST /c is declared and not registered",
            "endpoints: GET /b is registered and not declared",
        ])
    );
}

#[tokio::test]
async fn plugins_are_listed_by_what_they_are() {
    let app = with_sdk()
        .plugin("broken", "raise ValueError\n")
        .plugin("shop", &says("shop"))
        .file("shop/plugin.json", r#"{"tags": ["Market"]}"#)
        .plugin("shipped", &says("shipped"))
        .file("shipped/plugin.json", r#"{"type": "static"}"#)
        .start()
        .await;
    let names = async |query: &str| {
        let path = format!("/api/plugins?{query}");
        let listed = app.user("ann").get(&path).await.expect_ok();
        let plugins = listed["plugins"].as_array().unwrap();
        assert_eq!(listed["count"], plugins.len());
        let names = plugins
            .iter()
            .map(|plugin| plugin["name"].as_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("").await, "broken shipped shop");
    assert_eq!(names("status=error").await, "broken");
    assert_eq!(names("source=builtin").await, "shipped");
    assert_eq!(names("q=MARK&status=active").await, "shop");
    for odd in ["status=gone", "source=heaven"] {
        app.user("ann")
            .get(&format!("/api/plugins?{odd}"))
            .await
            .expect_error(422, "VALIDATION_ERROR");
    }
}

/// Its calls wait for a file.
fn patient(version: u64) -> String {
    format!(
        "import asyncio, os\n\
         async def execute(data):\n\
         \x20   while 'go' in data and not os.path.exists(data['go']):\n\
         \x20       await asyncio.sleep(0.02)\n\
         \x20   return {{'version': {version}}}\n"
    )
}

async fn reload(app: &TestApp, plugin: &str) -> Answer {
    let path = format!("/api/plugins/{plugin}/reload");
    Answer::of(app.admin().request(Method::POST, &path)).await
}

#[tokio::test]
async fn calls_end_on_the_code_they_began_on() {
    let app = with_sdk().plugin("patient", &patient(1)).start().await;
    let go = app.plugins_dir().join(".go");
    let data = json!({ "go": go });
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (user, data) = (app.user("ann"), data.clone());
            tokio::spawn(async move { user.execute("patient", &data).await })
        })
        .collect();
    app.metric_reaches("mozaiks_calls_running", |running| running >= 200.0)
        .await;
    save(&app, "patient/logic.py", &patient(2));
    reload(&app, "patient").await.expect_ok();
    let new = app.user("ann").execute("patient", &json!({})).await;
    assert_eq!(new.expect_ok(), json!({"version": 2}));
    std::fs::write(go, "").unwrap();
    for call in calls {
        let answer = within(SOON, call).await.unwrap();
        assert_eq!(answer.expect_ok(), json!({"version": 1}));
    }
}

/// What a process has: threads and descriptors.
fn possessions(app: &TestApp) -> (usize, usize) {
    let count = |what: &str| {
        let path = Path::new("/proc").join(app.pid().to_string()).join(what);
        std::fs::read_dir(path).unwrap().count()
    };
    (count("task"), count("fd"))
}

#[tokio::test]
async fn reloads_under_load_lose_no_call_and_leave_nothing_behind() {
    const RELOADS: u64 = 40;
    let app = Arc::new(
        with_sdk()
            .plugin("busy", &listening(0))
            .file("busy/plugin.json", r#"{"config": {"a": 1}}"#)
            .start()
            .await,
    );
    reload(&app, "busy").await.expect_ok();
    let over = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (user, over) = (app.user("ann"), Arc::clone(&over));
            let calls = Arc::clone(&calls);
            tokio::spawn(async move {
                let mut newest = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = user.execute("busy", &json!({})).await.expect_ok();
                    let version = answer["version"].as_u64().unwrap();
                    assert!(version >= newest, "{version} after {newest}");
                    newest = version;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let enough = async {
        while calls.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, enough).await;
    let (threads, descriptors) = possessions(&app);
    for number in 1..=RELOADS {
        save(&app, "busy/logic.py", &listening(number));
        reload(&app, "busy").await.expect_ok();
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        within(SOON, client).await.unwrap();
    }
    let newest = app.user("ann").execute("busy", &json!({})).await;
    assert_eq!(newest.expect_ok(), json!({ "version": RELOADS }));
    until(
        || async {
            let (now_threads, now_descriptors) = possessions(&app);
            json!([now_threads, now_descriptors])
        },
        |now| {
            // Pools of threads and of connections grow with what they are given at a time.
            now[0].as_u64() <= Some(threads as u64 + 40)
                && now[1].as_u64() <= Some(descriptors as u64 + 20)
        },
    )
    .await;
    let endpoints = app
        .admin()
        .get("/api/plugins/registry/busy/endpoints")
        .await;
    assert_eq!(endpoints.expect_ok()["count"], 1);
}

/// Registers a route, a subscription and a message handler with each load.
fn listening(version: u64) -> String {
    format!(
        "import asyncio\n\
         async def on_load(ctx):\n\
         \x20   ctx.register_route('GET', '/version', lambda: {{'version': {version}}})\n\
         async def on_enable(ctx):\n\
         \x20   ctx.on('busy:asked', lambda data: None)\n\
         \x20   ctx.on_websocket_message('busy', lambda data, connection: None)\n\
         async def execute(data):\n\
         \x20   await asyncio.sleep(0.001)\n\
         \x20   return {{'version': {version}}}\n"
    )
}
