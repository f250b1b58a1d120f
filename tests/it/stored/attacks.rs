//! What must not be: other apps' plugins, other authors', files where none can be, code that looks around.

use super::*;
use crate::support::DocstoreProcess;

#[tokio::test]
async fn stored_plugins_are_off_unless_wanted_and_for_authors_alone() {
    let app = with_sdk().start().await;
    let new = json!({"name": "greeter"});
    for client in [app.admin(), author(&app, "ann")] {
        post(&client, REGISTRY, new.clone())
            .await
            .expect_error(503, "FEATURE_DISABLED");
        client
            .get(REGISTRY)
            .await
            .expect_error(503, "FEATURE_DISABLED");
    }
    let app = builder()
        .plugin("shop", "def execute(data):\n    return {}\n")
        .start()
        .await;
    app.anonymous()
        .get(REGISTRY)
        .await
        .expect_error(401, "AUTH_REQUIRED");
    let (user, ann, eve) = (app.user("ann"), author(&app, "ann"), author(&app, "eve"));
    user.get(REGISTRY).await.expect_error(403, "FORBIDDEN");
    post(&user, REGISTRY, new.clone())
        .await
        .expect_error(403, "FORBIDDEN");
    // Names that others have, or nobody.
    for name in ["shop", "registry", "Upper", "../x", ""] {
        let refused = post(&ann, REGISTRY, json!({"name": name})).await;
        assert!(
            [409, 422].contains(&refused.status.as_u16()),
            "{name}: {}",
            refused.text
        );
    }
    // Rows of plugins in directories are not theirs to write.
    put(&ann, "shop", "logic.py", "x = 1\n", Value::Null)
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    let path = format!("{REGISTRY}/shop");
    Answer::of(app.admin().request(Method::DELETE, &path))
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    made(&post(&ann, REGISTRY, new).await);
    // Nobody's but hers, until she lets others copy it.
    let path = format!("{REGISTRY}/greeter");
    eve.get(&path).await.expect_error(404, "PLUGIN_NOT_FOUND");
    put(&eve, "greeter", "logic.py", "x = 1\n", Value::Null)
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    let template = json!({"is_template": true});
    send(&ann, Method::PATCH, &path, template).await.expect_ok();
    eve.get(&path).await.expect_ok();
    put(&eve, "greeter", "logic.py", "x = 1\n", Value::Null)
        .await
        .expect_error(403, "FORBIDDEN");
    Answer::of(eve.request(Method::DELETE, &path))
        .await
        .expect_error(403, "FORBIDDEN");
    let copy = post(&eve, "/api/plugins/templates/greeter/clone", json!({})).await;
    assert_eq!(made(&copy)["name"], "greeter-2");
    for act in ["activate", "deactivate"] {
        post(&ann, &format!("{path}/{act}"), json!({}))
            .await
            .expect_error(403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn what_one_app_stores_is_not_there_for_another() {
    let database = DocstoreProcess::start().await;
    let app = builder()
        .env("MOZAIKS_DATABASE_URI", &database.uri())
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let of = |app_id: &str, role: &str| {
        let claims = Claims::user("ann")
            .with("app_id", app_id)
            .with("roles", vec![role]);
        app.with_claims(&claims)
    };
    let (red, blue) = (of("red", "admin"), of("blue", "admin"));
    made(&post(&red, REGISTRY, json!({"name": "greeter"})).await);
    put(&red, "greeter", "logic.py", &greeting("red"), Value::Null)
        .await
        .expect_ok();
    post(&red, &format!("{REGISTRY}/greeter/activate"), json!({}))
        .await
        .expect_ok();
    assert_eq!(says(&of("red", "user"), "greeter").await, "red");
    // The same user of another app, an admin there.
    let path = format!("{REGISTRY}/greeter");
    let (on, name) = (json!({"enabled": true}), "greeter");
    for answer in [
        blue.get(&path).await,
        blue.get(&format!("{path}/export")).await,
        blue.get(&format!("{path}/limits")).await,
        blue.get("/api/plugins/greeter").await,
        post(&blue, "/api/plugins/greeter/enable", on.clone()).await,
        post(&blue, &format!("{path}/activate"), json!({})).await,
        put(&blue, name, "logic.py", &greeting("blue"), json!(1)).await,
        Answer::of(blue.request(Method::DELETE, &path)).await,
        Answer::of(blue.request(Method::DELETE, "/api/plugins/greeter")).await,
        blue.execute("greeter", &json!({})).await,
    ] {
        answer.expect_error(404, "PLUGIN_NOT_FOUND");
    }
    assert_eq!(blue.get(REGISTRY).await.expect_ok()["count"], 0);
    assert_eq!(blue.get("/api/plugins").await.expect_ok()["count"], 0);
    assert!(
        !app.anonymous()
            .get("/openapi.json")
            .await
            .text
            .contains("greeter")
    );
    // A name is the gateway's.
    post(&blue, REGISTRY, json!({"name": "greeter"}))
        .await
        .expect_error(409, "CONFLICT");
    // A superadmin's word for the whole gateway does not carry it elsewhere.
    let god = app.with_claims(
        &Claims::user("god")
            .with("app_id", "red")
            .with("roles", vec!["superadmin"]),
    );
    let everywhere = json!({"enabled": true, "scope": "gateway"});
    post(&god, "/api/plugins/greeter/enable", everywhere)
        .await
        .expect_ok();
    blue.execute("greeter", &json!({}))
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
}

#[tokio::test]
async fn files_that_cannot_be_are_refused() {
    let app = builder().start().await;
    let admin = app.admin();
    greeter(&app, "greeter").await;
    for path in [
        "../logic.py",
        "/etc/passwd",
        "a/../../x.py",
        "a//x.py",
        "logic.py.",
        "lo\u{ff0e}gic.py",
        "l\u{f6}gic.py",
        ".env",
        "__pycache__/logic.cpython-312.pyc",
        "native.so",
        "controllers/x.js",
        "controllers/deep/x.py",
        "manifest.json",
        "hooks",
    ] {
        put(&admin, "greeter", path, "x", Value::Null)
            .await
            .expect_error(422, "VALIDATION_ERROR");
    }
    // What some disk takes for one.
    for path in ["Logic.py", "logic.py/x.py"] {
        put(&admin, "greeter", path, "x", Value::Null)
            .await
            .expect_error(409, "CONFLICT");
    }
    let large = "x".repeat(512 * 1024 + 1);
    put(&admin, "greeter", "static/x.txt", &large, Value::Null)
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");
    // In the words of a kind: the right place is named.
    let script = json!({"file_name": "hooks/x.py", "file_content": "x = 1\n"});
    let refused = post(&admin, &format!("{REGISTRY}/greeter/scripts"), script).await;
    let refused = refused.expect_error(422, "VALIDATION_ERROR");
    assert!(
        refused["error"].as_str().unwrap().contains("among hooks"),
        "{refused}"
    );
    let unknown = json!({"hook_name": "a.b", "handler_function": "", "colour": "red"});
    post(&admin, &format!("{REGISTRY}/greeter/hooks"), unknown)
        .await
        .expect_error(422, "VALIDATION_ERROR");
    admin
        .get(&format!("{REGISTRY}/greeter/nothing"))
        .await
        .expect_error(404, "NOT_FOUND");
    // Two routes that are one.
    let route = |name: &str| {
        json!({"controller_name": name, "method": "GET", "path": "/x",
            "handler_code": "def handler(request):\n    return {}\n"})
    };
    let controllers = format!("{REGISTRY}/greeter/controllers");
    made(&post(&admin, &controllers, route("one")).await);
    post(&admin, &controllers, route("two"))
        .await
        .expect_error(409, "CONFLICT");
    // A schema that is none keeps the plugin as it is.
    let odd = json!({"cron": "every day"});
    let job =
        json!({"name": "nightly", "handler_code": "def run():\n    pass\n", "cron": odd["cron"]});
    let saved = made(&post(&admin, &format!("{REGISTRY}/greeter/jobs"), job).await);
    assert_eq!(saved["active"], false);
    assert_eq!(saved["problems"][0]["file"], "jobs/nightly.py", "{saved}");
    assert_eq!(says(&app.user("bob"), "greeter").await, "hello");
}

const LOOKS_AROUND: &str = r#"
import codecs


def look(path):
    try:
        with open(path) as file:
            return file.read(20)
    except OSError as error:
        return type(error).__name__


def execute(data):
    os = codecs.sys.modules["os"]
    own = os.path.dirname(__file__)
    trees = os.path.dirname(os.path.dirname(own))
    told = {"own": look(__file__)}
    for name, place in {"others": trees, "data": os.path.dirname(trees)}.items():
        try:
            told[name] = os.listdir(place)
        except OSError as error:
            told[name] = type(error).__name__
    try:
        with open(os.path.join(own, "left.py"), "w") as file:
            file.write("x")
        told["written"] = True
    except OSError as error:
        told["written"] = type(error).__name__
    told["secret"] = os.environ.get("MOZAIKS_JWT_SECRET")
    return told
"#;

#[tokio::test]
async fn stored_code_sees_its_own_files_and_nothing_else() {
    let app = builder().start().await;
    let admin = app.admin();
    greeter(&app, "greeter").await;
    made(&post(&admin, REGISTRY, json!({"name": "spy"})).await);
    let saved = put(&admin, "spy", "logic.py", LOOKS_AROUND, Value::Null).await;
    assert_eq!(saved.expect_ok()["problems"], json!([]));
    post(&admin, &format!("{REGISTRY}/spy/activate"), json!({}))
        .await
        .expect_ok();
    let told = app.user("eve").execute("spy", &json!({})).await.expect_ok();
    assert_eq!(told["own"], "\nimport codecs\n\n\ndef", "{told}");
    for what in ["others", "data", "written"] {
        assert!(
            ["PermissionError", "OSError"].contains(&told[what].as_str().unwrap_or_default()),
            "{what}: {told}"
        );
    }
    assert_eq!(told["secret"], Value::Null);
}
