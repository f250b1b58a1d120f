//! The answers about stored plugins are those that `/openapi.json` describes.

use super::*;
use crate::schemas::Asked;

#[tokio::test]
async fn what_is_sent_of_stored_plugins_is_what_is_described() {
    let app = builder().start().await;
    let admin = app.admin();
    let document = app.anonymous().get("/openapi.json").await.expect_ok();
    let mut asked = Asked::new(&document);
    let (plugin, here) = (format!("{REGISTRY}/{{name}}"), format!("{REGISTRY}/shown"));
    macro_rules! ask {
        ($method:ident $path:expr, $below:expr, $body:expr) => {
            asked
                .call(
                    &admin,
                    Method::$method,
                    &format!("{plugin}{}", $path),
                    &format!("{here}{}", $below),
                    $body,
                )
                .await
        };
    }
    let new = json!({"name": "shown", "description": "x"});
    asked
        .call(&admin, Method::POST, REGISTRY, REGISTRY, new)
        .await;
    asked
        .call(&admin, Method::GET, REGISTRY, REGISTRY, Value::Null)
        .await;
    let file = json!({"path": "logic.py", "content": greeting("x")});
    ask!(PUT "/files", "/files", file);
    ask!(POST "/files/{path}", "/files/logic.py/restore", json!({"revision": 1}));
    ask!(GET "/files/{path}", "/files/logic.py/revisions", Value::Null);
    ask!(PUT "/files", "/files", json!({"path": "a.txt", "content": "x"}));
    ask!(POST "/files/rename", "/files/rename", json!({"from": "a.txt", "to": "b.txt"}));
    ask!(DELETE "/files", "/files?path=b.txt", Value::Null);
    ask!(GET "", "", Value::Null);
    ask!(PATCH "", "", json!({"category": "x", "is_template": true}));
    ask!(POST "/validate", "/validate", Value::Null);
    ask!(POST "/activate", "/activate", Value::Null);
    let hook =
        json!({"hook_name": "a.b", "handler_function": "def handler(value):\n    return value\n"});
    let hooks = "/api/plugins/{name}/hooks";
    asked
        .call(
            &admin,
            Method::POST,
            hooks,
            "/api/plugins/shown/hooks",
            hook,
        )
        .await;
    let listener =
        json!({"event_name": "a.b", "listener_function": "def handler(data):\n    pass\n"});
    let listeners = "/api/plugins/{name}/event-listeners";
    asked
        .call(
            &admin,
            Method::POST,
            listeners,
            "/api/plugins/shown/event-listeners",
            listener,
        )
        .await;
    let remap = json!({"event_name": "c.d"});
    for (described, path) in [
        (
            "/api/plugins/{name}/event-listeners/{file}",
            "/api/plugins/shown/event-listeners/a_b.py",
        ),
        (
            "/api/plugins/registry/{name}/event-listeners/{file}",
            "/api/plugins/registry/shown/event-listeners/a_b.py",
        ),
    ] {
        asked
            .call(&admin, Method::PATCH, described, path, remap.clone())
            .await;
    }
    let job = json!({"name": "n", "cron": "0 3 * * *", "handler_code": "def run():\n    pass\n"});
    ask!(POST "/jobs", "/jobs", job);
    let entity = json!({"entity_name": "Cart", "table_name": "shown_cart", "schema_definition": {"columns": [{"name": "id", "type": "UUID", "primaryKey": true}]}});
    ask!(POST "/entities", "/entities", entity);
    let migration = json!({"file_name": "20250129_143000_first.json", "content": "{}"});
    ask!(POST "/migrations", "/migrations", migration);
    let doc = json!({"file_name": "README.md", "content": "# x"});
    ask!(POST "/{part}", "/docs", doc);
    ask!(GET "/{part}", "/docs", Value::Null);
    ask!(GET "/{part}/{row}", "/docs/README.md", Value::Null);
    ask!(PATCH "/{part}/{row}", "/docs/README.md", json!({"content": "# y"}));
    ask!(DELETE "/{part}/{row}", "/docs/README.md", Value::Null);
    ask!(PUT "/data/{key}", "/data/a", json!({"value": {"n": 1}}));
    ask!(GET "/data/{key}", "/data/a", Value::Null);
    ask!(GET "/data", "/data", Value::Null);
    ask!(DELETE "/data/{key}", "/data/a", Value::Null);
    ask!(GET "/export", "/export", Value::Null);
    ask!(POST "/clone", "/clone", json!({}));
    let templates = "/api/plugins/templates";
    asked
        .call(&admin, Method::GET, templates, templates, Value::Null)
        .await;
    asked
        .call(
            &admin,
            Method::POST,
            "/api/plugins/templates/{name}/clone",
            "/api/plugins/templates/shown/clone",
            json!({}),
        )
        .await;
    let package = admin.get(&format!("{here}/export")).await.expect_ok();
    asked
        .call(
            &admin,
            Method::POST,
            "/api/plugins/registry/import",
            "/api/plugins/registry/import",
            package,
        )
        .await;
    ask!(POST "/deactivate", "/deactivate", Value::Null);
    ask!(POST "/dependencies", "/dependencies", json!({"package_name": "pymongo"}));
    ask!(PATCH "/dependencies/{row}", "/dependencies/pymongo", json!({"status": "approved"}));
    ask!(GET "/dependencies", "/dependencies", Value::Null);
    ask!(DELETE "/dependencies/{row}", "/dependencies/pymongo", Value::Null);
    let tree = json!({"files": [{"name": "plugin.json", "content": "{}"}, {"name": "logic.py", "content": greeting("y")}]});
    ask!(PUT "/tree", "/tree", tree);
    ask!(DELETE "", "", Value::Null);
    asked.none_is_left_out(true);
}
