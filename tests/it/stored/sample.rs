//! The sample of the documents, whole: an entity, controllers, a filter, a listener, a widget in a slot. Made
//! through HTTP, used, carried to a fresh gateway, and run from a directory with the same answers.

use super::*;

const TRACK: &str = "async def track_visit(request, ctx):\n    \
    visit = await ctx.models[\"HamidCart\"].create(\n        \
    session_id=request.body[\"session_id\"], cart_items_count=request.body[\"cart_items_count\"]\n    )\n    \
    return {\"success\": True, \"items\": visit[\"cart_items_count\"]}\n";
const VISITS: &str = "async def get_visits(request, ctx):\n    \
    visits = await ctx.models[\"HamidCart\"].find({}, sort=\"session_id\")\n    \
    return {\"visits\": [visit[\"session_id\"] for visit in visits]}\n";
const STATS: &str = "from core.hooks import hooks\n\nfrom ..utils.formatters import euros\n\n\n\
    async def get_stats(request, ctx):\n    \
    visits = await ctx.models[\"HamidCart\"].find({})\n    \
    price = await hooks.apply(\"product.price\", 100, {\"id\": 7})\n    \
    return {\"visits\": len(visits), \"price\": price, \"shown\": euros(price * 100)}\n";
const EUROS: &str = "def euros(cents):\n    return f\"{cents / 100:.2f} EUR\"\n";
const TEN_OFF: &str = "def handler(price, *args):\n    return price * 90 // 100\n";
const VIEWED: &str = "async def handler(data):\n    pass\n";
const WIDGET: &str = "export default function (element, { config, data }) {\n  \
    element.textContent = 'Visits: ' + data.visits;\n}\n";

/// What the sample wants beyond its own.
fn wanted() -> Value {
    json!({"events": {"subscribe": ["cart.*"], "publish": ["cart.viewed"]}, "hooks": ["product.*"]})
}

fn entity() -> Value {
    json!({
        "entity_name": "HamidCart",
        "table_name": "hamid_cart",
        "schema_definition": {
            "columns": [
                {"name": "id", "type": "UUID", "primaryKey": true, "default": "gen_random_uuid()"},
                {"name": "user_id", "type": "UUID", "nullable": true},
                {"name": "session_id", "type": "VARCHAR(255)", "nullable": true},
                {"name": "cart_items_count", "type": "INTEGER", "default": 0},
                {"name": "visited_at", "type": "TIMESTAMP", "default": "NOW()"}
            ],
            "indexes": [
                {"name": "idx_hamid_cart_user", "columns": ["user_id"]},
                {"name": "idx_hamid_cart_visited_at", "columns": ["visited_at"], "order": "DESC"}
            ],
            "foreignKeys": [{"column": "user_id", "references": "users(id)", "onDelete": "SET NULL"}]
        }
    })
}

/// Stores the sample, a row a part.
async fn store(admin: &TestClient) {
    let new = json!({"name": "cart-hamid", "permissions": wanted()});
    made(&post(admin, REGISTRY, new).await);
    put(
        admin,
        "cart-hamid",
        "utils/formatters.py",
        EUROS,
        Value::Null,
    )
    .await
    .expect_ok();
    let rows = [
        ("entities", entity()),
        (
            "controllers",
            json!({"controller_name": "trackVisit", "method": "POST", "path": "/track-visit", "handler_code": TRACK}),
        ),
        (
            "controllers",
            json!({"controller_name": "getVisits", "method": "GET", "path": "/visits", "handler_code": VISITS}),
        ),
        (
            "controllers",
            json!({"controller_name": "getStats", "method": "GET", "path": "/stats", "handler_code": STATS}),
        ),
        (
            "hooks",
            json!({"hook_name": "product.price", "handler_function": TEN_OFF, "public": true}),
        ),
        (
            "events",
            json!({"event_name": "cart.viewed", "listener_function": VIEWED, "client": true}),
        ),
        (
            "widgets",
            json!({"widget_id": "cart-hamid-widget", "widget_name": "Visits", "component_code": WIDGET}),
        ),
    ];
    for (part, row) in rows {
        made(&post(admin, &format!("{REGISTRY}/cart-hamid/{part}"), row).await);
    }
}

/// Lets a plugin serve, and grants it what it asks for then.
async fn activate(admin: &TestClient, plugin: &str, wanted: Value) {
    let of = |what: &str| format!("{REGISTRY}/{plugin}/{what}");
    post(admin, &of("activate"), json!({}))
        .await
        .expect_error(409, "CONFLICT");
    let granted = json!({ "granted": wanted });
    send(admin, Method::PUT, &of("permissions"), granted)
        .await
        .expect_ok();
    post(admin, &of("activate"), json!({})).await.expect_ok();
}

