//! `ctx.files`: what a plugin keeps in files of its own, in the gateway's process and in one of its own.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Builder, Claims, TestApp, TestClient},
};

const FILER: &str = r#"
from mozaiks import HostError

ctx = None

async def on_load(context):
    global ctx
    ctx = context

async def execute(data):
    arguments = list(data.get("args", []))
    if data["do"] in ("write_bytes", "writeBytes"):
        arguments[1] = arguments[1].encode("latin-1") * data.get("times", 1)
    try:
        result = await getattr(ctx.files, data["do"])(*arguments, **data.get("options", {}))
    except HostError as error:
        if not data.get("catch", True):
            raise
        return {
            "refused": error.error_code, "kind": type(error).__name__,
            "permission": getattr(error, "permission", None), "details": error.details,
        }
    return {"result": result.decode("latin-1") if isinstance(result, bytes) else result}
"#;

fn filer(isolation: &str, permissions: Value) -> Builder {
    let manifest = json!({ "isolation": isolation, "permissions": permissions });
    with_sdk()
        .plugin("filer", FILER)
        .file("filer/plugin.json", &manifest.to_string())
}

async fn ask(client: &TestClient, data: Value) -> Value {
    client.execute("filer", &data).await.expect_ok()
}

async fn result(client: &TestClient, name: &str, args: Value) -> Value {
    let said = ask(client, json!({ "do": name, "args": args })).await;
    assert!(said.get("result").is_some(), "{name} {args}: {said}");
    said["result"].clone()
}

async fn refused(client: &TestClient, name: &str, args: Value) -> String {
    let said = ask(client, json!({ "do": name, "args": args })).await;
    let code = said["refused"].as_str();
    code.unwrap_or_else(|| panic!("{name} {args}: {said}"))
        .to_owned()
}

async fn keeps_files(isolation: &str) {
    let app = filer(isolation, json!({ "filesystem": ["."] }))
        .start()
        .await;
    let user = app.user("ann");
    let bytes = "a\u{0}\u{ff}\r\n";
    assert_eq!(result(&user, "exists", json!(["up/a.bin"])).await, false);
    result(&user, "write_bytes", json!(["up/a.bin", bytes])).await;
    assert_eq!(
        result(&user, "read_bytes", json!(["up/a.bin"])).await,
        bytes
    );
    result(&user, "writeText", json!(["up/ä.txt", "zwölf"])).await;
    result(&user, "append", json!(["up/ä.txt", "!"])).await;
    assert_eq!(
        result(&user, "readText", json!(["up/ä.txt"])).await,
        "zwölf!"
    );
    let stat = result(&user, "stat", json!(["up/ä.txt"])).await;
    assert_eq!(
        (&stat["kind"], &stat["size"], &stat["name"]),
        (&json!("file"), &json!(7), &json!("ä.txt"))
    );
    assert_eq!(result(&user, "mkdir", json!(["up/deep/er"])).await, true);
    assert_eq!(result(&user, "mkdir", json!(["up/deep/er"])).await, false);
    let listed = result(&user, "list", json!(["up", 2])).await;
    let names: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["path"])
        .collect();
    assert_eq!(names, ["up/a.bin", "up/deep"]);
    let rest = result(&user, "list", json!(["up", 2, listed["next_cursor"]])).await;
    assert_eq!(rest["items"][0]["path"], "up/ä.txt");
    assert_eq!(rest.get("next_cursor"), None);

    for (name, args, code) in [
        ("read_bytes", json!(["up/none"]), "NOT_FOUND"),
        ("read_bytes", json!(["up"]), "CONFLICT"),
        ("write_bytes", json!(["up", ""]), "CONFLICT"),
        ("write_bytes", json!(["up/a.bin/x", ""]), "CONFLICT"),
        ("delete", json!(["up"]), "CONFLICT"),
        ("list", json!(["none"]), "NOT_FOUND"),
        ("list", json!(["up", 0]), "VALIDATION_ERROR"),
        ("write_bytes", json!([".", ""]), "VALIDATION_ERROR"),
        ("read_bytes", json!(["a//b"]), "VALIDATION_ERROR"),
        ("read_bytes", json!(["a\u{0}b"]), "VALIDATION_ERROR"),
    ] {
        assert_eq!(
            refused(&user, name, args.clone()).await,
            code,
            "{name} {args}"
        );
    }
    assert_eq!(result(&user, "delete", json!(["up/a.bin"])).await, true);
    assert_eq!(result(&user, "delete", json!(["up/a.bin"])).await, false);
    let whole = json!({ "do": "delete", "args": ["up"], "options": { "recursive": true } });
    assert_eq!(ask(&user, whole).await["result"], true);
    let listed = result(&user, "list", json!([])).await;
    assert_eq!(listed, json!({ "items": [] }));
}

#[tokio::test]
async fn files_are_kept_for_a_plugin_in_the_gateway() {
    keeps_files("inline").await;
}

#[tokio::test]
async fn files_are_kept_for_a_plugin_in_a_process_of_its_own() {
    keeps_files("dedicated").await;
}

