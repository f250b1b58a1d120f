//! `mozaiks plugin install-requirements`: what a gateway in production needs it for.

use std::process::Output;

use reqwest::Method;

use super::*;
use crate::{plugin_commands::mozaiks, support::Answer};

async fn install(wheels: &Wheels, plugins: &Path, data: &Path, names: &[&str]) -> Output {
    let mut command = mozaiks(&["plugin", "install-requirements"]);
    command
        .args(names)
        .arg("--plugins")
        .arg(plugins)
        .arg("--data-dir")
        .arg(data)
        .envs(wheels.environment());
    within(LIMIT, command.output()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn in_production_nothing_is_installed_without_the_command() {
    let wheels = Wheels::new();
    let data = TempDir::new().unwrap();
    let app = wheels
        .gateway()
        .data_dir(data.path())
        .plugin("mine", TELLS)
        .file("mine/requirements.txt", "tiny-thing==1.0\n")
        .plugin("bystander", ECHO)
        .start()
        .await;
    let shown = loaded(&app, "mine").await;
    assert_eq!(shown["status"], "error", "{shown}");
    let told = shown["error"].as_str().unwrap();
    assert!(
        told.starts_with("its requirements are not installed (tiny-thing==1.0): ")
            && told.contains("`mozaiks plugin install-requirements mine`"),
        "{told}"
    );
    assert!(sites(data.path(), "mine").is_empty());
    let answer = app.user("u").execute("bystander", &json!({})).await;
    answer.expect_ok();

    let done = install(&wheels, app.plugins_dir(), data.path(), &[]).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        text(&done.stdout),
        "ok    bystander: requires nothing\nok    mine: installed tiny-thing 1.0\n"
    );
    let reload = app
        .admin()
        .request(Method::POST, "/api/plugins/mine/reload");
    Answer::of(reload).await.expect_ok();
    assert_eq!(version(&app, "mine").await, "1.0");
    let again = install(&wheels, app.plugins_dir(), data.path(), &["mine"]).await;
    assert_eq!(text(&again.stdout), "ok    mine: has tiny-thing 1.0\n");
    // What a developer's other commands look at finds it too.
    let mut check = mozaiks(&["plugin", "validate"]);
    check
        .arg(app.plugins_dir().join("mine"))
        .arg("--data-dir")
        .arg(data.path());
    let checked = within(LIMIT, check.output()).await.unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn two_at_once_make_one_site_and_one_failure_keeps_nobody() {
    let wheels = Wheels::new();
    let (data, plugins) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (path, text) in [
        ("lacking/logic.py", ECHO),
        ("lacking/requirements.txt", "nothing-of-this-name\n"),
        ("mine/logic.py", TELLS),
        ("mine/requirements.txt", "tiny-thing==2.0\n"),
    ] {
        let path = plugins.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let one = |names| install(&wheels, plugins.path(), data.path(), names);
    let (first, second) = tokio::join!(one(&["mine"]), one(&["mine"]));
    let said = [text(&first.stdout), text(&second.stdout)];
    assert!(
        said.contains(&"ok    mine: installed tiny-thing 2.0\n"),
        "{said:?}"
    );
    assert!(
        said.contains(&"ok    mine: has tiny-thing 2.0\n"),
        "{said:?}"
    );
    assert_eq!(sites(data.path(), "mine").len(), 1);
    // What somebody has left behind who was killed in the middle goes with the next installation.
    let left = data.path().join("sites/mine/.unfinished-1-1");
    std::fs::create_dir(&left).unwrap();
    let file = plugins.path().join("mine/requirements.txt");
    std::fs::write(file, "tiny-thing==1.0\n").unwrap();
    let all = one(&[]).await;
    assert_eq!(all.status.code(), Some(1));
    let said = text(&all.stdout);
    assert!(said.contains("FAIL  lacking: pip: ERROR"), "{said}");
    assert!(
        said.contains("ok    mine: installed tiny-thing 1.0\n"),
        "{said}"
    );
    // The one before is used by nobody.
    assert_eq!(sites(data.path(), "mine").len(), 1);
    assert!(!left.exists());
    let unknown = one(&["nobody"]).await;
    assert_eq!(unknown.status.code(), Some(2));
}
