//! What is told of typed actions: `/openapi.json`, `GET /api/plugins/{name}`, `/docs`, the types for clients,
//! and what `mozaiks plugin validate` makes of them.

use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    plugin_commands::{failed, mozaiks, printed},
    support::TestApp,
};

const TYPED: &str = r#"
from __future__ import annotations
import datetime as dt
from dataclasses import dataclass, field
from core.actions import Call, action

@dataclass
class Task:
    title: str
    owner: str
    below: list[Task] = field(default_factory=list)

@action("create")
async def create(call: Call, user_id: str, title: str, due: dt.date | None = None) -> Task:
    """Makes a task."""
    return Task(title, user_id)

@action("file:all")
async def file(task: Task) -> list[Task]:
    return [task]

@action("file_all")
async def file_all(n: int) -> int:
    return n
"#;

const BOTH: &str = r#"
from core.actions import action

@action("typed")
def typed(n: int) -> int:
    return n

def execute(data):
    return data
"#;

/// A schema with what it refers to in the document.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let whole = json!({
        "components": document["components"],
        "allOf": [schema],
    });
    jsonschema::draft202012::new(&whole).unwrap()
}

async fn document(app: &TestApp) -> Value {
    app.anonymous().get("/openapi.json").await.expect_ok()
}

#[tokio::test]
async fn the_description_lists_actions_as_alternatives() {
    let app = with_sdk()
        .plugin("typed", TYPED)
        .plugin("both", BOTH)
        .start()
        .await;
    let document = document(&app).await;
    let post = &document["paths"]["/api/execute/typed"]["post"];
    let schema = &post["requestBody"]["content"]["application/json"]["schema"];
    let fits = validator(&document, schema);
    let answered = validator(
        &document,
        &post["responses"]["200"]["content"]["application/json"]["schema"],
    );
    let ann = app.user("ann");
    for (body, good) in [
        (json!({"action": "create", "title": "x"}), true),
        (json!({"action": "create", "title": "x", "due": null}), true),
        (
            json!({"action": "file:all", "title": "x", "owner": "y", "below": [
            {"title": "a", "owner": "b", "below": []}]}),
            true,
        ),
        (json!({"action": "file_all", "n": 1}), true),
        (json!({"action": "file_all", "n": "x"}), false),
        (json!({"action": "create"}), false),
        (
            json!({"action": "file:all", "title": "x", "owner": "y", "below": [{"title": "a"}]}),
            false,
        ),
        (json!({"action": "none"}), false),
        (json!({}), false),
    ] {
        assert_eq!(fits.is_valid(&body), good, "{body}");
        let answer = ann.execute("typed", &body).await;
        assert_eq!(answer.status == 200, good, "{body}: {}", answer.text);
        if good {
            assert!(answered.is_valid(&answer.json()), "{}", answer.text);
        }
    }
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 3);
    let mapping = schema["discriminator"]["mapping"].as_object().unwrap();
    assert_ne!(mapping["file:all"], mapping["file_all"]);
    let create = mapping["create"].as_str().unwrap();
    let input = document.pointer(create.trim_start_matches('#')).unwrap();
    assert!(input["properties"].get("user_id").is_none(), "{input}");
    let listed = &post["x-actions"][0];
    assert_eq!(
        (&listed["name"], &listed["description"]),
        (&json!("create"), &json!("Makes a task."))
    );
    let text = document.to_string();
    assert!(
        !text.contains("#/$defs/"),
        "nothing refers to what is not there"
    );

    let both = &document["paths"]["/api/execute/both"]["post"];
    let schema = &both["requestBody"]["content"]["application/json"]["schema"];
    let fits = validator(&document, schema);
    assert!(fits.is_valid(&json!({"action": "anything"})) && fits.is_valid(&json!({})));
}

