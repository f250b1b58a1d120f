//! Bytecode of plugins, kept outside of their folders: later starts take it, and no plugin can plant any.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Builder, TestApp, TestClient, within};

const SOON: Duration = Duration::from_secs(60);
const CACHED: &str = "mozaiks_plugin_modules_cached_total";
const COMPILED: &str = "mozaiks_plugin_modules_compiled_total";

/// Says what it is made of; tries to leave bytecode behind for others where it is told to.
const SHOP: &str = r#"
import os
from .helper import PRICE

async def execute(data):
    tried = {}
    for path in data.get("write", []):
        for name in [path + "/planted.code", *[path + "/" + name for name in data.get("names", [])]]:
            try:
                with open(name, "wb") as file:
                    file.write(b"planted")
                tried[name] = "written"
            except OSError as error:
                tried[name] = type(error).__name__
    for path in data.get("list", []):
        try:
            tried[path] = len(os.listdir(path))
        except OSError as error:
            tried[path] = type(error).__name__
    return {"price": PRICE, "tried": tried}
"#;

/// A gateway over a plugins directory and a data directory that outlive it.
fn over(plugins: &Path, data: &Path) -> Builder {
    TestApp::builder().plugins_dir(plugins).data_dir(data)
}

fn write_shop(plugins: &Path, manifest: &str) -> PathBuf {
    let shop = plugins.join("shop");
    std::fs::create_dir_all(&shop).unwrap();
    for (name, text) in [
        ("__init__.py", ""),
        ("logic.py", SHOP),
        ("helper.py", "PRICE = 3\n"),
        ("plugin.json", manifest),
    ] {
        std::fs::write(shop.join(name), text).unwrap();
    }
    shop
}

