//! Static pages of plugins: served in development, and only what lies in their directory.

use reqwest::Method;

use crate::support::{Answer, Builder, TestApp};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const LOGIC: &str = "def execute(data):\n    return {}\n";

/// A plugin with a page, and one without.
fn gateway() -> Builder {
    TestApp::builder()
        .plugin("bare", LOGIC)
        .plugin("shop", LOGIC)
        .file("shop/plugin.json", r#"{"name": "shop"}"#)
        .file(
            "shop/static/index.html",
            "<!doctype html><title>Shop</title>",
        )
        .file("shop/static/shop.js", "export {};")
        .file("shop/static/shop.css", "b { color: red }")
        .file("shop/static/icon.svg", "<svg/>")
        .file("shop/static/notes.py", "SECRET = 1")
        .file("shop/static/.env", "SECRET=1")
        .file("shop/static/deep/inner.html", "inner")
}

#[tokio::test]
async fn pages_are_served_in_development() {
    let app = gateway().dev().start().await;
    for (path, content_type, text) in [
        ("/demo/shop/", "text/html; charset=utf-8", "<title>Shop"),
        ("/demo/shop/index.html", "text/html; charset=utf-8", "Shop"),
        (
            "/demo/shop/shop.js",
            "text/javascript; charset=utf-8",
            "export",
        ),
        ("/demo/shop/shop.css", "text/css; charset=utf-8", "color"),
        ("/demo/shop/icon.svg", "image/svg+xml", "<svg/>"),
        (
            "/demo/shop/shop.js?v=1",
            "text/javascript; charset=utf-8",
            "export",
        ),
    ] {
        let answer = app.anonymous().get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("x-request-id").is_some());
        assert!(answer.text.contains(text), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        let address = app.address;
        for part in [
            "default-src 'self';",
            &format!("connect-src 'self' ws://{address} wss://{address};"),
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );

        let head = Answer::of(app.anonymous().request(Method::HEAD, path)).await;
        assert_eq!(head.status, 200, "HEAD {path}");
        assert_eq!(head.text, "");
        for name in ["content-type", "content-length", "content-security-policy"] {
            assert_eq!(
                head.header(name),
                answer.header(name),
                "HEAD {path}: {name}"
            );
            assert!(head.header(name).is_some(), "HEAD {path}: {name}");
        }
    }
    let posted = Answer::of(app.anonymous().request(Method::POST, "/demo/shop/")).await;
    posted.expect_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(posted.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn an_address_without_its_slash_leads_to_the_one_with_it() {
    let app = gateway().dev().start().await;
    let mut raw = app.raw().await;
    raw.send("GET /demo/shop HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 307);
    assert!(
        answer.head.contains("location: /demo/shop/\r\n"),
        "{answer:?}"
    );
    for path in ["/demo/bare", "/demo/none", "/demo"] {
        app.anonymous()
            .get(path)
            .await
            .expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_page_shows_what_was_saved_last() {
    let app = gateway().dev().start().await;
    let page = app.plugins_dir().join("shop/static/index.html");
    std::fs::write(&page, "changed").unwrap();
    assert_eq!(app.anonymous().get("/demo/shop/").await.text, "changed");
    std::fs::remove_file(&page).unwrap();
    let gone = app.anonymous().get("/demo/shop/").await;
    gone.expect_error(404, "NOT_FOUND");
    std::fs::write(app.plugins_dir().join("shop/static/new.txt"), "new").unwrap();
    assert_eq!(app.anonymous().get("/demo/shop/new.txt").await.text, "new");
}

/// Sent as they are: a client would tidy some of them up.
#[tokio::test]
async fn what_is_not_listed_is_not_there() {
    let app = gateway().dev().start().await;
    let outside = app.plugins_dir().join("outside.html");
    std::fs::write(&outside, "outside").unwrap();
    let link = app.plugins_dir().join("shop/static/link.html");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "outside");
    let mut raw = app.raw().await;
    for path in [
        "/demo/",
        "/demo//",
        "/demo//index.html",
        "/demo/none/",
        "/demo/none/index.html",
        "/demo/bare/",
        "/demo/bare/logic.py",
        "/demo/SHOP/",
        "/demo/../shop/",
        "/demo/./shop/",
        "/demo/%2e%2e/",
        "/demo/..%2fshop/",
        "/demo/shop/none.html",
        "/demo/shop/INDEX.HTML",
        "/demo/shop/index",
        "/demo/shop/link.html",
        "/demo/shop/notes.py",
        "/demo/shop/.env",
        "/demo/shop/%2eenv",
        "/demo/shop/deep",
        "/demo/shop/deep/",
        "/demo/shop/deep/inner.html",
        "/demo/shop/deep%2finner.html",
        "/demo/shop/.",
        "/demo/shop/..",
        "/demo/shop/../plugin.json",
        "/demo/shop/../../outside.html",
        "/demo/shop/..%2fplugin.json",
        "/demo/shop/..%2f..%2foutside.html",
        "/demo/shop/%2e%2e%2fplugin.json",
        "/demo/shop/%252e%252e%252fplugin.json",
        "/demo/shop/..%5cplugin.json",
        "/demo/shop/..\\plugin.json",
        "/demo/shop/%2fetc%2fpasswd",
        "/demo/shop//index.html",
        "/demo/shop/index.html/",
        "/demo/shop/index.html%00.js",
        "/demo/shop/index.html%00",
        "/demo/shop/%ff.html",
        "/demo/shop/static/index.html",
    ] {
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        let answer = raw.answer().await;
        answer.expect_error(404, "NOT_FOUND");
        assert!(!answer.body.contains("SECRET"), "{path}");
    }
}

#[tokio::test]
async fn without_development_mode_there_are_no_pages() {
    let app = gateway().start().await;
    for path in [
        "/demo",
        "/demo/shop",
        "/demo/shop/",
        "/demo/shop/index.html",
        "/demo/shop/shop.js",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let answer = Answer::of(app.user("a").request(method.clone(), path)).await;
            answer.expect_error(404, "NOT_FOUND");
            let unknown = Answer::of(app.user("a").request(method, "/unknown")).await;
            assert_eq!(answer.json()["error"], unknown.json()["error"], "{path}");
        }
    }
}

#[tokio::test]
async fn development_mode_prints_the_pages_with_a_token_that_works() {
    let mut app = gateway().dev().start().await;
    let line = app.log_line(&["open it: "]).await;
    let url = line.strip_prefix("open it: ").unwrap();
    let (page, token) = url.split_once("#token=").unwrap();
    assert_eq!(page, format!("http://{}/demo/shop/", app.address));
    let client = app.with_token(token);
    client.get("/api/plugins/shop").await.expect_ok();
    let admins = client.get("/__mozaiks/admin/events/stats").await;
    admins.expect_error(403, "FORBIDDEN");
    // There is nothing to open of a plugin without a page.
    assert_eq!(app.log_text().matches("open it: ").count(), 1);
}

/// The shipped page needs nothing but what lies beside it.
#[tokio::test]
async fn the_page_of_the_shipped_plugin_is_whole() {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{ROOT}/runtime/ai/plugins/tasks/{name}")).unwrap()
    };
    let mut builder = TestApp::builder()
        .plugin("tasks", &read("logic.py"))
        .file("tasks/plugin.json", &read("plugin.json"));
    for entry in std::fs::read_dir(format!("{ROOT}/runtime/ai/plugins/tasks/static")).unwrap() {
        let name = format!("static/{}", entry.unwrap().file_name().to_str().unwrap());
        builder = builder.file(&format!("tasks/{name}"), &read(&name));
    }
    let app = builder.dev().start().await;
    let page = app.anonymous().get("/demo/tasks/").await;
    assert_eq!(page.status, 200);
    let mut named = 0;
    for part in page
        .text
        .replace("href=\"", "src=\"")
        .split("src=\"")
        .skip(1)
    {
        let file = part.split('"').next().unwrap();
        let answer = app.anonymous().get(&format!("/demo/tasks/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        assert!(!answer.text.contains("innerHTML"), "{file}");
        named += 1;
    }
    assert!(named >= 3, "{}", page.text);
    assert!(
        !page.text.contains("://"),
        "nothing from elsewhere: {}",
        page.text
    );
    assert!(!page.text.contains("<script>") && !page.text.contains(" style="));
}