#[tokio::test]
async fn a_plugin_tells_users_of_its_actions() {
    let app = with_sdk()
        .plugin("typed", TYPED)
        .plugin("both", BOTH)
        .start()
        .await;
    let ann = app.user("ann");
    let shown = ann.get("/api/plugins/typed").await.expect_ok();
    let actions = shown["actions"].as_array().unwrap();
    let names: Vec<_> = actions
        .iter()
        .map(|action| action["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["create", "file:all", "file_all"]);
    assert_eq!(actions[0]["description"], "Makes a task.");
    let schema = jsonschema::draft202012::new(&actions[1]["input_schema"]).unwrap();
    let task = |below: Value| json!({"title": "a", "owner": "b", "below": below});
    let mut body = task(json!([task(json!([]))]));
    body["action"] = "file:all".into();
    assert!(schema.is_valid(&body));
    assert_eq!(
        actions[2]["result_schema"]["properties"]["result"]["type"],
        "integer"
    );
    let shown = app.admin().get("/api/plugins/typed").await.expect_ok();
    assert_eq!(shown["has_execute"], false);
    let shown = app.admin().get("/api/plugins/both").await.expect_ok();
    assert_eq!(shown["has_execute"], true);
    // The list stays short; what is off has none.
    let list = ann.get("/api/plugins").await.expect_ok();
    assert!(list["plugins"][0].get("actions").is_none());
    let off = app
        .admin()
        .request(reqwest::Method::POST, "/api/plugins/typed/enable");
    let off = off.json(&json!({"enabled": false})).send().await.unwrap();
    assert_eq!(off.status(), 200);
    assert!(
        ann.get("/api/plugins/typed")
            .await
            .expect_ok()
            .get("actions")
            .is_none()
    );
    assert!(
        document(&app).await["paths"]
            .get("/api/execute/typed")
            .is_none()
    );
}

#[tokio::test]
async fn types_are_written_for_clients() {
    let app = with_sdk()
        .plugin("typed", TYPED)
        .plugin("both", BOTH)
        .start()
        .await;
    let url = format!("http://{}", app.address);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("types.ts");
    let shown = out.display().to_string();
    let types = |more: &[&str]| {
        let mut command = mozaiks(&["plugin", "types", "--url", &url]);
        command.args(more);
        command
    };
    assert_eq!(
        printed(types(&["typed", "--out", &shown])).await,
        format!("wrote {shown}\n")
    );
    let text = std::fs::read_to_string(&out).unwrap();
    for part in [
        "export type TypedCreateInput = {\n",
        "  \"action\": \"create\";\n",
        "  \"due\"?: string | null;\n",
        "  \"below\"?: Array<TypedFileAllInputTask>;\n",
        "    /** Makes a task. */\n    \"create\": { input: TypedCreateInput; result: TypedCreateResult };\n",
        "    \"file:all\": {",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("user_id"), "{text}");
    assert!(!text.contains("\"both\""));
    assert!(printed(types(&[])).await.contains("\"both\""));
    let (code, said) = failed(types(&["tpyed"])).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("\"tpyed\"") && said.contains("both, typed"),
        "{said}"
    );
}

#[tokio::test]
async fn the_page_runs_its_own_script_and_no_other() {
    let app = TestApp::builder().start().await;
    let page = app.anonymous().get("/docs").await;
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        !policy.contains("unsafe-eval") && !policy.contains("script-src 'unsafe"),
        "{policy}"
    );
    let script = app.anonymous().get("/docs/actions.js").await;
    assert_eq!(
        script.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    for written in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!script.text.contains(written), "{written}");
    }
}

#[tokio::test]
async fn a_plugin_of_actions_alone_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path().join("typed");
    std::fs::create_dir(&plugin).unwrap();
    std::fs::write(plugin.join("__init__.py"), "").unwrap();
    std::fs::write(plugin.join("logic.py"), TYPED).unwrap();
    let path = plugin.display().to_string();
    let said = printed(mozaiks(&["plugin", "validate", &path])).await;
    assert_eq!(said, "ok    typed 0.0.0\n");
}
