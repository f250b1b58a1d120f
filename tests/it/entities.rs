//! Entities of plugins over HTTP, their collections as MongoDB's own driver sees them, and models.

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    migrations::fits,
    support::{Answer, Builder, DocstoreProcess, TestApp},
};

/// `cart-hamid` with its entity, and code that runs what it is told on models.
const LOGIC: &str = r#"
from core.config.database import db
from core.models import models

def on_load(ctx):
    async def model(request):
        body = request.body
        entity = ctx.models[body["entity"]]
        result = await getattr(entity, body["call"])(*body.get("args", []), **body.get("more", {}))
        return {"result": result}
    ctx.register_route("POST", "/model", model)

async def execute(data):
    if "raw" in data:
        done = await db["hamid_cart"].insert_one(data["raw"])
        return {"id": str(done.inserted_id)}
    if "names" in data:
        return {"names": sorted(models), "has": "HamidCart" in models}
    found = await models.HamidCart.find(data.get("filter"), sort="-visited_at")
    return {"found": found}
"#;

fn cart() -> Value {
    json!({
        "entity_name": "HamidCart",
        "table_name": "hamid_cart",
        "description": "Visits of the cart",
        "schema_definition": {
            "columns": [
                { "name": "id", "type": "UUID", "primaryKey": true, "default": "gen_random_uuid()" },
                { "name": "user_id", "type": "UUID", "nullable": true },
                { "name": "session_id", "type": "VARCHAR(8)", "nullable": true, "unique": true },
                { "name": "cart_items_count", "type": "INTEGER", "default": 0, "nullable": false },
                { "name": "total", "type": "DECIMAL(10,2)" },
                { "name": "state", "type": "ENUM('open','paid')", "default": "'open'" },
                { "name": "tags", "type": "TEXT[]" },
                { "name": "visited_at", "type": "TIMESTAMP", "default": "NOW()" }
            ],
            "indexes": [
                { "name": "idx_hamid_cart_user", "columns": ["user_id"] },
                { "name": "idx_hamid_cart_visited_at", "columns": ["visited_at"], "order": "DESC" }
            ],
            "foreignKeys": [{ "column": "user_id", "references": "users(id)", "onDelete": "SET NULL" }]
        }
    })
}

fn line(on_delete: &str) -> Value {
    json!({
        "entity_name": "Line", "table_name": "hamid_line",
        "schema_definition": {
            "columns": [
                { "name": "id", "type": "INTEGER", "primaryKey": true },
                { "name": "cart", "type": "UUID" },
            ],
            "foreignKeys": [{ "column": "cart", "references": "hamid_cart(id)", "onDelete": on_delete }],
        }
    })
}

fn gateway(database: &DocstoreProcess) -> Builder {
    with_sdk()
        .env("MOZAIKS_DATABASE_URI", &database.uri())
        .plugin("cart-hamid", LOGIC)
        .file("cart-hamid/entities/HamidCart.json", &cart().to_string())
}

/// Sends an admin's request below a plugin's part of the registry.
pub async fn act(app: &TestApp, path: &str, body: &Value) -> Answer {
    let path = format!("/api/plugins/registry/{path}");
    Answer::of(app.admin().request(Method::POST, &path).json(body)).await
}

async fn entities(app: &TestApp) -> Value {
    let path = "/api/plugins/registry/cart-hamid/entities";
    app.admin().get(path).await.expect_ok()
}

async fn model(app: &TestApp, entity: &str, call: &str, args: Value, more: Value) -> Answer {
    let body = json!({ "entity": entity, "call": call, "args": args, "more": more });
    let request = app
        .user("ann")
        .request(Method::POST, "/api/plugins/cart-hamid/model");
    Answer::of(request.json(&body)).await
}

/// What a model's call gives.
async fn gives(app: &TestApp, call: &str, args: Value, more: Value) -> Value {
    model(app, "HamidCart", call, args, more).await.expect_ok()["result"].clone()
}

pub async fn database_of(server: &DocstoreProcess) -> mongodb::Database {
    let client = mongodb::Client::with_uri_str(server.uri()).await.unwrap();
    client.database("mozaiks")
}