/// The kept files of the plugin, once there are so many.
async fn kept(data: &Path, count: usize) -> Vec<PathBuf> {
    let folder = data.join("plugin_cache/shop");
    let find = async {
        loop {
            let found = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let found: Vec<PathBuf> = found
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "code"))
                .collect();
            if found.len() >= count {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    within(SOON, find).await
}

async fn price(client: &TestClient) -> i64 {
    let answer = client.execute("shop", &json!({})).await.expect_ok();
    answer["price"].as_i64().unwrap()
}

async fn end(mut app: TestApp) {
    app.signal("TERM");
    app.ended().await;
}

async fn a_second_start_compiles_nothing(manifest: &str) {
    let (plugins, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let shop = write_shop(plugins.path(), manifest);
    std::fs::set_permissions(&shop, Permissions::from_mode(0o555)).unwrap();
    let app = over(plugins.path(), data.path()).start().await;
    assert_eq!(price(&app.user("ann")).await, 3);
    assert_eq!(
        (app.metric(CACHED).await, app.metric(COMPILED).await),
        (0.0, 3.0)
    );
    kept(data.path(), 3).await;
    end(app).await;

    let app = over(plugins.path(), data.path()).start().await;
    assert_eq!(price(&app.user("ann")).await, 3);
    assert_eq!(
        (app.metric(CACHED).await, app.metric(COMPILED).await),
        (3.0, 0.0)
    );
    end(app).await;
    assert!(!shop.join("__pycache__").exists());

    // Other code is other bytecode, whatever its time and size; the rest is taken as it is.
    std::fs::set_permissions(&shop, Permissions::from_mode(0o755)).unwrap();
    std::fs::write(shop.join("helper.py"), "PRICE = 4\n").unwrap();
    let app = over(plugins.path(), data.path()).start().await;
    assert_eq!(price(&app.user("ann")).await, 4);
    assert_eq!(
        (app.metric(CACHED).await, app.metric(COMPILED).await),
        (2.0, 1.0)
    );
}

#[tokio::test]
async fn a_second_start_compiles_nothing_inline() {
    a_second_start_compiles_nothing("{}").await;
}

#[tokio::test]
async fn a_second_start_compiles_nothing_in_a_process_of_its_own() {
    a_second_start_compiles_nothing(r#"{"isolation": "dedicated"}"#).await;
}

#[tokio::test]
async fn what_is_broken_or_in_the_plugins_folder_is_not_used() {
    let (plugins, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let shop = write_shop(plugins.path(), "{}");
    let pycache = shop.join("__pycache__");
    std::fs::create_dir(&pycache).unwrap();
    for version in ["310", "311", "312", "313", "314"] {
        let name = format!("helper.cpython-{version}.pyc");
        std::fs::write(pycache.join(name), b"planted").unwrap();
    }
    let app = over(plugins.path(), data.path()).start().await;
    assert_eq!(price(&app.user("ann")).await, 3);
    let files = kept(data.path(), 3).await;
    end(app).await;
    // One is cut off, one empty, one another's content under its name.
    let whole = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &whole[..whole.len() - 1]).unwrap();
    std::fs::write(&files[1], b"").unwrap();
    std::fs::write(&files[2], [&[0; 32][..], &whole[32..]].concat()).unwrap();
    let app = over(plugins.path(), data.path()).start().await;
    assert_eq!(price(&app.user("ann")).await, 3);
    assert_eq!(
        (app.metric(CACHED).await, app.metric(COMPILED).await),
        (0.0, 3.0)
    );
    // They are made good.
    within(SOON, async {
        while std::fs::read(&files[0]).unwrap() != whole
            || files
                .iter()
                .any(|file| std::fs::metadata(file).unwrap().len() <= 32)
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    end(app).await;
    let app = over(plugins.path(), data.path())
        .env("MOZAIKS_PLUGIN_CACHE_BYTES", "0")
        .start()
        .await;
    assert_eq!(price(&app.user("ann")).await, 3);
    assert_eq!(
        (app.metric(CACHED).await, app.metric(COMPILED).await),
        (0.0, 3.0)
    );
}

#[tokio::test]
async fn a_plugin_of_its_own_process_plants_nothing() {
    let (plugins, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write_shop(plugins.path(), r#"{"isolation": "dedicated"}"#);
    let other = plugins.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("__init__.py"), "").unwrap();
    std::fs::write(
        other.join("logic.py"),
        "async def execute(data):\n    return {}\n",
    )
    .unwrap();
    let app = over(plugins.path(), data.path()).start().await;
    let files = kept(data.path(), 3).await;
    let before: Vec<_> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    let cache = data.path().canonicalize().unwrap().join("plugin_cache");
    let path = |below: &str| cache.join(below).to_str().unwrap().to_owned();
    let names: Vec<&str> = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    let asked = json!({
        "write": [path(""), path("shop"), path("other")],
        "names": names,
        "list": [path(""), path("other")],
    });
    let answer = app.user("ann").execute("shop", &asked).await.expect_ok();
    let tried = answer["tried"].as_object().unwrap();
    assert_eq!(tried.len(), 3 * 4 + 2, "{tried:?}");
    for (what, came) in tried {
        assert!(
            ["PermissionError", "OSError", "FileNotFoundError"]
                .contains(&came.as_str().unwrap_or("listed")),
            "{what}: {came}"
        );
    }
    let after: Vec<_> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert_eq!(before, after);
    end(app).await;
    let app = over(plugins.path(), data.path()).start().await;
    assert_eq!(price(&app.user("ann")).await, 3);
    assert!(app.metric(CACHED).await >= 3.0);
}

#[tokio::test]
async fn the_oldest_goes_where_there_is_no_room() {
    let (plugins, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write_shop(plugins.path(), "{}");
    let text: String = (0..400)
        .map(|n| format!("NAME_{n} = 'text {n}'\n"))
        .collect();
    std::fs::write(plugins.path().join("shop/large.py"), text).unwrap();
    let cache = data.path().join("plugin_cache/old");
    std::fs::create_dir_all(&cache).unwrap();
    let old = cache.join("old.code");
    std::fs::write(&old, vec![0; 64 * 1024]).unwrap();
    let _app = over(plugins.path(), data.path())
        .env("MOZAIKS_PLUGIN_CACHE_BYTES", "64KiB")
        .start()
        .await;
    within(SOON, async {
        while old.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(kept(data.path(), 4).await.len(), 4);
}
