//! What pages load of plugins: scripts in their order, files by their checksum, widgets, slots.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, TestClient},
};

const MANIFEST: &str = r#"{
    "scripts": {
        "utils/math.js": {"load_priority": 1},
        "services/server.js": {"scope": "backend"}
    },
    "events": {"told.js": {"event_name": "product.view", "scope": "frontend", "priority": 3}},
    "hooks": {"price.js": {"hook_name": "page.price", "scope": "frontend"}},
    "widgets": {
        "visits.js": {
            "widget_id": "cart-visits", "widget_name": "<b>Visits</b>", "default_config": {"a": 1},
            "category": "functional", "icon": "BarChart3"
        },
        "hello.py": {"widget_id": "hello", "default_config": {"greeting": "Hi"}}
    }
}"#;

fn shop() -> Builder {
    with_sdk()
        .file("shop/plugin.json", MANIFEST)
        .file("shop/utils/math.js", "export const one = 1;\n")
        .file("shop/utils/secret.py", "KEY = 'secret'\n")
        .file(
            "shop/components/Visits.js",
            "import { one } from '../utils/math.js';\n",
        )
        .file("shop/styles/shop.css", "b { color: red }\n")
        .file("shop/admin/panel.js", "export default 1;\n")
        .file("shop/services/server.js", "secret\n")
        .file("shop/events/told.js", "export default () => {};\n")
        .file("shop/hooks/price.js", "export default (price) => price;\n")
        .file("shop/widgets/visits.js", "export default () => {};\n")
        .file(
            "shop/widgets/hello.py",
            "import html\n\n\
             def render(config, data):\n    \
             if config.get('odd'):\n        return {'no': 'text'}\n    \
             name = html.escape(str(data.get('name')))\n    \
             return f\"<p>{config['greeting']} {name} {data['user_id']}</p>\"\n",
        )
}

async fn put(client: &TestClient, path: &str, body: &Value) -> Answer {
    Answer::of(client.request(Method::PUT, path).json(body)).await
}

async fn render(client: &TestClient, widget: &str, body: &Value) -> Answer {
    let path = format!("/api/plugins/widgets/{widget}/render");
    Answer::of(client.request(Method::POST, &path).json(body)).await
}

#[tokio::test]
async fn scripts_come_in_their_order_from_addresses_that_never_change() {
    let app = shop().start().await;
    let ann = app.user("ann");
    let list = ann.get("/api/plugins/shop/scripts").await.expect_ok();
    let scripts = list["scripts"].as_array().unwrap();
    let names: Vec<_> = scripts
        .iter()
        .map(|each| each["file_name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["utils/math.js", "components/Visits.js", "styles/shop.css"]
    );
    assert!(
        scripts[0]["integrity"]
            .as_str()
            .unwrap()
            .starts_with("sha256-")
    );
    let url = scripts[0]["url"].as_str().unwrap();
    // A page's tag brings no token.
    let file = app.anonymous().get(url).await;
    assert_eq!(
        (file.status.as_u16(), &*file.text),
        (200, "export const one = 1;\n")
    );
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(file.header(name), Some(value), "{name}");
    }
    // Modules find each other by relative paths.
    let base = scripts[1]["url"]
        .as_str()
        .unwrap()
        .replace("components/Visits.js", "");
    assert_eq!(url, format!("{base}utils/math.js"));
    for hidden in [
        "utils/secret.py",
        "services/server.js",
        "plugin.json",
        "../shop/plugin.json",
        "%2e%2e/shop/plugin.json",
        "components/none.js",
    ] {
        let file = app.anonymous().get(&format!("{base}{hidden}")).await;
        assert_eq!(file.status.as_u16(), 404, "{hidden}: {}", file.text);
    }
    let other = url.replace(&url[url.len() - 60..url.len() - 50], "0000000000");
    assert_eq!(app.anonymous().get(&other).await.status.as_u16(), 404);
    let admins = app
        .admin()
        .get("/api/plugins/shop/scripts?scope=admin")
        .await
        .expect_ok();
    assert_eq!(admins["scripts"][0]["file_name"], "admin/panel.js");
    let path = "/api/plugins/shop/scripts?scope=admin";
    ann.get(path).await.expect_error(403, "FORBIDDEN");
    let path = "/api/plugins/shop/scripts?scope=backend";
    app.admin()
        .get(path)
        .await
        .expect_error(422, "VALIDATION_ERROR");
    app.anonymous()
        .get("/api/plugins/shop/scripts")
        .await
        .expect_error(401, "AUTH_REQUIRED");

    let whole = ann.get("/api/plugins/active").await.expect_ok();
    assert_eq!(whole["count"], 1);
    assert!(!whole.to_string().contains("secret"), "{whole}");
    let active = ann.get("/api/plugins/active/shop").await.expect_ok();
    assert_eq!(active, whole["plugins"][0]);
    let told = &active["events"][0];
    assert_eq!(
        (&told["name"], &told["priority"]),
        (&json!("product.view"), &json!(3))
    );
    let module = app.anonymous().get(told["url"].as_str().unwrap()).await;
    assert_eq!(module.text, "export default () => {};\n");
    assert_eq!(active["hooks"][0]["name"], "page.price");
    assert_eq!(active["widgets"].as_array().unwrap().len(), 2);

    // A new load has another address, and that of before is gone.
    std::fs::write(
        app.plugins_dir().join("shop/utils/math.js"),
        "export const one = 2;\n",
    )
    .unwrap();
    assert_eq!(
        app.anonymous().get(url).await.status.as_u16(),
        404,
        "it is not what it was"
    );
    let reload = app
        .admin()
        .request(Method::POST, "/api/plugins/shop/reload");
    Answer::of(reload).await.expect_ok();
    let list = ann.get("/api/plugins/shop/scripts").await.expect_ok();
    let new = list["scripts"][0]["url"].as_str().unwrap();
    assert_ne!(new, url);
    assert_eq!(
        app.anonymous().get(new).await.text,
        "export const one = 2;\n"
    );
    assert_eq!(app.anonymous().get(url).await.status.as_u16(), 404);
}