#[tokio::test]
async fn an_entity_becomes_a_collection_with_rules_indexes_and_a_model() {
    let server = DocstoreProcess::start().await;
    let app = gateway(&server).start().await;
    let ann = app.user("ann");
    let before = ann.execute("cart-hamid", &json!({})).await;
    before.expect_error(424, "ENTITY_NOT_MIGRATED");
    let listed = entities(&app).await;
    let one = &listed["entities"][0];
    assert_eq!(
        (listed["count"].clone(), &one["migration_status"]),
        (json!(1), &json!("pending"))
    );
    assert_eq!(one["create_commands"].as_array().unwrap().len(), 2);
    let document = app.anonymous().get("/openapi.json").await.expect_ok();
    fits(&document, "get /entities", &listed);
    assert_eq!(one["drop_commands"], json!([{ "drop": "hamid_cart" }]));
    let refused = app
        .user("ann")
        .get("/api/plugins/registry/cart-hamid/entities")
        .await;
    refused.expect_error(403, "FORBIDDEN");

    let path = "cart-hamid/entities/HamidCart/migrate";
    let dry = act(&app, path, &json!({ "dry_run": true }))
        .await
        .expect_ok();
    assert_eq!(dry["commands"].as_array().unwrap().len(), 2, "{dry}");
    assert_eq!(
        entities(&app).await["entities"][0]["migration_status"],
        "pending"
    );
    let done = act(&app, path, &json!({})).await.expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    fits(&document, "post /entities/{entity_name}/migrate", &done);
    fits(&document, "get /entities", &entities(&app).await);
    let version = done["migration"]["version"].as_str().unwrap();
    let one = entities(&app).await["entities"][0].clone();
    assert_eq!(one["migration_status"], "migrated");
    assert_eq!(one["migration_version"], *version);
    assert_eq!(one["pending_commands"], json!([]));
    act(&app, path, &json!({}))
        .await
        .expect_error(409, "MIGRATION_DONE");

    // As any driver sees it.
    let database = database_of(&server).await;
    let carts = database.collection::<Document>("hamid_cart");
    let names = carts.list_index_names().await.unwrap();
    for index in [
        "uq_session_id",
        "idx_hamid_cart_user",
        "idx_hamid_cart_visited_at",
    ] {
        assert!(names.iter().any(|name| name == index), "{names:?}");
    }
    let refused = carts
        .insert_one(doc! { "_id": "no uuid", "cart_items_count": 1 })
        .await;
    assert!(refused.unwrap_err().to_string().contains("121"));
    let raw = json!({ "raw": { "_id": "x", "cart_items_count": "many" } });
    ann.execute("cart-hamid", &raw)
        .await
        .expect_error(500, "PLUGIN_ERROR");

    // Defaults, checks, the key under its name.
    let made = gives(
        &app,
        "create",
        json!([{ "session_id": "s1", "total": 1.5 }]),
        json!({}),
    )
    .await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(
        (made["cart_items_count"].clone(), &made["state"]),
        (json!(0), &json!("open"))
    );
    assert!(made["visited_at"].as_str().unwrap().contains('T') && made.get("_id").is_none());
    let found = ann
        .execute("cart-hamid", &json!({ "filter": { "id": id } }))
        .await
        .expect_ok();
    assert_eq!(found["found"][0]["session_id"], "s1", "{found}");
    let names = ann
        .execute("cart-hamid", &json!({ "names": 1 }))
        .await
        .expect_ok();
    assert_eq!(
        (&names["names"], &names["has"]),
        (&json!(["HamidCart"]), &json!(true))
    );
    let stored = carts.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    assert_eq!(stored.get_str("state").unwrap(), "open");
    let updated = gives(
        &app,
        "update",
        json!([id]),
        json!({ "cart_items_count": 3 }),
    )
    .await;
    assert_eq!(updated, json!(1));
    let one = gives(&app, "find_one", json!([{ "session_id": "s1" }]), json!({})).await;
    assert_eq!(one["cart_items_count"], 3);
    for (call, args, says) in [
        (
            "create",
            json!([{ "cart_items_count": "3" }]),
            "whole number",
        ),
        (
            "create",
            json!([{ "cart_items_count": 4_294_967_296_u64 }]),
            "32 bits",
        ),
        (
            "create",
            json!([{ "session_id": "longer than 8" }]),
            "characters",
        ),
        ("create", json!([{ "state": "lost" }]), "one of open, paid"),
        ("create", json!([{ "tags": [1] }]), "tags[0]"),
        ("create", json!([{ "visited_at": "soon" }]), "ISO 8601"),
        ("create", json!([{ "price": 1 }]), "no column"),
        (
            "create",
            json!([{ "cart_items_count": null }]),
            "must have a value",
        ),
        ("create", json!([{ "session_id": "s1" }]), "already"),
        ("update", json!([id, { "id": "x" }]), "UUID"),
        ("update", json!([id, {}]), "nothing to set"),
    ] {
        let answer = model(&app, "HamidCart", call, args.clone(), json!({})).await;
        answer.expect_error(500, "PLUGIN_ERROR");
        let logs = app
            .admin()
            .get("/api/plugins/registry/cart-hamid/logs")
            .await
            .text;
        assert!(
            logs.contains(says),
            "{call} {args}: {says} is not in {logs}"
        );
    }
    let gone = gives(&app, "delete", json!([id]), json!({})).await;
    assert_eq!(
        gone,
        json!({ "deleted": 1, "cascaded": {}, "set_null": {} })
    );

    // What was done is written down.
    let audit = app
        .admin()
        .get("/api/plugins/registry/cart-hamid/audit")
        .await
        .expect_ok();
    assert!(audit.to_string().contains("migrate_entity"), "{audit}");
    let report = act(
        &app,
        &format!("cart-hamid/migrations/{version}/rollback"),
        &json!({}),
    )
    .await;
    assert_eq!(report.expect_ok()["migration"]["status"], "rolled_back");
    let after = ann.execute("cart-hamid", &json!({})).await;
    after.expect_error(424, "ENTITY_NOT_MIGRATED");
}

