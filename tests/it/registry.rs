//! The registry in the database: what one gateway or a script changes reaches the others, by a change
//! stream and without one.

use std::time::Duration;

use mongodb::{
    Client, Collection,
    bson::{Bson, Document, doc},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, DocstoreProcess, TestApp},
};

/// Longest that a change may take here: 2 s are promised, and this machine is busy with other tests.
const SOON: Duration = Duration::from_secs(10);
/// Longest until a gateway has found back to its database.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(30);

const TALKER: &str = r#"
heard = []

async def on_load(ctx):
    ctx.register_route("GET", "/heard", lambda: heard)
    ctx.on("plugin_changed", lambda data: heard.append(data))

def on_config_change(ctx, changed):
    heard.append({"config": changed, "now": ctx.get_config()})

async def execute(data):
    return {"says": "it"}
"#;

fn builder() -> Builder {
    with_sdk()
        .plugin("talker", TALKER)
        .plugin("other", "async def execute(data):\n    return {}\n")
        .file("talker/plugin.json", r#"{"config": {"colour": "red"}, "config_schema": {"properties": {"colour": {"type": "string"}}}}"#)
}

fn rows(uri: &str, name: &str) -> impl Future<Output = Collection<Document>> {
    let (uri, name) = (uri.to_owned(), name.to_owned());
    async move {
        let client = Client::with_uri_str(uri).await.unwrap();
        client.database("mozaiks_control").collection(&name)
    }
}

async fn until(app: &TestApp, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    until_within(SOON, app, path, wanted).await
}

async fn until_within(
    limit: Duration,
    app: &TestApp,
    path: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let asking = async {
        loop {
            let answer = app.admin().get(path).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => {
            let answer = app.admin().get(path).await;
            panic!("{path} stays {}\n{}", answer.text, app.log_text())
        }
    }
}

async fn until_status(app: &TestApp, plugin: &str, status: &str) -> Value {
    let path = format!("/api/plugins/{plugin}");
    until(app, &path, |answer| answer.json()["status"] == status)
        .await
        .json()
}

async fn send(app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
    Answer::of(app.admin().request(method, path).json(&body)).await
}

/// Two gateways on one database; each is told by the other, and both by a script. `poll_seconds` go by
/// between two looks of each.
async fn changes_reach_the_other(database: &DocstoreProcess, poll_seconds: &str) {
    let start = || {
        let database_uri = database.uri();
        builder()
            .env("MOZAIKS_DATABASE_URI", &database_uri)
            .env("MOZAIKS_REGISTRY_POLL_SECONDS", poll_seconds)
            .start()
    };
    let (one, two) = tokio::join!(start(), start());
    let enable = "/api/plugins/talker/enable";

    // Toggled, both ways.
    send(&one, Method::POST, enable, json!({"enabled": false}))
        .await
        .expect_ok();
    until_status(&two, "talker", "disabled").await;
    two.user("ann")
        .execute("talker", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    send(&two, Method::POST, enable, json!({"enabled": true}))
        .await
        .expect_ok();
    until_status(&one, "talker", "active").await;
    until(&two, "/api/plugins/talker/heard", |answer| {
        answer.text.contains(r#""fields":["enabled"]"#)
    })
    .await;

    // Configured.
    let config = "/api/plugins/talker/config";
    send(
        &one,
        Method::PUT,
        config,
        json!({"config": {"colour": "blue"}}),
    )
    .await
    .expect_ok();
    until(&two, config, |answer| {
        answer.json()["config"]["colour"] == "blue"
    })
    .await;
    until(&two, "/api/plugins/talker/heard", |answer| {
        answer
            .text
            .contains(r#""config":["colour"],"now":{"colour":"blue"}"#)
    })
    .await;

    // Loaded anew, on the word of the other.
    let generation = |answer: &Answer| answer.json()["generation"].as_u64();
    let before = generation(&two.admin().get("/api/plugins/talker").await);
    send(&one, Method::POST, "/api/plugins/talker/reload", json!({}))
        .await
        .expect_ok();
    until(&two, "/api/plugins/talker", |answer| {
        generation(answer) > before
    })
    .await;

    // A script: a switch, a configuration, nonsense, a row without files.
    let plugins = rows(&database.uri(), "plugins").await;
    let set = async |name: &str, set: Document| {
        let done = plugins.update_one(doc! {"name": name}, doc! {"$set": set});
        assert_eq!(done.await.unwrap().matched_count, 1);
    };
    set("talker", doc! {"enabled": false}).await;
    for app in [&one, &two] {
        until_status(app, "talker", "disabled").await;
    }
    set("talker", doc! {"enabled": true}).await;
    for app in [&one, &two] {
        until_status(app, "talker", "active").await;
    }
    let configs = rows(&database.uri(), "plugin_config").await;
    for (colour, seen) in [(Bson::from("green"), "green"), (Bson::from(7), "green")] {
        let update = doc! {"$set": {"config": {"colour": colour}}, "$inc": {"revision": 1}};
        configs
            .update_one(doc! {"plugin": "talker"}, update)
            .await
            .unwrap();
        for app in [&one, &two] {
            until(app, config, |answer| {
                answer.json()["config"]["colour"] == seen
            })
            .await;
        }
    }
    // What does not fit the schema is refused and shown.
    until(&two, "/api/plugins/talker", |answer| {
        answer.json()["config_error"]
            .as_str()
            .is_some_and(|text| text.contains("schema"))
    })
    .await;
    set("other", doc! {"enabled": "perhaps", "disabled_apps": 7}).await;
    for app in [&one, &two] {
        until(app, "/api/plugins/other", |answer| {
            answer.json()["row_error"]
                .as_str()
                .is_some_and(|text| text.contains("enabled"))
        })
        .await;
        let kept = app.user("ann").execute("other", &json!({})).await;
        kept.expect_ok();
    }
    set("other", doc! {"enabled": true, "disabled_apps": []}).await;
    for app in [&one, &two] {
        let path = "/api/plugins/other";
        until(app, path, |answer| answer.json().get("row_error").is_none()).await;
    }
    plugins
        .insert_one(doc! {"_id": "x", "app_id": Bson::Null, "name": "ghost", "enabled": true, "source_path": "../../etc"})
        .await
        .unwrap();
    for app in [&one, &two] {
        let ghost = until(app, "/api/plugins/ghost", |answer| answer.status == 200).await;
        assert_eq!(ghost.json()["status"], "error");
        assert!(ghost.text.contains("SOURCE_MISSING"), "{}", ghost.text);
    }
    // Its files come, and somebody says so.
    let dir = one.plugins_dir().join("ghost");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("logic.py"), "def execute(data):\n    return {}\n").unwrap();
    set("ghost", doc! {"reload": 1}).await;
    until_status(&one, "ghost", "active").await;

    // Removed, and a row that is deleted; neither comes back by itself.
    Answer::of(one.admin().request(Method::DELETE, "/api/plugins/other"))
        .await
        .expect_ok();
    plugins.delete_one(doc! {"name": "talker"}).await.unwrap();
    for app in [&one, &two] {
        for plugin in ["other", "talker"] {
            let path = format!("/api/plugins/{plugin}");
            until(app, &path, |answer| answer.status == 404).await;
        }
    }
    let third = start().await;
    third
        .user("ann")
        .execute("talker", &json!({}))
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    let found = third
        .admin()
        .request(Method::POST, "/api/plugins/registry/discover");
    let found = Answer::of(found).await.expect_ok();
    assert_eq!(found["plugins"], json!(["other", "talker"]));
    // And with that on the others too.
    for app in [&one, &two] {
        until_status(app, "talker", "active").await;
    }

    // What each row and each route says.
    let row = plugins
        .find_one(doc! {"name": "talker"})
        .await
        .unwrap()
        .unwrap();
    for field in [
        "_id",
        "display_name",
        "version",
        "checksum",
        "status",
        "source_path",
        "type",
    ] {
        assert!(row.get_str(field).is_ok(), "{field}: {row}");
    }
    assert_eq!(
        row.get_document("source").unwrap().get_str("kind").unwrap(),
        "directory"
    );
    let endpoints = rows(&database.uri(), "plugin_endpoints").await;
    let endpoint = endpoints
        .find_one(doc! {"plugin": "talker"})
        .await
        .unwrap()
        .unwrap();
    assert_eq!(endpoint.get_str("path").unwrap(), "/heard");
    assert_eq!(endpoint.get_str("origin").unwrap(), "code");
}

#[tokio::test]
async fn changes_reach_other_gateways_by_a_change_stream() {
    let database = DocstoreProcess::start_replica_set().await;
    // Whatever comes in time comes by the stream.
    changes_reach_the_other(&database, "3600").await;
}

#[tokio::test]
async fn changes_reach_other_gateways_without_a_change_stream() {
    let database = DocstoreProcess::start().await;
    changes_reach_the_other(&database, "1").await;
}

#[tokio::test]
async fn a_script_reaches_the_embedded_store() {
    let data = tempfile::tempdir().unwrap();
    let app = builder().data_dir(data.path()).start().await;
    let socket = data
        .path()
        .canonicalize()
        .unwrap()
        .join("docstore/docstore.sock");
    let uri = format!(
        "mongodb://{}",
        socket.display().to_string().replace('/', "%2F")
    );
    let plugins = rows(&uri, "plugins").await;
    plugins
        .update_one(doc! {"name": "talker"}, doc! {"$set": {"enabled": false}})
        .await
        .unwrap();
    until_status(&app, "talker", "disabled").await;
}

#[tokio::test]
async fn a_gateway_that_started_without_its_database_catches_up() {
    let mut database = DocstoreProcess::start().await;
    let uri = database.uri();
    let first = builder().env("MOZAIKS_DATABASE_URI", &uri).start().await;
    send(
        &first,
        Method::POST,
        "/api/plugins/talker/enable",
        json!({"enabled": false}),
    )
    .await
    .expect_ok();
    drop(first);
    database.kill().await;
    let app = builder()
        .env("MOZAIKS_DATABASE_URI", &uri)
        .env("MOZAIKS_DATABASE_SELECTION_TIMEOUT_SECONDS", "0.5")
        .plugin("fresh", "async def execute(data):\n    return {}\n")
        .start()
        .await;
    // Nothing forbids it.
    app.user("ann")
        .execute("talker", &json!({}))
        .await
        .expect_ok();
    database.restart().await;
    until_within(AFTER_AN_OUTAGE, &app, "/api/plugins/talker", |answer| {
        answer.json()["status"] == "disabled"
    })
    .await;
    let plugins = rows(&uri, "plugins").await;
    let asking = async {
        while plugins
            .find_one(doc! {"name": "fresh"})
            .await
            .unwrap()
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AFTER_AN_OUTAGE, asking)
        .await
        .expect("its row is written");
    app.user("ann")
        .execute("fresh", &json!({}))
        .await
        .expect_ok();
}
