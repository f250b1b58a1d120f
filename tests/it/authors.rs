//! What authors of plugins are told: the place in their own files, and what helps.

use serde_json::{Value, json};

use crate::{data::with_sdk, support::TestApp};

async fn trouble(app: &TestApp, plugin: &str) -> (String, String) {
    let shown: Value = (app.admin())
        .get(&format!("/api/plugins/{plugin}"))
        .await
        .expect_ok();
    let error = &shown["last_error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("summary"), text("traceback"))
}

#[tokio::test]
async fn a_failed_import_says_where_it_is_and_what_helps() {
    let app = with_sdk()
        .plugin("missing", "import os\n\nimport nothing_there.at_all\n")
        .plugin("own", "import helper\n")
        .file("own/helper.py", "")
        .plugin("deep", "from .helper import x\n")
        .file("deep/helper.py", "def f():\n    return 1 / 0\n\nx = f()\n")
        .plugin("old", "from core.plugin_manager import plugin_manager\n")
        .plugin("older", "from plugins.older.helper import x\n")
        .start()
        .await;
    let (told, traceback) = trouble(&app, "missing").await;
    assert!(told.contains("(at logic.py, line 3; `"), "{told}");
    assert!(
        told.contains("-m pip install nothing_there` installs it"),
        "{told}"
    );
    // From the author's own line on: nothing of the machinery before it.
    let frames: Vec<&str> = traceback
        .lines()
        .filter(|line| line.contains("File \""))
        .collect();
    assert!(
        frames[0].contains("/missing/logic.py\", line 3"),
        "{traceback}"
    );
    assert!(
        !traceback.contains("<mozaiks>") && !traceback.contains("importlib"),
        "{traceback}"
    );

    let (told, _) = trouble(&app, "own").await;
    assert!(told.contains("write `from .helper import …`"), "{told}");
    let (told, traceback) = trouble(&app, "deep").await;
    assert!(
        told.contains("ZeroDivisionError") && told.contains("at helper.py, line 2"),
        "{told}"
    );
    assert!(traceback.contains("x = f()"), "{traceback}");
    for (plugin, instead) in [
        ("old", "they do not call each other"),
        ("older", "from .module"),
    ] {
        let (told, _) = trouble(&app, plugin).await;
        assert!(
            told.contains(instead) && told.contains("logic.py, line 1"),
            "{told}"
        );
        assert!(!told.contains("pip install"), "{told}");
    }
}

#[tokio::test]
async fn tracebacks_begin_in_the_plugin() {
    let app = with_sdk()
        .plugin(
            "raises",
            "async def execute(data):\n    return {'x': {}['lost']}\n",
        )
        .dev()
        .start()
        .await;
    let answer = app.user("ann").execute("raises", &json!({})).await;
    let told = answer.expect_error(500, "PLUGIN_ERROR");
    let traceback = told["details"]["traceback"].as_str().unwrap();
    let first = traceback
        .lines()
        .find(|line| line.contains("File \""))
        .unwrap();
    assert!(first.contains("/raises/logic.py\", line 2"), "{traceback}");
    assert!(traceback.contains("KeyError: 'lost'"), "{traceback}");
}
