//! Plugins carried elsewhere: packages, copies, and directories.

use super::*;

#[tokio::test]
async fn a_package_works_on_a_fresh_gateway() {
    let app = builder().start().await;
    let admin = app.admin();
    cart(&admin).await;
    activate_cart(&admin).await;
    use_cart(&app).await;
    let package = admin
        .get(&format!("{REGISTRY}/cart-hamid/export"))
        .await
        .expect_ok();
    assert_eq!(package["packageVersion"], "1.1.0");
    assert_eq!(package["plugin"]["slug"], "cart-hamid");
    assert_eq!(package["controllers"].as_array().unwrap().len(), 2);
    let import = format!("{REGISTRY}/import");
    // Beside the one that is there.
    let second = made(&post(&admin, &import, package.clone()).await);
    assert_eq!(
        (&second["name"], &second["enabled"]),
        (&json!("cart-hamid-2"), &json!(false))
    );

    let fresh = builder().start().await;
    let ann = author(&fresh, "ann");
    let imported = made(&post(&ann, &import, package).await);
    assert_eq!(
        (&imported["name"], &imported["creator_id"]),
        (&json!("cart-hamid"), &json!("ann"))
    );
    assert_eq!(imported["status"], "draft");
    let files = |answer: &Value| {
        answer["source_code"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| (file["path"].clone(), file["checksum"].clone()))
            .collect::<Vec<_>>()
    };
    let here = admin
        .get(&format!("{REGISTRY}/cart-hamid"))
        .await
        .expect_ok();
    let there = ann.get(&format!("{REGISTRY}/cart-hamid")).await.expect_ok();
    assert_eq!(files(&here), files(&there));
    activate_cart(&fresh.admin()).await;
    use_cart(&fresh).await;
}