/// Paths that lead elsewhere are refused whatever is permitted, and others that are not permitted.
async fn stays_within(isolation: &str) {
    let data = tempfile::tempdir().unwrap();
    let kept = data.path().join("files/filer/app_default/data");
    std::fs::create_dir_all(kept.join("templates")).unwrap();
    std::fs::create_dir_all(kept.join("uploads")).unwrap();
    std::fs::write(kept.join("templates/a"), "template").unwrap();
    std::fs::write(kept.join("private"), "private").unwrap();
    std::fs::write(data.path().join("secret"), "secret").unwrap();
    symlink(data.path().join("secret"), kept.join("uploads/link")).unwrap();
    symlink(data.path(), kept.join("uploads/out")).unwrap();
    symlink("../templates", kept.join("uploads/same")).unwrap();
    let permissions = json!({ "filesystem": ["uploads", "templates:ro"] });
    let app = filer(isolation, permissions)
        .data_dir(data.path())
        .start()
        .await;
    let (user, admin) = (app.user("ann"), app.admin());

    assert_eq!(
        result(&user, "read_text", json!(["templates/a"])).await,
        "template"
    );
    result(&user, "write_bytes", json!(["uploads/x", "mine"])).await;
    let absolute = data.path().join("secret");
    let mut denied = 0;
    for path in [
        "uploads/link",
        "uploads/out/secret",
        "uploads/same/a",
        "../secret",
        "uploads/../private",
        "/etc/passwd",
        absolute.to_str().unwrap(),
        "private",
        "uploadsx",
        "templates/../private",
    ] {
        for (name, args) in [
            ("read_bytes", json!([path])),
            ("write_bytes", json!([path, "x"])),
            ("append", json!([path, "x"])),
            ("delete", json!([path])),
            ("stat", json!([path])),
            ("list", json!([path])),
            ("mkdir", json!([path])),
        ] {
            // A link is no directory, and nothing of what it leads to is told.
            assert_eq!(
                refused(&user, name, args).await,
                "PERMISSION_DENIED",
                "{name} {path}"
            );
            denied += 1;
        }
    }
    // The whole, and what may be read only.
    for (name, args, permission) in [
        ("list", json!(["."]), "filesystem:.:ro"),
        (
            "write_bytes",
            json!(["templates/a", "x"]),
            "filesystem:templates/a",
        ),
        (
            "append",
            json!(["templates/a", "x"]),
            "filesystem:templates/a",
        ),
        ("delete", json!(["templates/a"]), "filesystem:templates/a"),
        ("mkdir", json!(["templates/b"]), "filesystem:templates/b"),
    ] {
        let said = ask(&user, json!({ "do": name, "args": args })).await;
        let wanted = json!(["PERMISSION_DENIED", "PermissionDenied", permission]);
        assert_eq!(
            json!([said["refused"], said["kind"], said["permission"]]),
            wanted
        );
        denied += 1;
    }
    // Let pass, it is the gateway's answer; admins are told the entry.
    let passed = json!({ "do": "read_bytes", "args": ["private"], "catch": false });
    let answer = user.execute("filer", &passed).await;
    assert_eq!(
        answer.expect_error(500, "PERMISSION_DENIED").get("details"),
        None
    );
    let answer = admin.execute("filer", &passed).await;
    let body = answer.expect_error(500, "PERMISSION_DENIED");
    assert_eq!(body["details"]["permission"], "filesystem:private:ro");
    let counted = app
        .metric("mozaiks_plugin_permission_denials_total{plugin=\"filer\"}")
        .await;
    assert_eq!(counted, f64::from(denied + 2));

    assert_eq!(
        std::fs::read_to_string(data.path().join("secret")).unwrap(),
        "secret"
    );
    assert_eq!(
        std::fs::read_to_string(kept.join("templates/a")).unwrap(),
        "template"
    );
    let mode = std::fs::metadata(kept.join("uploads/x")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
}

#[tokio::test]
async fn no_path_leads_out_for_a_plugin_in_the_gateway() {
    stays_within("inline").await;
}

#[tokio::test]
async fn no_path_leads_out_for_a_plugin_in_a_process_of_its_own() {
    stays_within("dedicated").await;
}

#[tokio::test]
async fn a_file_has_a_largest_size_and_without_the_permission_there_are_none() {
    let app = filer("dedicated", json!({ "filesystem": ["."] }))
        .plugin("without", FILER)
        .file("without/plugin.json", r#"{"permissions": {}}"#)
        .env("MOZAIKS_FILES_MAX_BYTES", "1MiB")
        .start()
        .await;
    let user = app.user("ann");
    let write = |times: usize| json!({ "do": "write_bytes", "args": ["big", "x"], "times": times });
    assert_eq!(ask(&user, write(1 << 20)).await, json!({ "result": null }));
    let read = result(&user, "read_text", json!(["big"])).await;
    assert_eq!(read.as_str().unwrap().len(), 1 << 20);
    let over = ask(&user, write((1 << 20) + 1)).await;
    assert_eq!(
        (&over["refused"], &over["details"]["limit_bytes"]),
        (&json!("VALIDATION_ERROR"), &json!(1 << 20))
    );
    assert_eq!(
        refused(&user, "append", json!(["big", "x"])).await,
        "VALIDATION_ERROR"
    );
    let denied = json!({ "do": "write_bytes", "args": ["x", "x"] });
    let denied = user.execute("without", &denied).await.expect_ok();
    assert_eq!(denied["permission"], "filesystem:x");
}

#[tokio::test]
async fn apps_have_files_of_their_own() {
    let app = filer("dedicated", json!({ "filesystem": ["."] }))
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let of = |app: &TestApp, id: &str| app.with_claims(&Claims::user("ann").with("app_id", id));
    let ids = ["a", "A", "a/b", "..", "ab"];
    for id in ids {
        result(&of(&app, id), "write_bytes", json!(["mine", id])).await;
    }
    for id in ids {
        let client = of(&app, id);
        assert_eq!(result(&client, "read_bytes", json!(["mine"])).await, id);
        let listed = result(&client, "list", json!([])).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    }
}
