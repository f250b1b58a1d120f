//! Plugins and their data: the SDK inside the real gateway, on its embedded store.

use std::{
    process::{Command, id},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Builder, TestApp, TestClient, python, within};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A gateway whose Python has PyMongo; the SDK is this repository's.
pub fn with_sdk() -> Builder {
    static HAS_PYMONGO: OnceLock<Result<(), String>> = OnceLock::new();
    let checked = HAS_PYMONGO.get_or_init(|| {
        let python = python().ok_or("there is no .venv in the repository")?;
        let found = Command::new(&python)
            .args(["-c", "import pymongo"])
            .output();
        match found {
            Ok(output) if output.status.success() => Ok(()),
            Ok(_) => Err(format!("{} has no pymongo", python.display())),
            Err(error) => Err(format!("{}: {error}", python.display())),
        }
    });
    if let Err(what) = checked {
        panic!(
            "{what}: run `make setup`, or name a Python that has \
             python-sdk/requirements-dev.txt with MOZAIKS_TEST_PYTHON"
        );
    }
    TestApp::builder()
}

/// Where a test keeps its documents.
enum Database {
    /// The gateway's own store.
    Embedded,
    /// A database of the test's own on the server of `TEST_MONGODB_URI`.
    OnServer { uri: String, name: String },
}

impl Database {
    /// Those that this suite runs on.
    fn all() -> Vec<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut all = vec![Self::Embedded];
        match std::env::var("TEST_MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => {
                let number = COUNT.fetch_add(1, Ordering::Relaxed);
                all.push(Self::OnServer {
                    uri,
                    name: format!("mozaiks_test_{}_{number}", id()),
                });
            }
            _ => eprintln!("on the embedded store only: TEST_MONGODB_URI is not set"),
        }
        all
    }

    fn gateway(&self) -> Builder {
        let builder = with_sdk();
        match self {
            Self::Embedded => builder,
            Self::OnServer { uri, name } => builder
                .env("MOZAIKS_DATABASE_URI", uri)
                .env("MOZAIKS_DATABASE_NAME", name),
        }
    }

    /// A gateway with the plugin `notes` as it is shipped.
    fn gateway_with_notes(&self) -> Builder {
        let file = |name: &str| {
            std::fs::read_to_string(format!("{ROOT}/runtime/ai/plugins/notes/{name}")).unwrap()
        };
        self.gateway()
            .plugin("notes", &file("logic.py"))
            .file("notes/plugin.json", &file("plugin.json"))
    }

    async fn remove(&self) {
        if let Self::OnServer { uri, name } = self {
            let client = mongodb::Client::with_uri_str(uri).await.unwrap();
            client.database(name).drop().await.unwrap();
            let control = format!("{name}_control");
            client.database(&control).drop().await.unwrap();
        }
    }
}

/// Runs a test on every database.
async fn on_each(test: impl AsyncFn(&Database)) {
    for database in Database::all() {
        test(&database).await;
        database.remove().await;
    }
}

async fn notes(client: &TestClient, data: Value) -> Answer {
    client.execute("notes", &data).await
}

