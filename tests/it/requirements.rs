//! What plugins require is installed beside the environment, from wheels that the tests make: the real
//! installers, without an index.

mod command;
mod refusals;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    data::with_sdk,
    support::{Builder, TestApp, python, within},
};

/// An installation may have to wait for many others on a small machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Writes the wheel of a package with one module.
const MAKE_WHEEL: &str = r#"
import sys, zipfile
folder, name, version, code = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {
    f"{name}.py": code,
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    for path, text in {**files, f"{info}/RECORD": record}.items():
        wheel.writestr(path, text)
"#;

/// Says which version it has.
const TELLS: &str = "import tiny_thing\n\nasync def execute(data):\n    \
                     return {\"version\": tiny_thing.VERSION, \"file\": tiny_thing.__file__}\n";
const ECHO: &str = "async def execute(data):\n    return {\"served\": True}\n";

/// A folder of wheels: `tiny_thing` 1.0 and 2.0.
pub struct Wheels(TempDir);

impl Wheels {
    fn new() -> Self {
        let wheels = Self(TempDir::new().unwrap());
        for version in ["1.0", "2.0"] {
            wheels.add("tiny_thing", version, &format!("VERSION = {version:?}\n"));
        }
        wheels
    }

    fn add(&self, name: &str, version: &str, code: &str) {
        let made = Command::new(python().expect("a Python"))
            .args(["-c", MAKE_WHEEL])
            .arg(self.0.path())
            .args([name, version, code])
            .status();
        assert!(made.unwrap().success());
    }

    /// What an operator without an index sets.
    fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("PIP_NO_INDEX", "1".to_owned()),
            ("PIP_FIND_LINKS", self.0.path().display().to_string()),
            ("MOZAIKS_REQUIREMENTS_INSTALLER", "pip".to_owned()),
        ]
    }

    fn gateway(&self) -> Builder {
        let all = self.environment();
        all.iter().fold(with_sdk(), |builder, (name, value)| {
            builder.env(name, value)
        })
    }
}

fn manifest(requirements: &[&str], isolation: &str) -> String {
    json!({"requirements": requirements, "isolation": isolation}).to_string()
}

/// What admins see of a plugin once it has been loaded or has failed.
async fn loaded(app: &TestApp, plugin: &str) -> Value {
    let admin = app.admin();
    let path = format!("/api/plugins/{plugin}");
    within(LIMIT, async {
        loop {
            let shown = admin.get(&path).await.expect_ok();
            if shown["status"] != "loading" {
                return shown;
            }
        }
    })
    .await
}

async fn version(app: &TestApp, plugin: &str) -> Value {
    let answer = app.user("u").execute(plugin, &json!({})).await;
    answer.expect_ok()["version"].clone()
}

/// The sites of a plugin below a data directory.
fn sites(data_dir: &Path, plugin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_dir.join("sites").join(plugin));
    let entries = entries.into_iter().flatten().flatten();
    let mut dirs: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    dirs.sort();
    dirs
}

