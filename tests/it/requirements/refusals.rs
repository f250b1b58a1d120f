//! What cannot be installed, or is not to be: the plugin says so, and the others serve.

use super::*;

async fn error_of(app: &TestApp, plugin: &str) -> String {
    let shown = loaded(app, plugin).await;
    assert_eq!(shown["status"], "error", "{shown}");
    let answer = app.user("u").execute(plugin, &json!({})).await;
    answer.expect_error(503, "PLUGIN_UNAVAILABLE");
    shown["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_an_index_the_plugin_says_so_and_the_others_serve() {
    let wheels = Wheels::new();
    let data = TempDir::new().unwrap();
    let app = wheels
        .gateway()
        .dev()
        .data_dir(data.path())
        .plugin("lacking", ECHO)
        .file("lacking/requirements.txt", "nothing-of-this-name>=1\n")
        .plugin("bystander", ECHO)
        .start()
        .await;
    let told = error_of(&app, "lacking").await;
    assert!(
        told.starts_with("its requirements could not be installed: pip: ERROR"),
        "{told}"
    );
    assert!(told.contains("nothing-of-this-name"), "{told}");
    assert!(told.contains("install.log"), "{told}");
    let log = data.path().join("sites/lacking/install.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("nothing-of-this-name"), "{log}");
    assert!(sites(data.path(), "lacking").is_empty());
    let answer = app.user("u").execute("bystander", &json!({})).await;
    answer.expect_ok();
    let failures = "mozaiks_plugin_requirements_failures_total";
    assert_eq!(app.metric(failures).await, 1.0);
}

#[tokio::test]
async fn an_index_that_does_not_answer_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let index = format!("http://me:hidden@{}/simple", silent.local_addr().unwrap());
    let app = with_sdk()
        .env("PIP_INDEX_URL", &index)
        .env("PIP_FIND_LINKS", "")
        .env("MOZAIKS_REQUIREMENTS_INSTALLER", "pip")
        .env("MOZAIKS_REQUIREMENTS_TIMEOUT_SECONDS", "2")
        .dev()
        .plugin("waiting", ECHO)
        .file("waiting/requirements.txt", "nothing-of-this-name\n")
        .start()
        .await;
    let told = error_of(&app, "waiting").await;
    assert!(
        told.contains("pip was not done after 2 s (requirements_timeout_seconds)"),
        "{told}"
    );
    assert!(!told.contains("hidden") && !app.log_text().contains("hidden"));
}

#[tokio::test]
async fn options_of_installers_are_no_requirements() {
    let wheels = Wheels::new();
    let mut builder = wheels.gateway().dev().plugin("bystander", ECHO);
    let cases = [
        (
            "index",
            "--index-url=http://127.0.0.1:9/simple",
            "\"--index-url\"",
        ),
        ("nested", "-r other.txt", "\"-r\""),
        ("editable", "-e .", "\"-e\""),
        ("file", "tiny-thing @ file:///tmp/x.whl", "names a place"),
        ("git", "git+https://example.invalid/x.git", "names a place"),
        ("odd", "tiny-thing==1.*.2", "no requirement (PEP 508)"),
    ];
    for (plugin, requirement, _) in cases {
        builder = builder.plugin(plugin, ECHO).file(
            &format!("{plugin}/requirements.txt"),
            &format!("{requirement}\n"),
        );
    }
    let app = builder
        .plugin("manifest", ECHO)
        .file(
            "manifest/plugin.json",
            &manifest(&["a", "--pre b"], "inline"),
        )
        .start()
        .await;
    for (plugin, _, named) in cases {
        let told = error_of(&app, plugin).await;
        assert!(told.contains(named), "{plugin}: {told}");
    }
    let told = error_of(&app, "manifest").await;
    assert!(told.starts_with("requirements[1]: \"--pre\""), "{told}");
    let installed = "mozaiks_plugin_requirements_installed_total";
    assert_eq!(app.metric(installed).await, 0.0);
    let answer = app.user("u").execute("bystander", &json!({})).await;
    answer.expect_ok();
}

#[tokio::test]
async fn the_environments_packages_come_first_in_a_process_of_many() {
    let wheels = Wheels::new();
    // PyMongo needs this one, so every environment of a gateway has it.
    wheels.add("dnspython", "0.0.1", "VERSION = \"0.0.1\"\n");
    let logic = "import dnspython\n\nasync def execute(data):\n    \
                 return {\"version\": dnspython.VERSION}\n";
    let app = wheels
        .gateway()
        .dev()
        .plugin("inside", logic)
        .file(
            "inside/plugin.json",
            &manifest(&["dnspython==0.0.1"], "inline"),
        )
        .plugin("apart", logic)
        .file(
            "apart/plugin.json",
            &manifest(&["dnspython==0.0.1"], "dedicated"),
        )
        .start()
        .await;
    let told = error_of(&app, "inside").await;
    assert!(
        told.starts_with("it needs dnspython==0.0.1, and the gateway's environment has dnspython "),
        "{told}"
    );
    loaded(&app, "apart").await;
    assert_eq!(version(&app, "apart").await, "0.0.1");
}