/// Asks until the answer is as wanted.
async fn until(client: &TestClient, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    within(std::time::Duration::from_secs(60), async {
        loop {
            let body = client.get(path).await.expect_ok();
            if wanted(&body) {
                return body;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_plugin_keeps_documents_of_its_users_apart() {
    on_each(keep_users_apart).await;
}

async fn keep_users_apart(database: &Database) {
    let app = database.gateway_with_notes().start().await;
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    let made = notes(
        &ann,
        json!({ "action": "create", "title": "Milk", "tags": ["food"] }),
    )
    .await;
    let id = made.expect_ok()["id"].clone();
    let got = notes(&ann, json!({ "action": "get", "note_id": id }))
        .await
        .expect_ok();
    assert_eq!(got["note"]["title"], "Milk");
    assert_eq!(got["note"]["id"], id);
    notes(
        &bob,
        json!({ "action": "get", "note_id": id, "user_id": "ann" }),
    )
    .await
    .expect_domain_failure(404, "NOT_FOUND");
    let found = notes(&ann, json!({ "action": "search", "query": "FOOD" }))
        .await
        .expect_ok();
    assert_eq!(found["count"], 1);
    let listed = notes(&bob, json!({ "action": "list" })).await.expect_ok();
    assert_eq!(listed["total"], 0);
    notes(&ann, json!({ "action": "delete", "note_id": id }))
        .await
        .expect_ok();
    let listed = notes(&ann, json!({ "action": "list" })).await.expect_ok();
    assert_eq!(listed["total"], 0);
}

#[tokio::test]
async fn two_users_at_once_never_see_each_other() {
    on_each(work_at_once).await;
}

async fn work_at_once(database: &Database) {
    let app = database.gateway_with_notes().start().await;
    let lives = ["ann", "bob"].map(|user| whole_life(app.user(user), user));
    let [of_ann, of_bob] = lives;
    let (ids_of_ann, ids_of_bob) = tokio::join!(of_ann, of_bob);
    for (user, foreign) in [("ann", &ids_of_bob), ("bob", &ids_of_ann)] {
        for id in foreign {
            for action in ["get", "update", "delete"] {
                let asked = json!({ "action": action, "note_id": id, "title": "mine now" });
                notes(&app.user(user), asked)
                    .await
                    .expect_domain_failure(404, "NOT_FOUND");
            }
        }
    }
}

/// Everything that `notes` can do, while somebody else does the same; gives the notes that are left.
async fn whole_life(client: TestClient, user: &str) -> Vec<Value> {
    let mut ids = Vec::new();
    for n in 0..15 {
        let create = json!({ "action": "create", "title": format!("{user} {n}"), "tags": [user] });
        ids.push(notes(&client, create).await.expect_ok()["id"].clone());
        let listed = notes(&client, json!({ "action": "list" }))
            .await
            .expect_ok();
        assert_eq!(listed["total"], ids.len());
        for note in listed["notes"].as_array().unwrap() {
            assert_eq!(note["tags"], json!([user]));
        }
    }
    let searched = json!({ "action": "search", "query": "1" });
    let found = notes(&client, searched).await.expect_ok();
    // 1 and 10 to 14.
    assert_eq!(found["count"], 6);
    for note in found["notes"].as_array().unwrap() {
        assert!(note["title"].as_str().unwrap().starts_with(user));
    }
    let first = ids.remove(0);
    let update = json!({ "action": "update", "note_id": ids[0], "title": format!("{user} new") });
    notes(&client, update).await.expect_ok();
    notes(&client, json!({ "action": "delete", "note_id": first }))
        .await
        .expect_ok();
    notes(&client, json!({ "action": "delete", "note_id": first }))
        .await
        .expect_domain_failure(404, "NOT_FOUND");
    let settings = json!({ "action": "save_settings", "settings": { "page_size": user.len() } });
    notes(&client, settings).await.expect_ok();
    let listed = notes(&client, json!({ "action": "list" }))
        .await
        .expect_ok();
    assert_eq!(
        (&listed["count"], &listed["total"]),
        (&json!(user.len()), &json!(ids.len()))
    );
    assert_eq!(listed["notes"][0]["title"], format!("{user} new"));
    for odd in ["nonsense", "", "65f000000000000000000000"] {
        let answer = notes(&client, json!({ "action": "get", "note_id": odd })).await;
        assert!(
            [404, 422].contains(&answer.status.as_u16()),
            "{}",
            answer.text
        );
    }
    ids
}

#[tokio::test]
async fn settings_over_http_and_in_the_plugin_are_the_same() {
    on_each(save_settings).await;
}

async fn save_settings(database: &Database) {
    let app = database.gateway_with_notes().start().await;
    let ann = app.user("ann");
    let path = "/api/plugin-settings/notes";
    assert_eq!(
        ann.get(path).await.expect_ok(),
        json!({ "plugin": "notes", "settings": {} })
    );
    let put = |body: Value| Answer::of(ann.request(Method::PUT, path).json(&body));
    put(json!({ "settings": { "page_size": 7 } }))
        .await
        .expect_ok();
    let seen = notes(&ann, json!({ "action": "get_settings" }))
        .await
        .expect_ok();
    assert_eq!(seen["settings"]["page_size"], 7);

    let saved = notes(
        &ann,
        json!({ "action": "save_settings", "settings": { "sort_by": "title" } }),
    );
    saved.await.expect_ok();
    assert_eq!(
        ann.get(path).await.expect_ok()["settings"],
        json!({ "sort_by": "title" })
    );
    assert_eq!(
        app.user("bob").get(path).await.expect_ok()["settings"],
        json!({})
    );

    let refused = put(json!({ "settings": { "page_size": "many" } })).await;
    let body = refused.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(body["details"]["problems"][0]["path"], "/page_size");
    let inside = json!({ "action": "save_settings", "settings": { "page_size": 0 } });
    notes(&ann, inside)
        .await
        .expect_domain_failure(422, "VALIDATION_ERROR");
    put(json!({ "settings": 7 }))
        .await
        .expect_error(400, "INVALID_REQUEST");
    // What stands beside the settings would be lost without a word.
    let beside = json!({ "settings": { "page_size": 3 }, "theme": "dark", "Sort": 1 });
    let body = put(beside).await.expect_error(422, "VALIDATION_ERROR");
    let said = body["error"].as_str().unwrap();
    assert!(
        said.contains("`theme`") && said.contains("`Sort`"),
        "{said}"
    );
    assert_eq!(
        ann.get(path).await.expect_ok()["settings"],
        json!({ "sort_by": "title" })
    );
    ann.get("/api/plugin-settings/nothing")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    app.anonymous()
        .get(path)
        .await
        .expect_error(401, "AUTH_REQUIRED");
}

#[tokio::test]
async fn numbers_in_settings_are_kept_as_they_are_or_refused() {
    const READS: &str = "from core.settings_manager import settings_manager\n\
         async def execute(data):\n    \
         return await settings_manager.get_plugin_settings(data['user_id'], 'reads')\n";
    let app = TestApp::builder().plugin("reads", READS).start().await;
    let ann = app.user("ann");
    let path = "/api/plugin-settings/reads";
    let put = |number: &str| {
        let request = ann
            .request(Method::PUT, path)
            .header("content-type", "application/json")
            .body(format!(r#"{{"settings":{{"deep":[{{"n":{number}}}]}}}}"#));
        Answer::of(request)
    };
    for number in [
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "0.1",
    ] {
        put(number).await.expect_ok();
        let exact = format!(r#"{{"deep":[{{"n":{number}}}]}}"#);
        let seen = ann.get(path).await.text;
        assert!(seen.contains(&exact), "{seen}");
        let seen = ann.execute("reads", &json!({})).await.text;
        assert_eq!(seen, exact);
    }
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
    ] {
        let refused = put(number).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(refused["details"]["problems"][0]["path"], "/deep/0/n");
    }
}

const LISTENER: &str = r#"
from core.event_bus import event_bus, on_event
from core.config.database import db

heard = []

@on_event("notes:*")
async def hear(data):
    heard.append(data)

@on_event("listener:broken")
def broken(data):
    raise ValueError("on purpose")

async def execute(data):
    if data["action"] == "publish":
        event_bus.publish(data["event"], {"n": data["n"]})
        return {}
    if data["action"] == "history":
        return {"history": event_bus.get_history(data["event"])}
    return {"heard": heard}
"#;

#[tokio::test]
async fn events_reach_subscribers_and_failures_become_dead_letters() {
    on_each(deliver_events).await;
}

async fn deliver_events(database: &Database) {
    let app = database
        .gateway_with_notes()
        .plugin("listener", LISTENER)
        .start()
        .await;
    let (ann, admin) = (app.user("ann"), app.admin());
    let created = notes(&ann, json!({ "action": "create", "title": "Milk" }))
        .await
        .expect_ok();
    let heard = within(std::time::Duration::from_secs(60), async {
        loop {
            let answer = ann
                .execute("listener", &json!({ "action": "heard" }))
                .await
                .expect_ok();
            if answer["heard"]
                .as_array()
                .is_some_and(|heard| !heard.is_empty())
            {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(
        heard["heard"][0],
        json!({ "user_id": "ann", "note_id": created["id"] })
    );

    let publish = json!({ "action": "publish", "event": "listener:broken", "n": 1 });
    ann.execute("listener", &publish).await.expect_ok();
    let history = json!({ "action": "history", "event": "listener:broken" });
    let history = ann.execute("listener", &history).await.expect_ok();
    assert_eq!(history["history"][0]["data"], json!({ "n": 1 }));

    let letters = "/__mozaiks/admin/events/dead-letters";
    ann.get(letters).await.expect_error(403, "FORBIDDEN");
    let kept = until(&admin, letters, |body| body["total"] == 1).await;
    let letter = &kept["dead_letters"][0];
    assert_eq!(letter["subscriber"], "listener");
    assert_eq!(letter["attempts"], 4);
    assert_eq!(letter["event"]["user_id"], "ann");
    assert!(
        letter["error"].as_str().unwrap().contains("on purpose"),
        "{letter}"
    );

    let stats = admin.get("/__mozaiks/admin/events/stats").await.expect_ok();
    assert_eq!(stats["delivery_failures"], 1);
    assert_eq!(stats["events_by_type"]["notes:note_created"], 1);
    assert!(stats["events_by_type"]["plugin_executed"].as_u64() > Some(0));
    let path = "/__mozaiks/admin/events/history?event=plugin_executed&limit=1";
    let executed = admin.get(path).await.expect_ok();
    assert_eq!(executed["events"][0]["data"]["plugin"], "listener");

    let one = format!("{letters}/{}", letter["id"]);
    Answer::of(admin.request(Method::DELETE, &one))
        .await
        .expect_ok();
    Answer::of(admin.request(Method::DELETE, &one))
        .await
        .expect_error(404, "NOT_FOUND");
    Answer::of(admin.request(Method::POST, &format!("{one}/retry")))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_a_database_the_gateway_says_so_and_goes_on() {
    let app = Database::Embedded
        .gateway_with_notes()
        .env(
            "MOZAIKS_DATABASE_URI",
            "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300",
        )
        .env("MOZAIKS_LOG", "info")
        .start()
        .await;
    assert_eq!(app.anonymous().get("/health").await.status, 200);
    assert_eq!(app.anonymous().get("/ready").await.status, 503);
    app.user("ann")
        .get("/api/plugin-settings/notes")
        .await
        .expect_error(503, "DATABASE_UNAVAILABLE");
}

const STUB_CHECKER: &str = r#"
import ast
import inspect
import _mozaiks_native as native

async def execute(data):
    problems = []
    for node in ast.parse(data["stub"]).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        real = getattr(native, node.name, None)
        if real is None:
            problems.append(f"{node.name} does not exist")
        elif isinstance(node, ast.ClassDef):
            said = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            problems += [f"{node.name}.{name} is missing" for name in said if not hasattr(real, name)]
        else:
            said = [argument.arg for argument in node.args.args]
            found = list(inspect.signature(real).parameters)
            if said != found:
                problems.append(f"{node.name} takes {found}, not {said}")
    return {"problems": problems, "checked": len(ast.parse(data["stub"]).body)}
"#;

#[tokio::test]
async fn the_stub_of_the_native_module_tells_the_truth() {
    let path = format!("{ROOT}/python-sdk/_mozaiks_native-stubs/__init__.pyi");
    let stub = std::fs::read_to_string(path).unwrap();
    let app = with_sdk().plugin("checker", STUB_CHECKER).start().await;
    let checked = app
        .user("ann")
        .execute("checker", &json!({ "stub": stub }))
        .await
        .expect_ok();
    assert_eq!(checked["problems"], json!([]));
    assert!(checked["checked"].as_u64() > Some(10));
}