async fn migrate(admin: &TestClient) {
    let run = format!("{REGISTRY}/cart-hamid/entities/HamidCart/migrate");
    let migrated = post(admin, &run, json!({})).await.expect_ok();
    assert_eq!(migrated["migration"]["status"], "completed", "{migrated}");
}

/// What everybody sees of it; `price` is what the filters make of 100.
async fn use_it(app: &TestApp, price: i64) {
    let (ann, admin) = (app.user("ann"), app.admin());
    let base = "/api/plugins/cart-hamid";
    let visit = json!({"session_id": "s1", "cart_items_count": 3});
    let tracked = post(&ann, &format!("{base}/track-visit"), visit).await;
    assert_eq!(tracked.expect_ok(), json!({"success": true, "items": 3}));
    let visits = ann.get(&format!("{base}/visits")).await.expect_ok();
    assert_eq!(visits, json!({"visits": ["s1"]}));
    let stats = ann.get(&format!("{base}/stats")).await.expect_ok();
    assert_eq!(
        stats,
        json!({"visits": 1, "price": price, "shown": format!("{price}.00 EUR")})
    );
    let applied = post(
        &ann,
        "/api/hooks/product.price/apply",
        json!({"value": 100}),
    );
    assert_eq!(applied.await.expect_ok()["value"], price);
    let viewed = post(
        &ann,
        "/api/events/cart.viewed",
        json!({"data": {"items": 1}}),
    )
    .await;
    assert_eq!(viewed.status, 202, "{}", viewed.text);
    let slots = json!({"slots": [{
        "id": "header_widget", "type": "plugin_widget", "widgetId": "cart-hamid-widget",
        "position": {"col": 1, "row": 1}, "config": {}
    }]});
    send(&admin, Method::PUT, "/api/slots/cart", slots)
        .await
        .expect_ok();
    let page = ann.get("/api/slots/cart").await.expect_ok();
    assert_eq!(page["slots"][0]["widgetId"], "cart-hamid-widget", "{page}");
    let widget = ann
        .get("/api/plugins/widgets/cart-hamid-widget")
        .await
        .expect_ok();
    let module = app
        .anonymous()
        .get(widget["module_url"].as_str().unwrap())
        .await;
    assert_eq!(module.text, WIDGET);
}

/// Filters have time: a worker that is started for one may have to wait for its turn here.
fn patient(builder: Builder) -> Builder {
    builder
        .env("MOZAIKS_HOOK_SECONDS", "30")
        .env("MOZAIKS_HOOK_CHAIN_SECONDS", "60")
}

#[tokio::test]
async fn the_sample_is_made_used_carried_and_run_from_a_directory() {
    let app = patient(builder()).start().await;
    let admin = app.admin();
    store(&admin).await;
    activate(&admin, "cart-hamid", wanted()).await;
    migrate(&admin).await;
    use_it(&app, 90).await;
    // A second plugin's filter takes what the first one gave: 100, 90, 81.
    let more = json!({"name": "more-off", "permissions": {"hooks": ["product.*"]}});
    made(&post(&admin, REGISTRY, more).await);
    let hook = json!({"hook_name": "product.price", "handler_function": TEN_OFF, "priority": 20, "public": true});
    made(&post(&admin, &format!("{REGISTRY}/more-off/hooks"), hook).await);
    activate(&admin, "more-off", json!({"hooks": ["product.*"]})).await;
    let stats = app.user("ann").get("/api/plugins/cart-hamid/stats").await;
    assert_eq!(stats.expect_ok()["price"], 81);

    let package = admin
        .get(&format!("{REGISTRY}/cart-hamid/export"))
        .await
        .expect_ok();
    let tree = admin
        .get(&format!("{REGISTRY}/cart-hamid"))
        .await
        .expect_ok();
    Answer::of(admin.request(Method::DELETE, &format!("{REGISTRY}/cart-hamid")))
        .await
        .expect_ok();
    app.user("ann")
        .get("/api/plugins/cart-hamid/visits")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");

    let fresh = patient(builder()).start().await;
    made(&post(&fresh.admin(), &format!("{REGISTRY}/import"), package).await);
    activate(&fresh.admin(), "cart-hamid", wanted()).await;
    migrate(&fresh.admin()).await;
    use_it(&fresh, 90).await;

    let mut directory = patient(with_sdk());
    for file in tree["source_code"].as_array().unwrap() {
        let path = format!("cart-hamid/{}", file["path"].as_str().unwrap());
        directory = directory.file(&path, file["content"].as_str().unwrap());
    }
    let directory = directory.start().await;
    migrate(&directory.admin()).await;
    use_it(&directory, 90).await;
}
