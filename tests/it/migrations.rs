//! Migrations of plugins: files that are run, undone, changed and refused; over HTTP and from the shell.

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    entities::{act, database_of},
    plugin_commands::{admin, failed, printed},
    support::{Builder, DocstoreProcess, TestApp},
};

const FIRST: &str = "20250129_143000";
const SECOND: &str = "20250129_143001";

fn shop(database: &DocstoreProcess, files: &[(&str, String)]) -> Builder {
    let mut builder = with_sdk()
        .env("MOZAIKS_DATABASE_URI", &database.uri())
        .plugin("shop", "def execute(data):\n    return {}\n");
    for (name, text) in files {
        builder = builder.file(&format!("shop/migrations/{name}"), text);
    }
    builder
}

fn first() -> Value {
    json!({
        "migration": "Goods", "plugin": "shop", "version": FIRST, "description": "What there is",
        "up": [
            { "create": "shop_goods" },
            { "createIndexes": "shop_goods", "indexes": [{ "key": { "sku": 1 }, "name": "sku", "unique": true }] },
            { "insert": "shop_goods", "documents": [{ "sku": "a", "n": 1 }, { "sku": "b", "n": 1 }] },
            { "update": "shop_goods", "updates": [{ "q": {}, "u": { "$inc": { "n": 1 } }, "multi": true }] },
        ],
        "down": [{ "drop": "shop_goods" }],
    })
}

const SECOND_PY: &str = r#""""Migration: Prices