#[tokio::test]
async fn widgets_are_modules_or_html_and_stand_in_slots() {
    let app = shop().start().await;
    let ann = app.user("ann");
    let widgets = ann.get("/api/plugins/widgets").await.expect_ok();
    assert_eq!(widgets["count"], 2);
    let visits = ann
        .get("/api/plugins/widgets/cart-visits")
        .await
        .expect_ok();
    assert_eq!(
        (
            &visits["widget_name"],
            &visits["default_config"],
            &visits["plugin"]
        ),
        (&json!("<b>Visits</b>"), &json!({"a": 1}), &json!("shop"))
    );
    let module = app
        .anonymous()
        .get(visits["module_url"].as_str().unwrap())
        .await;
    assert_eq!(module.status.as_u16(), 200);
    ann.get("/api/plugins/widgets/none")
        .await
        .expect_error(404, "WIDGET_NOT_FOUND");

    let data = json!({"data": {"name": "<script>", "user_id": "root"}});
    let html = render(&ann, "hello", &data).await;
    assert_eq!(html.text, "<p>Hi &lt;script&gt; ann</p>");
    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = html.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("sandbox; default-src 'none'"),
        "{policy}"
    );
    let other = render(&ann, "hello", &json!({"config": {"greeting": "Ho"}})).await;
    assert!(other.text.starts_with("<p>Ho "), "{}", other.text);
    let odd = render(&ann, "hello", &json!({"config": {"odd": true}})).await;
    odd.expect_error(500, "PLUGIN_BAD_RESULT");
    render(&ann, "cart-visits", &json!({}))
        .await
        .expect_error(404, "WIDGET_NOT_FOUND");
    render(&ann, "hello", &json!({"data": 1}))
        .await
        .expect_error(422, "VALIDATION_ERROR");

    let slot = |id: &str, widget: &str| {
        json!({"id": id, "type": "plugin_widget", "widgetId": widget,
               "position": {"col": 1, "row": 1}, "config": {"b": 2}})
    };
    let path = "/api/slots/header_widget";
    assert_eq!(ann.get(path).await.expect_ok()["count"], 0);
    let slots = json!({"slots": [slot("one", "cart-visits"), slot("two", "hello")]});
    put(&ann, path, &slots).await.expect_error(403, "FORBIDDEN");
    put(&app.admin(), path, &slots).await.expect_ok();
    let shown = ann.get(path).await.expect_ok();
    assert_eq!(shown["slots"][0]["widgetId"], "cart-visits");
    assert_eq!(shown["slots"][0]["position"], json!({"col": 1, "row": 1}));
    assert_eq!(shown["slots"][1]["available"], true);
    for (wrong, at) in [
        (json!({"slots": [slot("one", "none")]}), "/slots/0/widgetId"),
        (
            json!({"slots": [slot("one", "hello"), slot("one", "hello")]}),
            "/slots/1/id",
        ),
        (json!({"slots": [slot("<b>", "hello")]}), "slots/0/id"),
        (json!({"slots": [{"id": "one"}]}), "/slots"),
    ] {
        let refused = put(&app.admin(), path, &wrong).await;
        let refused = refused.expect_error(422, "VALIDATION_ERROR");
        let told = refused["details"]["path"].as_str().unwrap();
        assert!(told.ends_with(at.trim_start_matches('/')), "{refused}");
    }
    // What is off renders nothing, and its place is kept.
    let off = app
        .admin()
        .request(Method::POST, "/api/plugins/shop/enable");
    Answer::of(off.json(&json!({"enabled": false})))
        .await
        .expect_ok();
    let shown = ann.get(path).await.expect_ok();
    assert_eq!(
        (&shown["count"], &shown["slots"][1]["available"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(
        ann.get("/api/plugins/widgets").await.expect_ok()["count"],
        0
    );
    render(&ann, "hello", &data)
        .await
        .expect_error(404, "WIDGET_NOT_FOUND");
}