#[tokio::test]
async fn another_version_of_an_entity_changes_its_collection_by_what_differs() {
    let server = DocstoreProcess::start().await;
    let app = gateway(&server).start().await;
    let path = "cart-hamid/entities/HamidCart/migrate";
    act(&app, path, &json!({})).await.expect_ok();
    let made = gives(&app, "create", json!([{ "session_id": "s1" }]), json!({})).await;
    let mut second = cart();
    let schema = &mut second["schema_definition"];
    schema["columns"][2]["type"] = json!("VARCHAR(40)");
    schema["indexes"][0]["name"] = json!("by_user");
    let file = app.plugins_dir().join("cart-hamid/entities/HamidCart.json");
    std::fs::write(&file, second.to_string()).unwrap();
    let one = entities(&app).await["entities"][0].clone();
    assert_eq!(one["migration_status"], "pending");
    let names: Vec<_> = (one["pending_commands"].as_array().unwrap().iter())
        .map(|command| command.as_object().unwrap().keys().next().unwrap().clone())
        .collect();
    assert_eq!(names, ["dropIndexes", "collMod", "createIndexes"]);
    // What is there serves on as it is, until it is changed.
    let longer = json!([made["id"], { "session_id": "longer than 8" }]);
    model(&app, "HamidCart", "update", longer.clone(), json!({}))
        .await
        .expect_error(500, "PLUGIN_ERROR");
    let done = act(&app, path, &json!({})).await.expect_ok();
    assert_eq!(done["migration"]["status"], "completed", "{done}");
    assert_eq!(gives(&app, "update", longer, json!({})).await, json!(1));
    let database = database_of(&server).await;
    let names = database
        .collection::<Document>("hamid_cart")
        .list_index_names()
        .await
        .unwrap();
    assert!(names.contains(&"by_user".to_owned()), "{names:?}");
    assert!(
        !names.contains(&"idx_hamid_cart_user".to_owned()),
        "{names:?}"
    );
    // What cannot be read says so, and the rest is there.
    std::fs::write(
        &file,
        r#"{"entity_name": "HamidCart", "table_name": "system.users"}"#,
    )
    .unwrap();
    let listed = entities(&app).await;
    assert_eq!(
        listed["problems"][0]["file_name"], "entities/HamidCart.json",
        "{listed}"
    );
    act(&app, path, &json!({}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    let none = act(&app, "cart-hamid/entities/None/migrate", &json!({})).await;
    none.expect_error(404, "NOT_FOUND");
    let odd = act(&app, path, &json!({ "dry_run": 1 })).await;
    odd.expect_error(422, "VALIDATION_ERROR");
    let no_plugin = act(&app, "none/entities/HamidCart/migrate", &json!({})).await;
    no_plugin.expect_error(404, "PLUGIN_NOT_FOUND");
}

#[tokio::test]
async fn what_refers_to_a_document_goes_with_it_is_emptied_or_keeps_it() {
    let server = DocstoreProcess::start().await;
    for (on_delete, expected) in [
        (
            "CASCADE",
            json!({ "deleted": 1, "cascaded": { "Line": 2 }, "set_null": {} }),
        ),
        (
            "SET NULL",
            json!({ "deleted": 1, "cascaded": {}, "set_null": { "Line": 2 } }),
        ),
    ] {
        let app = gateway(&server)
            .file(
                "cart-hamid/entities/Line.json",
                &line(on_delete).to_string(),
            )
            .start()
            .await;
        migrate_both(&app).await;
        let cart = gives(&app, "create", json!([{}]), json!({})).await["id"].clone();
        let other = gives(&app, "create", json!([{}]), json!({})).await["id"].clone();
        for (id, cart) in [(1, &cart), (2, &cart), (3, &other)] {
            let made = json!([{ "id": id, "cart": cart }]);
            model(&app, "Line", "create", made, json!({}))
                .await
                .expect_ok();
        }
        let nowhere = json!([{ "id": 4, "cart": "00000000-0000-4000-8000-000000000000" }]);
        model(&app, "Line", "create", nowhere, json!({}))
            .await
            .expect_error(500, "PLUGIN_ERROR");
        assert_eq!(
            gives(&app, "delete", json!([cart]), json!({})).await,
            expected
        );
        let left = model(&app, "Line", "find", json!([{ "cart": other }]), json!({})).await;
        assert_eq!(left.expect_ok()["result"].as_array().unwrap().len(), 1);
        database_of(&server).await.drop().await.unwrap();
        let control = database_of(&server)
            .await
            .client()
            .database("mozaiks_control");
        for rows in ["plugin_entities", "plugin_migrations"] {
            control
                .collection::<Document>(rows)
                .delete_many(doc! {})
                .await
                .unwrap();
        }
    }
    let app = gateway(&server)
        .file(
            "cart-hamid/entities/Line.json",
            &line("RESTRICT").to_string(),
        )
        .start()
        .await;
    migrate_both(&app).await;
    let cart = gives(&app, "create", json!([{}]), json!({})).await["id"].clone();
    let made = json!([{ "id": 1, "cart": cart }]);
    model(&app, "Line", "create", made, json!({}))
        .await
        .expect_ok();
    let kept = model(&app, "HamidCart", "delete", json!([cart]), json!({})).await;
    kept.expect_error(500, "PLUGIN_ERROR");
    assert!(
        !gives(&app, "find_one", json!([cart]), json!({}))
            .await
            .is_null()
    );
}

async fn migrate_both(app: &TestApp) {
    for entity in ["HamidCart", "Line"] {
        let path = format!("cart-hamid/entities/{entity}/migrate");
        let done = act(app, &path, &json!({})).await.expect_ok();
        assert_eq!(done["migration"]["status"], "completed", "{done}");
    }
}

#[tokio::test]
async fn a_table_is_one_plugins_and_what_was_there_before_is_nobodys_to_take() {
    let server = DocstoreProcess::start().await;
    let entity = |table: &str| {
        let mut entity = cart();
        entity["table_name"] = json!(table);
        entity["schema_definition"]["foreignKeys"] = json!([]);
        entity.to_string()
    };
    let own = r#"{"permissions": {}}"#;
    let app = gateway(&server)
        .file("cart-hamid/plugin.json", own)
        .plugin("thief", LOGIC)
        .file("thief/plugin.json", own)
        .file("thief/entities/HamidCart.json", &entity("hamid_cart"))
        .file(
            "thief/entities/Users.json",
            &entity("users").replace("HamidCart", "Users"),
        )
        .file(
            "thief/entities/Named.json",
            &entity("shop_goods").replace("HamidCart", "Named"),
        )
        .file(
            "thief/entities/Fine.json",
            &entity("fine_table").replace("HamidCart", "Fine"),
        )
        .plugin("shop", "def execute(data):\n    return {}\n")
        .start()
        .await;
    let database = database_of(&server).await;
    let users = database.collection::<Document>("users");
    users.insert_one(doc! { "_id": "ann" }).await.unwrap();
    act(&app, "cart-hamid/entities/HamidCart/migrate", &json!({}))
        .await
        .expect_ok();
    // Another plugin's entity, a collection that was there, one that is another's by its name. (The first file
    // of the three has the name of an entity of the other plugin, which is no matter.)
    for entity in ["HamidCart", "Users", "Named"] {
        let path = format!("thief/entities/{entity}/migrate");
        act(&app, &path, &json!({}))
            .await
            .expect_error(409, "CONFLICT");
        act(&app, &path, &json!({ "dry_run": true }))
            .await
            .expect_error(409, "CONFLICT");
    }
    act(&app, "thief/entities/Fine/migrate", &json!({}))
        .await
        .expect_ok();
    // The code of one does not reach the other's, and reaches its own.
    let ann = app.user("ann");
    let raw =
        json!({ "raw": { "_id": "00000000-0000-4000-8000-000000000000", "cart_items_count": 1 } });
    ann.execute("thief", &raw)
        .await
        .expect_error(500, "PERMISSION_DENIED");
    ann.execute("cart-hamid", &raw).await.expect_ok();
    assert_eq!(users.count_documents(doc! {}).await.unwrap(), 1);
}