#[tokio::test]
async fn plugins_with_processes_of_their_own_have_versions_of_their_own() {
    let wheels = Wheels::new();
    let app = wheels
        .gateway()
        .dev()
        .plugin("old", TELLS)
        .file(
            "old/plugin.json",
            &manifest(&["tiny-thing==1.0"], "dedicated"),
        )
        .plugin("new", TELLS)
        .file("new/plugin.json", r#"{"isolation": "dedicated"}"#)
        .file("new/requirements.txt", "# the newest\ntiny.thing >= 1.5\n")
        .start()
        .await;
    for (plugin, expected) in [("old", "1.0"), ("new", "2.0")] {
        let shown = loaded(&app, plugin).await;
        assert_eq!(shown["status"], "active", "{shown}");
        assert_eq!(shown["installed"], json!({"tiny-thing": expected}));
        assert_eq!(version(&app, plugin).await, expected);
    }
    let installed = "mozaiks_plugin_requirements_installed_total";
    assert_eq!(app.metric(installed).await, 2.0);
}

#[tokio::test]
async fn in_one_process_the_second_version_is_refused_and_both_are_named() {
    for isolation in ["inline", "shared"] {
        let wheels = Wheels::new();
        let app = wheels
            .gateway()
            .dev()
            .plugin("one", TELLS)
            .file(
                "one/plugin.json",
                &manifest(&["tiny-thing==1.0"], isolation),
            )
            .plugin("two", TELLS)
            .file(
                "two/plugin.json",
                &manifest(&["tiny-thing==2.0"], isolation),
            )
            .plugin("bystander", ECHO)
            .start()
            .await;
        let (one, two) = (loaded(&app, "one").await, loaded(&app, "two").await);
        let (serving, refused, named) = match one["status"] == "active" {
            true => (
                "one",
                two,
                "two needs tiny-thing 2.0 and one needs tiny-thing 1.0",
            ),
            false => (
                "two",
                one,
                "one needs tiny-thing 1.0 and two needs tiny-thing 2.0",
            ),
        };
        let expected = if serving == "one" { "1.0" } else { "2.0" };
        assert_eq!(version(&app, serving).await, expected);
        assert_eq!(refused["status"], "error", "{refused}");
        assert_eq!(refused["last_error"]["step"], "requirements", "{refused}");
        let told = refused["error"].as_str().unwrap();
        assert!(told.starts_with(named), "{told}");
        assert!(told.contains("\"isolation\": \"dedicated\""), "{told}");
        let answer = app.user("u").execute("bystander", &json!({})).await;
        answer.expect_ok();
    }
}

#[tokio::test]
async fn changed_requirements_are_another_directory() {
    for isolation in ["inline", "shared", "dedicated"] {
        let wheels = Wheels::new();
        let data = TempDir::new().unwrap();
        let app = wheels
            .gateway()
            .dev()
            .data_dir(data.path())
            .plugin("mine", TELLS)
            .file(
                "mine/plugin.json",
                &json!({"isolation": isolation}).to_string(),
            )
            .file("mine/requirements.txt", "tiny-thing==1.0\n")
            .start()
            .await;
        loaded(&app, "mine").await;
        assert_eq!(version(&app, "mine").await, "1.0", "{isolation}");
        let first = sites(data.path(), "mine");
        assert_eq!(first.len(), 1, "{first:?}");
        let file = app.plugins_dir().join("mine/requirements.txt");
        std::fs::write(file, "tiny-thing==2.0\n").unwrap();
        within(LIMIT, async {
            while version(&app, "mine").await != "2.0" {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let shown = loaded(&app, "mine").await;
        assert_eq!(
            shown["installed"],
            json!({"tiny-thing": "2.0"}),
            "{isolation}"
        );
        let dirs = sites(data.path(), "mine");
        assert!(dirs.iter().any(|dir| !first.contains(dir)), "{dirs:?}");
    }
}

#[tokio::test]
async fn what_the_environment_has_is_not_installed() {
    let wheels = Wheels::new();
    let data = TempDir::new().unwrap();
    // Not in development mode: nothing could be installed.
    let app = wheels
        .gateway()
        .data_dir(data.path())
        .plugin(
            "mine",
            "import pymongo\n\nasync def execute(data):\n    return {}\n",
        )
        .file(
            "mine/requirements.txt",
            "PyMongo>=4\nnever; python_version < '3'\n",
        )
        .start()
        .await;
    let shown = loaded(&app, "mine").await;
    assert_eq!(shown["status"], "active", "{shown}");
    assert_eq!(shown["installed"], json!({}));
    assert!(sites(data.path(), "mine").is_empty());
}

/// uv, where the machine has one.
fn uv() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MOZAIKS_TEST_UV") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|dir| dir.join("uv"));
    places.find(|uv| uv.is_file())
}

#[tokio::test]
async fn uv_installs_as_pip_does() {
    let Some(uv) = uv() else {
        eprintln!("skipped: there is no uv on PATH (or name one with MOZAIKS_TEST_UV)");
        return;
    };
    let wheels = Wheels::new();
    let dir = uv.parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(dir).chain(std::env::split_paths(&path)));
    let app = with_sdk()
        .env("PATH", path.unwrap().to_str().unwrap())
        .env("UV_NO_INDEX", "1")
        .env("UV_FIND_LINKS", wheels.0.path().to_str().unwrap())
        .env("UV_NO_CACHE", "1")
        .env("MOZAIKS_REQUIREMENTS_INSTALLER", "uv")
        .dev()
        .plugin("mine", TELLS)
        .file(
            "mine/plugin.json",
            &manifest(&["tiny-thing<2"], "dedicated"),
        )
        .plugin("missing", ECHO)
        .file("missing/requirements.txt", "nothing-of-this-name\n")
        .start()
        .await;
    let shown = loaded(&app, "mine").await;
    assert_eq!(shown["installed"], json!({"tiny-thing": "1.0"}), "{shown}");
    assert_eq!(version(&app, "mine").await, "1.0");
    let shown = loaded(&app, "missing").await;
    let told = shown["error"].as_str().unwrap();
    assert!(
        told.starts_with("its requirements could not be installed: uv: "),
        "{told}"
    );
    assert!(told.contains("nothing-of-this-name"), "{told}");
}