Version: 20250129_143001
"""

async def up(db):
    await db["shop_prices"].insert_one({"_id": "a", "price": 1})
    async for good in db["shop_goods"].find():
        await db["shop_goods"].update_one({"_id": good["_id"]}, {"$set": {"price": 1}})

async def down(db):
    await db["shop_prices"].drop()
"#;

async fn listed(app: &TestApp) -> Value {
    let path = "/api/plugins/registry/shop/migrations";
    app.admin().get(path).await.expect_ok()
}

async fn run(app: &TestApp, version: &str, body: Value) -> crate::support::Answer {
    act(app, &format!("shop/migrations/{version}/run"), &body).await
}

async fn undo(app: &TestApp, version: &str, body: Value) -> crate::support::Answer {
    act(app, &format!("shop/migrations/{version}/rollback"), &body).await
}

/// Holds an answer against what the document says of its operation, below a plugin's part of the registry.
pub fn fits(document: &Value, operation: &str, answer: &Value) {
    let (method, path) = operation.split_once(' ').unwrap();
    let described = &document["paths"][format!("/api/plugins/registry/{{name}}{path}")][method];
    let schema = &described["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{operation}: {described}");
    let whole = json!({ "components": document["components"], "allOf": [schema] });
    let validator = jsonschema::validator_for(&whole).unwrap();
    let odd: Vec<_> = validator
        .iter_errors(answer)
        .map(|error| error.to_string())
        .collect();
    assert!(odd.is_empty(), "{operation}: {odd:#?} in {answer:#}");
}

#[tokio::test]
async fn a_migration_is_run_once_told_of_undone_and_run_again() {
    let server = DocstoreProcess::start().await;
    let files = [
        (&*format!("{FIRST}_goods.json"), first().to_string()),
        (&*format!("{SECOND}_prices.py"), SECOND_PY.to_owned()),
    ];
    let app = shop(&server, &files).start().await;
    let goods = database_of(&server)
        .await
        .collection::<Document>("shop_goods");
    let prices = database_of(&server)
        .await
        .collection::<Document>("shop_prices");
    let list = listed(&app).await;
    let states = |list: &Value| -> Vec<String> {
        let all = list["migrations"].as_array().unwrap().iter();
        all.map(|each| each["status"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(states(&list), ["pending", "pending"], "{list}");
    let document = app.anonymous().get("/openapi.json").await.expect_ok();
    let fits = |operation: &str, answer: &Value| fits(&document, operation, answer);
    fits("get /migrations", &list);
    assert_eq!(list["migrations"][0]["description"], "What there is");

    // A dry run counts and does nothing.
    let dry = run(&app, FIRST, json!({ "dry_run": true }))
        .await
        .expect_ok();
    fits("post /migrations/{version}/run", &dry);
    let counts: Vec<_> = dry["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| &each["documents"])
        .collect();
    assert_eq!(
        counts,
        [&json!(0), &json!(0), &json!(2), &json!(0)],
        "{dry}"
    );
    assert_eq!(states(&listed(&app).await), ["pending", "pending"]);
    undo(&app, FIRST, json!({}))
        .await
        .expect_error(409, "CONFLICT");

    let done = run(&app, FIRST, json!({})).await.expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    assert_eq!(done["migration"]["position"], 4);
    fits("post /migrations/{version}/run", &done);
    fits("get /migrations", &listed(&app).await);
    assert!(
        done["migration"]["executed_at"].is_string()
            && done["migration"]["completed_at"].is_string()
    );
    assert_eq!(goods.count_documents(doc! { "n": 2 }).await.unwrap(), 2);
    run(&app, FIRST, json!({}))
        .await
        .expect_error(409, "MIGRATION_DONE");

    // Python: the dry run's writes are noted, the real one's are done.
    let dry = run(&app, SECOND, json!({ "dry_run": true }))
        .await
        .expect_ok();
    let names: Vec<_> = dry["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| {
            (
                each["collection"].as_str().unwrap(),
                each["documents"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        names,
        [("shop_prices", 1), ("shop_goods", 1), ("shop_goods", 1)],
        "{dry}"
    );
    assert_eq!(prices.count_documents(doc! {}).await.unwrap(), 0);
    let done = run(&app, SECOND, json!({})).await.expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    assert_eq!(goods.count_documents(doc! { "price": 1 }).await.unwrap(), 2);
    assert_eq!(prices.count_documents(doc! {}).await.unwrap(), 1);
    let back = undo(&app, SECOND, json!({})).await.expect_ok();
    assert_eq!(back["migration"]["status"], "rolled_back", "{back}");
    fits("post /migrations/{version}/rollback", &back);
    assert_eq!(prices.count_documents(doc! {}).await.unwrap(), 0);
    undo(&app, SECOND, json!({}))
        .await
        .expect_error(409, "CONFLICT");

    // The file of one that was run has changed.
    let mut changed = first();
    changed["up"].as_array_mut().unwrap().pop();
    let path = app
        .plugins_dir()
        .join(format!("shop/migrations/{FIRST}_goods.json"));
    std::fs::write(&path, changed.to_string()).unwrap();
    assert_eq!(listed(&app).await["migrations"][0]["changed"], true);
    run(&app, FIRST, json!({}))
        .await
        .expect_error(409, "CHECKSUM_MISMATCH");
    let forced = run(&app, FIRST, json!({ "force": true })).await.expect_ok();
    assert_eq!(forced["migration"]["status"], "completed", "{forced}");
    // What it inserts has the same ids each time.
    assert_eq!(goods.count_documents(doc! {}).await.unwrap(), 2);
    std::fs::remove_file(&path).unwrap();
    let back = undo(&app, FIRST, json!({})).await.expect_ok();
    assert_eq!(back["migration"]["status"], "rolled_back", "{back}");
    assert_eq!(goods.count_documents(doc! {}).await.unwrap(), 0);
}

#[tokio::test]
async fn one_that_fails_says_why_and_goes_on_from_there() {
    let server = DocstoreProcess::start().await;
    let mut broken = first();
    broken["up"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "insert": "shop_goods", "documents": [{ "sku": "a" }] }));
    let raising = "async def up(db):\n    await db['shop_other'].insert_one({})\n    raise ValueError('on purpose')\n";
    let files = [
        (&*format!("{FIRST}_goods.json"), broken.to_string()),
        (&*format!("{SECOND}_raises.py"), raising.to_owned()),
    ];
    let app = shop(&server, &files).start().await;
    let failed = run(&app, FIRST, json!({})).await.expect_ok();
    let migration = &failed["migration"];
    assert_eq!(
        (&migration["status"], &migration["position"]),
        (&json!("failed"), &json!(4)),
        "{failed}"
    );
    assert!(
        migration["error_message"]
            .as_str()
            .unwrap()
            .contains("command 4 (`insert`)"),
        "{failed}"
    );
    undo(&app, FIRST, json!({}))
        .await
        .expect_error(409, "CONFLICT");
    // What was done must be what it still begins with.
    let path = app
        .plugins_dir()
        .join(format!("shop/migrations/{FIRST}_goods.json"));
    let mut other = first();
    other["up"][3]["updates"][0]["u"]["$inc"]["n"] = json!(7);
    std::fs::write(&path, other.to_string()).unwrap();
    run(&app, FIRST, json!({}))
        .await
        .expect_error(409, "CHECKSUM_MISMATCH");
    std::fs::write(&path, first().to_string()).unwrap();
    let done = run(&app, FIRST, json!({})).await.expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    let goods = database_of(&server)
        .await
        .collection::<Document>("shop_goods");
    assert_eq!(
        goods.count_documents(doc! { "n": 2 }).await.unwrap(),
        2,
        "nothing ran twice"
    );

    let raised = run(&app, SECOND, json!({})).await.expect_ok();
    let why = raised["migration"]["error_message"].as_str().unwrap();
    assert!(why.contains("on purpose") && why.contains("up"), "{raised}");
    undo(&app, SECOND, json!({ "force": true }))
        .await
        .expect_error(409, "NO_ROLLBACK");
}

#[tokio::test]
async fn a_migration_reaches_its_plugins_own_collections_and_nothing_else() {
    let server = DocstoreProcess::start().await;
    let refused = [
        json!({ "insert": "other", "documents": [{}] }),
        json!({ "drop": "plugins" }),
        json!({ "renameCollection": "shop_a", "to": "other" }),
        json!({ "renameCollection": "other", "to": "shop_a" }),
        json!({ "create": "system.users" }),
        json!({ "drop": "shop_system.$x" }),
        json!({ "insert": "shop_longer_a", "documents": [{}] }),
        json!({ "aggregate": "shop_a", "pipeline": [{ "$out": "shop_b" }], "cursor": {} }),
        json!({ "aggregate": "shop_a", "pipeline": [{ "$merge": { "into": { "db": "x", "coll": "y" } } }], "cursor": {} }),
        json!({ "listCollections": 1 }),
        json!({ "dropDatabase": 1 }),
        json!({ "create": "shop_a", "viewOn": "other", "pipeline": [] }),
        json!({ "create": "shop_a", "validator": { "$where": "true" } }),
        json!({ "create": "shop_a", "validator": { "$expr": { "$function": { "body": "1", "args": [], "lang": "js" } } } }),
        json!({ "update": "shop_a", "updates": [{ "q": { "$where": "1" }, "u": { "$set": { "a": 1 } } }] }),
        json!({ "update": "shop_a", "updates": [{ "q": {}, "u": [{ "$lookup": { "from": "other", "as": "x", "pipeline": [] } }] }] }),
        json!({ "insert": "shop_a", "documents": [{}], "$db": "mozaiks_control" }),
    ];
    let mut files = Vec::new();
    for (at, command) in refused.iter().enumerate() {
        let text = json!({ "up": [{ "create": "shop_first" }, command] }).to_string();
        files.push((format!("20250101_0000{at:02}_x.json"), text));
    }
    // The way back is looked at too, before anything is done.
    let back = json!({ "up": [{ "create": "shop_first" }], "down": [{ "drop": "other" }] });
    files.push(("20250101_000100_x.json".to_owned(), back.to_string()));
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (&**name, text.clone()))
        .collect();
    let reach = r#"
async def up(db):
    told = []
    for name in ("other", "system.users", "shop_longer_a"):
        for go in (lambda: db[name].insert_one({}), lambda: db[name].find_one(), lambda: db[name].drop(),
                   lambda: db["shop_a"].aggregate([{"$out": name}]).to_list(None),
                   lambda: db["shop_a"].aggregate([{"$lookup": {"from": name, "as": "x", "pipeline": []}}]).to_list(None)):
            try:
                await go()
            except Exception as error:
                told.append(type(error).__name__)
            else:
                told.append("REACHED " + name)
    names = await db.list_collection_names()
    await db["shop_told"].insert_one({"told": told, "names": names})
"#;
    let app = shop(&server, &files)
        .file("shop/migrations/20250102_000000_reach.py", reach)
        .plugin("shop_longer", "def execute(data):\n    return {}\n")
        .start()
        .await;
    let database = database_of(&server).await;
    let other = database.collection::<Document>("other");
    other.insert_one(doc! { "_id": 1 }).await.unwrap();
    for (name, text) in &files {
        let answer = run(&app, &name[..15], json!({ "force": true })).await;
        assert_eq!(answer.status, 422, "{text}: {}", answer.text);
        answer.expect_error(422, "VALIDATION_ERROR");
    }
    let done = run(&app, "20250102_000000", json!({})).await.expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    let told = database
        .collection::<Document>("shop_told")
        .find_one(doc! {})
        .await
        .unwrap()
        .unwrap();
    assert!(!told.to_string().contains("REACHED"), "{told}");
    assert!(
        !told
            .get_array("names")
            .unwrap()
            .iter()
            .any(|name| name.as_str() == Some("other")),
        "{told}"
    );
    assert_eq!(other.count_documents(doc! {}).await.unwrap(), 1);
    let names = database.list_collection_names().await.unwrap();
    assert!(!names.contains(&"shop_first".to_owned()), "{names:?}");
    for version in ["nothing", "20250101_999999", ".."] {
        run(&app, version, json!({}))
            .await
            .expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn two_gateways_run_a_migration_once() {
    let server = DocstoreProcess::start().await;
    // Long enough for the other to meet it.
    let slow = "import asyncio\n\nasync def up(db):\n    await db['shop_runs'].insert_one({})\n    \
                while await db['shop_go'].find_one() is None:\n        await asyncio.sleep(0.02)\n";
    let name = format!("{FIRST}_slow.py");
    let files = [(&*name, slow.to_owned())];
    let one = shop(&server, &files).start().await;
    let other = shop(&server, &files).start().await;
    let database = database_of(&server).await;
    let (admin, path) = (
        one.admin(),
        format!("/api/plugins/registry/shop/migrations/{FIRST}/run"),
    );
    let running = tokio::spawn(async move {
        let request = admin.request(reqwest::Method::POST, &path).json(&json!({}));
        crate::support::Answer::of(request).await
    });
    let runs = database.collection::<Document>("shop_runs");
    crate::jobs_of_plugins::until(|| async {
        (runs.count_documents(doc! {}).await.unwrap() == 1).then_some(())
    })
    .await;
    run(&other, FIRST, json!({}))
        .await
        .expect_error(409, "MIGRATION_RUNNING");
    undo(&other, FIRST, json!({}))
        .await
        .expect_error(409, "MIGRATION_RUNNING");
    assert_eq!(listed(&other).await["migrations"][0]["status"], "running");
    database
        .collection::<Document>("shop_go")
        .insert_one(doc! {})
        .await
        .unwrap();
    let done = running.await.unwrap().expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    run(&other, FIRST, json!({}))
        .await
        .expect_error(409, "MIGRATION_DONE");
    assert_eq!(runs.count_documents(doc! {}).await.unwrap(), 1);
    // The gateway's own were run once too.
    let control = database.client().database("mozaiks_control");
    let own: Document = control
        .collection("_migrations")
        .find_one(doc! {})
        .await
        .unwrap()
        .unwrap();
    assert_eq!(own.get_str("status").unwrap(), "completed");
    let indexes = control
        .collection::<Document>("plugin_migrations")
        .list_index_names()
        .await
        .unwrap();
    assert!(indexes.contains(&"one_at_a_time".to_owned()), "{indexes:?}");
}

#[tokio::test]
async fn an_admin_runs_migrations_from_the_shell() {
    let server = DocstoreProcess::start().await;
    let name = format!("{FIRST}_goods.json");
    let files = [(&*name, first().to_string())];
    let app = shop(&server, &files).start().await;
    let shell =
        async |args: &[&str]| printed(admin(&app, &[&["plugin", "migrate"], args].concat())).await;
    assert_eq!(
        shell(&["list", "shop"]).await,
        format!("shop  {FIRST}  pending  goods\n")
    );
    assert_eq!(shell(&["status"]).await, "shop  pending 1\n");
    let dry = shell(&["run", &name, "--dry-run"]).await;
    assert!(
        dry.contains("would do, up") && dry.contains("(2 documents)"),
        "{dry}"
    );
    assert!(shell(&["run", "shop"]).await.contains("completed"));
    let again = failed(admin(&app, &["plugin", "migrate", "run", &name])).await;
    assert!(again.1.contains("MIGRATION_DONE"), "{again:?}");
    assert_eq!(shell(&["run", "shop"]).await, "");
    let list: Value = serde_json::from_str(&shell(&["list", "--json"]).await).unwrap();
    assert_eq!(
        list["plugins"][0]["migrations"][0]["status"], "completed",
        "{list}"
    );
    assert!(
        shell(&["run", "--force", &format!("x/shop/migrations/{name}")])
            .await
            .contains("completed")
    );
    assert!(
        shell(&["rollback", "shop", FIRST])
            .await
            .contains("rolled_back")
    );
    let none = failed(admin(
        &app,
        &["plugin", "migrate", "run", "20250129_143009_none.json"],
    ))
    .await;
    assert!(none.1.contains("no plugin has"), "{none:?}");
}