#[tokio::test]
async fn hostile_packages_leave_nothing() {
    let app = builder().start().await;
    let admin = app.admin();
    let import = format!("{REGISTRY}/import");
    let package = |files: Value| json!({"packageVersion": "1.1.0", "plugin": {"name": "X", "slug": "hostile"}, "files": files});
    let many: Vec<Value> = (0..10_000)
        .map(|n| json!({"name": format!("f{n}"), "content": ""}))
        .collect();
    post(&admin, &import, package(json!(many)))
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");
    let file = |name: &str| json!({"name": name, "content": "x"});
    for files in [
        json!([file("a.py"), file("../a.py")]),
        json!([file("a.py"), file("a.py")]),
        json!([file("a.py"), file("/abs.py")]),
        json!([file("a.py"), file("x.so")]),
    ] {
        post(&admin, &import, package(files))
            .await
            .expect_error(422, "VALIDATION_ERROR");
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = format!(
        r#"{{"packageVersion": "1.1.0", "plugin": {{"slug": "hostile", "tags": {deep}}}}}"#
    );
    let request = admin
        .request(Method::POST, &import)
        .header("content-type", "application/json");
    Answer::of(request.body(deep))
        .await
        .expect_error(400, "INVALID_JSON");
    // Markup is text: it comes back as JSON, and is never a page.
    let markup = "<img src=x onerror=alert(1)>";
    let mut odd = package(json!([file("a.py")]));
    odd["plugin"]["name"] = markup.into();
    odd["plugin"]["description"] = markup.into();
    odd["docs"] = json!([{"file_name": "README.md", "content": markup}]);
    odd["widgets"] = json!([{"widget_id": markup, "widget_name": markup, "component_code": "1"}]);
    post(&admin, &import, odd.clone())
        .await
        .expect_error(422, "VALIDATION_ERROR");
    odd["widgets"] = json!([]);
    made(&post(&admin, &import, odd).await);
    let shown = admin.get(&format!("{REGISTRY}/hostile")).await;
    assert_eq!(shown.header("content-type"), Some("application/json"));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(shown.expect_ok()["description"], markup);
    assert_eq!(admin.get(REGISTRY).await.expect_ok()["count"], 1);
}

#[tokio::test]
async fn packages_wait_for_an_admins_approval() {
    let app = builder().start().await;
    let (ann, admin) = (author(&app, "ann"), app.admin());
    made(&post(&ann, REGISTRY, json!({"name": "greeter"})).await);
    put(
        &ann,
        "greeter",
        "logic.py",
        "import pymongo\n\n\ndef execute(data):\n    return {\"v\": pymongo.version}\n",
        Value::Null,
    )
    .await
    .expect_ok();
    let path = format!("{REGISTRY}/greeter/dependencies");
    let wanted = json!({"package_name": "pymongo", "version_spec": ">=4"});
    let one = made(&post(&ann, &path, wanted).await);
    assert_eq!(
        (&one["status"], &one["version_spec"]),
        (&json!("pending"), &json!(">=4"))
    );
    let activate = format!("{REGISTRY}/greeter/activate");
    let refused = post(&admin, &activate, json!({}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    assert!(
        refused["error"].as_str().unwrap().contains("approval"),
        "{refused}"
    );
    let approve = json!({"status": "approved"});
    let row = format!("{path}/pymongo");
    send(&ann, Method::PATCH, &row, approve.clone())
        .await
        .expect_error(403, "FORBIDDEN");
    send(&admin, Method::PATCH, &row, approve).await.expect_ok();
    post(&admin, &activate, json!({})).await.expect_ok();
    assert_eq!(
        admin.get(&path).await.expect_ok()["dependencies"][0]["status"],
        "installed"
    );
    app.user("bob")
        .execute("greeter", &json!({}))
        .await
        .expect_ok();
}

fn command(app: &TestApp, args: &[&str]) -> tokio::process::Command {
    let token = Claims::user("root").with("roles", vec!["admin"]).sign();
    let mut command = crate::plugin_commands::mozaiks(args);
    command
        .env("MOZAIKS_URL", format!("http://{}", app.address))
        .env("MOZAIKS_TOKEN", token);
    command
}

#[tokio::test]
async fn a_plugin_becomes_a_directory_and_comes_back_byte_by_byte() {
    let app = builder().start().await;
    let admin = app.admin();
    cart(&admin).await;
    activate_cart(&admin).await;
    let odd = json!({"path": "static/odd.bin", "content": "/wD+", "encoding": "base64"});
    send(
        &admin,
        Method::PUT,
        &format!("{REGISTRY}/cart-hamid/files"),
        odd,
    )
    .await
    .expect_ok();
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("work");
    let at = dir.to_str().unwrap();
    let run = async |args: &[&str]| crate::plugin_commands::printed(command(&app, args)).await;
    let said = run(&["plugin", "pull", "cart-hamid", at]).await;
    assert_eq!(said, "pulled cart-hamid: 7 files\n");
    assert_eq!(
        std::fs::read(dir.join("static/odd.bin")).unwrap(),
        [0xff, 0, 0xfe]
    );
    assert_eq!(
        std::fs::read_to_string(dir.join("utils/formatters.py")).unwrap(),
        EUROS
    );
    // Nothing has changed.
    assert_eq!(
        run(&["plugin", "push", at]).await,
        "pushed cart-hamid: 0 changes, and it serves\n"
    );
    // By an editor: the manifest as somebody likes it, a file more, one less.
    let manifest = std::fs::read_to_string(dir.join("plugin.json")).unwrap();
    let manifest = manifest.replace("  ", "\t");
    std::fs::write(dir.join("plugin.json"), &manifest).unwrap();
    std::fs::write(dir.join("utils/more.py"), "MORE = 1\n").unwrap();
    std::fs::create_dir(dir.join("__pycache__")).unwrap();
    std::fs::write(dir.join("__pycache__/x.pyc"), "x").unwrap();
    std::fs::remove_file(dir.join("README.md")).unwrap();
    let said = run(&["plugin", "push", at]).await;
    assert_eq!(said, "pushed cart-hamid: 3 changes, and it serves\n");
    let whole = admin
        .get(&format!("{REGISTRY}/cart-hamid"))
        .await
        .expect_ok();
    let files = whole["source_code"].as_array().unwrap();
    let of = |path: &str| {
        files
            .iter()
            .find(|file| file["path"] == path)
            .map(|file| file["content"].clone())
    };
    assert_eq!(of("plugin.json"), Some(json!(manifest)));
    assert_eq!(
        (of("utils/more.py"), of("README.md")),
        (Some(json!("MORE = 1\n")), None)
    );
    use_cart(&app).await;
    // Changed here and there: nobody's work is lost.
    put(
        &admin,
        "cart-hamid",
        "utils/more.py",
        "MORE = 2\n",
        json!(1),
    )
    .await
    .expect_ok();
    std::fs::write(dir.join("utils/more.py"), "MORE = 3\n").unwrap();
    for args in [
        ["plugin", "push", at, "--url"],
        ["plugin", "pull", "cart-hamid", at],
    ] {
        let args = if args[3] == "--url" {
            &args[..3]
        } else {
            &args[..]
        };
        let output = command(&app, args).output().await.unwrap();
        assert!(!output.status.success(), "{args:?}");
    }
    // A directory becomes a stored plugin.
    let new = room.path().join("from-disk");
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("logic.py"), greeting("disk")).unwrap();
    run(&["plugin", "push", new.to_str().unwrap()]).await;
    post(&admin, &format!("{REGISTRY}/from-disk/activate"), json!({}))
        .await
        .expect_ok();
    assert_eq!(says(&app.user("bob"), "from-disk").await, "disk");
}
