//! Typed actions: checked before any code of the plugin runs, called with values of their types, in every
//! place a plugin can run; and what tries to get round that.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, TestApp, within},
};

const SOON: Duration = Duration::from_secs(60);

const TYPED: &str = r#"
from __future__ import annotations
import datetime as dt
from dataclasses import dataclass, field
from core.actions import ActionError, Call, action

SEEN = []

@action("create")
async def create(call: Call, title: str, due: dt.datetime | None = None) -> Task:
    """Makes a task."""
    SEEN.append(title)
    return Task(title, call.user_id, due)

@action("plain")
def plain(call: Call, numbers: list[int], user_id: str, app_id: str, action: str, _context: dict):
    call.ctx.logger.info("asked", asked=len(numbers))
    return {"sum": sum(numbers), "who": [user_id, app_id, action, _context["user_id"], call.user_id],
            "plugin": call.ctx.plugin.name}

@action("order")
async def order(order: Order) -> Order:
    return order

@action("tree")
async def tree(tree: Tree) -> int:
    depth = 0
    while tree.children:
        depth, tree = depth + 1, tree.children[0]
    return depth

@action("count")
async def count(items: list[Item]) -> int:
    return sum(item.n for item in items)

@action("refuse")
def refuse():
    raise ActionError("there is no such task", "NOT_FOUND", asked=7)

@action("seen")
async def seen() -> list[str]:
    return SEEN

@action("odd")
async def odd() -> Task:
    return None

@dataclass
class Task:
    title: str
    owner: str
    due: dt.datetime | None = None

@dataclass
class Order:
    title: str
    user_id: str
    app_id: str
    nested: dict[str, str] = field(default_factory=dict)

@dataclass
class Tree:
    label: str
    children: list[Tree] = field(default_factory=list)

@dataclass
class Item:
    n: int
"#;

fn typed(manifest: &str) -> Builder {
    with_sdk()
        .plugin("typed", TYPED)
        .file("typed/plugin.json", manifest)
}

async fn call(app: &TestApp, body: Value) -> Answer {
    app.user("ann").execute("typed", &body).await
}

/// What holds wherever the plugin runs.
async fn works(app: &TestApp) {
    let made = call(
        app,
        json!({"action": "create", "title": "Milk", "due": "2026-03-01T10:00:00+01:00"}),
    );
    let due = "2026-03-01T10:00:00+01:00";
    assert_eq!(
        made.await.expect_ok(),
        json!({"title": "Milk", "owner": "ann", "due": due})
    );
    for (body, path) in [
        (json!({"action": "create"}), "/title"),
        (json!({"action": "create", "title": 7}), "/title"),
        (
            json!({"action": "create", "title": "x", "due": "soon"}),
            "/due",
        ),
        (
            json!({"action": "create", "title": "x", "titel": "y"}),
            "/titel",
        ),
        (
            json!({"action": "create", "title": "x", "call": {}}),
            "/call",
        ),
        (
            json!({"action": "plain", "numbers": [1, "x"]}),
            "/numbers/1",
        ),
        (json!({"action": "creat"}), "/action"),
        (json!({}), "/action"),
        (json!({"action": 7}), "/action"),
    ] {
        let refused = call(app, body).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(refused["details"]["path"], path, "{refused}");
    }
    let plain = call(app, json!({"action": "plain", "numbers": [1, 2.0]}))
        .await
        .expect_ok();
    assert_eq!(
        plain["who"],
        json!(["ann", "default", "plain", "ann", "ann"])
    );
    assert_eq!(
        (&plain["sum"], &plain["plugin"]),
        (&json!(3), &json!("typed"))
    );
    let refused = call(app, json!({"action": "refuse"})).await;
    let refused = refused.expect_domain_failure(404, "NOT_FOUND");
    assert_eq!(
        (&refused["error"], &refused["asked"]),
        (&json!("there is no such task"), &json!(7))
    );
    let seen = call(app, json!({"action": "seen"})).await.expect_ok();
    assert_eq!(
        seen,
        json!({"result": ["Milk"]}),
        "nothing ran of what was refused"
    );
}

#[tokio::test]
async fn actions_are_checked_and_called_inline() {
    let app = typed("{}").start().await;
    works(&app).await;
    let odd = call(&app, json!({"action": "odd"})).await;
    odd.expect_error(500, "PLUGIN_BAD_RESULT");
    let refused = call(&app, json!({"action": "creat"})).await.json();
    assert_eq!(refused["details"]["nearest"], "create");
    assert!(
        refused["error"].as_str().unwrap().contains("create, plain"),
        "{refused}"
    );
}

#[tokio::test]
async fn actions_are_checked_and_called_in_workers() {
    for mode in ["shared", "dedicated"] {
        let manifest = format!(r#"{{"name": "typed", "isolation": "{mode}"}}"#);
        let app = typed(&manifest).env("MOZAIKS_WORKERS", "1").start().await;
        works(&app).await;
        let shown = app.admin().get("/api/plugins/typed").await.expect_ok();
        assert_eq!(shown["isolation"]["mode"], mode);
    }
}

#[tokio::test]
async fn nobody_says_who_they_are() {
    let app = typed("{}").start().await;
    for faked in [json!("eve"), json!(7), json!(null), json!({"a": 1})] {
        let mut body = json!({"action": "plain", "numbers": []});
        for name in ["user_id", "app_id", "_context", "_entitlements", "user_jwt"] {
            body[name] = faked.clone();
        }
        let plain = call(&app, body.clone()).await.expect_ok();
        assert_eq!(
            plain["who"],
            json!(["ann", "default", "plain", "ann", "ann"])
        );
        body["action"] = "order".into();
        body["title"] = "x".into();
        body.as_object_mut().unwrap().remove("numbers");
        // Further in it is data like any other.
        body["nested"] = json!({"user_id": "bob"});
        let order = call(&app, body).await.expect_ok();
        assert_eq!(
            order,
            json!({"title": "x", "user_id": "ann", "app_id": "default", "nested": {"user_id": "bob"}})
        );
    }
    // Of names given twice the last counts, for the check and for the action.
    let twice =
        r#"{"action": "seen", "title": 7, "action": "create", "title": "x", "user_id": "eve"}"#;
    let made = app
        .user("ann")
        .execute_raw("typed", twice)
        .await
        .expect_ok();
    assert_eq!(made["owner"], "ann");
    let escaped = r#"{"\u0061ction": "order", "title": "x", "user\u005fid": "eve"}"#;
    let order = app
        .user("ann")
        .execute_raw("typed", escaped)
        .await
        .expect_ok();
    assert_eq!(order["user_id"], "ann");
}

#[tokio::test]
async fn large_and_deep_bodies_are_checked_to_the_last_item() {
    let app = typed("{}").start().await;
    let mut items: Vec<Value> = (0..10_000).map(|n| json!({ "n": n })).collect();
    let body = |items: &[Value]| json!({"action": "count", "items": items});
    let counted = call(&app, body(&items)).await.expect_ok();
    assert_eq!(counted, json!({"result": 49_995_000}));
    items[9_999] = json!({"n": "x"});
    let refused = call(&app, body(&items))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    assert_eq!(refused["details"]["path"], "/items/9999/n");
    let wrong = vec![json!("x"); 200_000];
    let refused = call(&app, body(&wrong)).await;
    assert!(refused.text.len() < 1000, "{}", refused.text);
    refused.expect_error(422, "VALIDATION_ERROR");

    let nested = |leaf: Value, levels: usize| {
        (0..levels).fold(leaf, |inner, _| json!({"label": "x", "children": [inner]}))
    };
    let tree = |leaf: Value, levels: usize| {
        let mut tree = nested(leaf, levels);
        tree["action"] = "tree".into();
        tree
    };
    let deep = call(&app, tree(json!({"label": "x"}), 30))
        .await
        .expect_ok();
    assert_eq!(deep, json!({"result": 30}));
    let refused = call(&app, tree(json!({"label": 7}), 30)).await;
    let refused = refused.expect_error(422, "VALIDATION_ERROR");
    let path = "/children/0".repeat(30) + "/label";
    assert_eq!(refused["details"]["path"], path);
    let deeper = call(&app, tree(json!({"label": "x"}), 40)).await;
    deeper.expect_error(400, "INVALID_JSON");
    for (body, code) in [("{", "INVALID_JSON"), ("[]", "INVALID_REQUEST")] {
        app.user("ann")
            .execute_raw("typed", body)
            .await
            .expect_error(400, code);
    }
    let path = call(
        &app,
        json!({"action": "create", "title": "x", "x".repeat(5000): 1}),
    )
    .await;
    assert!(path.text.len() < 3000, "{}", path.text);
}

const BOTH: &str = r#"
from core.actions import Call, action

@action("typed")
async def typed(n: int) -> int:
    return n

@action("plain")
def plain(n: int) -> int:
    return n

def execute(data):
    return {"rest": data.get("action"), "n": data.get("n"), "user": data["user_id"]}
"#;

const AROUND: &str = r#"
async def on_load(ctx):
    async def layer(request, call_next):
        answer = await call_next(request)
        return {**answer, "layer": request.user.user_id, "ctx": ctx.plugin.name}
    ctx.register_middleware(layer)
"#;

#[tokio::test]
async fn what_names_no_action_is_executes() {
    let around = format!("{BOTH}{AROUND}");
    let app = with_sdk()
        .plugin("typed", BOTH)
        .plugin("around", &around)
        .start()
        .await;
    for (plugin, layer) in [
        ("typed", json!({})),
        ("around", json!({"layer": "ann", "ctx": "around"})),
    ] {
        let ann = app.user("ann");
        let with_layer = |mut answer: Value| {
            answer
                .as_object_mut()
                .unwrap()
                .extend(layer.as_object().unwrap().clone());
            answer
        };
        for name in ["typed", "plain"] {
            let answer = ann.execute(plugin, &json!({"action": name, "n": 7})).await;
            assert_eq!(answer.expect_ok(), with_layer(json!({"result": 7})));
            let refused = ann
                .execute(plugin, &json!({"action": name, "n": "x"}))
                .await;
            let refused = refused.expect_error(422, "VALIDATION_ERROR");
            assert_eq!(refused["details"]["path"], "/n");
        }
        for rest in [json!("other"), json!(7), json!(null)] {
            let answer = ann
                .execute(plugin, &json!({"action": rest, "n": "x"}))
                .await;
            let expected = json!({"rest": rest, "n": "x", "user": "ann"});
            assert_eq!(answer.expect_ok(), with_layer(expected));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_an_action_says_which_parameter() {
    let broken = |code: &str| format!("from core.actions import Call, action\n{code}\n");
    let app = with_sdk()
        .plugin("odd_type", &broken("class Odd: ...\n@action('a')\ndef make(title: str, thing: Odd): ..."))
        .plugin("no_name", &broken("@action('a')\ndef make(title: 'Nowhere'): ..."))
        .plugin("twice", &broken("@action('a')\ndef one(): ...\n@action('a')\ndef two(): ..."))
        .plugin("stream", &broken("@action('a')\nasync def pieces(call: Call):\n    yield 1"))
        .plugin("bad_name", &broken("@action('a b')\ndef make(): ..."))
        .plugin("hidden", &broken("@action('a')\ndef make(user_jwt: str): ..."))
        .plugin(
            "huge",
            &broken("from typing import Literal\nL = Literal[tuple('x' * 99 + str(n) for n in range(4000))]\n@action('a')\ndef make(one: L): ..."),
        )
        .plugin("many", &broken("for n in range(501):\n    @action(f'a{n}')\n    def make(): ..."))
        .plugin("well", &broken("@action('a')\ndef make(): return {'well': True}"))
        .start()
        .await;
    let said = async |plugin: &str| {
        let shown = app.admin().get(&format!("/api/plugins/{plugin}")).await;
        let shown = shown.expect_ok();
        assert_eq!(shown["status"], "error", "{shown}");
        shown["error"].as_str().unwrap().to_owned()
    };
    for (plugin, parts) in [
        (
            "odd_type",
            &[
                "logic.py, line 3",
                "make()",
                "parameter thing",
                "Odd has no form",
            ][..],
        ),
        ("no_name", &["make()", "parameter title", "Nowhere"]),
        ("twice", &["'a'", "one", "two"]),
        ("stream", &["pieces()", "a route"]),
        ("bad_name", &["'a b' is no name"]),
        ("hidden", &["make()", "user_jwt"]),
        ("huge", &["\"a\"", "262144 bytes"]),
        ("many", &["at most 500"]),
    ] {
        let said = said(plugin).await;
        for part in parts {
            assert!(said.contains(part), "{plugin}: {part} is not in {said}");
        }
        let refused = app
            .user("ann")
            .execute(plugin, &json!({"action": "a"}))
            .await;
        refused.expect_error(503, "PLUGIN_UNAVAILABLE");
    }
    let well = app
        .user("ann")
        .execute("well", &json!({"action": "a"}))
        .await;
    assert_eq!(well.expect_ok(), json!({"well": true}));
}

#[tokio::test]
async fn actions_are_those_of_the_load_that_serves() {
    let load = |name: &str, kind: &str| {
        format!(
            "from core.actions import action\n\n@action({name:?})\nasync def make(n: {kind}) -> {kind}:\n    return n\n"
        )
    };
    let app = with_sdk()
        .plugin("typed", &load("one", "int"))
        .start()
        .await;
    let (ann, admin) = (app.user("ann"), app.admin());
    let reload = async |code: &str| {
        std::fs::write(app.plugins_dir().join("typed/logic.py"), code).unwrap();
        Answer::of(admin.request(Method::POST, "/api/plugins/typed/reload")).await
    };
    let call =
        async |name: &str, n: Value| ann.execute("typed", &json!({"action": name, "n": n})).await;
    let names = async || {
        let shown = ann.get("/api/plugins/typed").await.expect_ok();
        let actions = shown["actions"].as_array().cloned().unwrap_or_default();
        actions
            .iter()
            .map(|each| each["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        call("one", json!(1)).await.expect_ok(),
        json!({"result": 1})
    );
    assert_eq!(names().await, ["one"]);
    reload(&load("two", "str")).await.expect_ok();
    call("one", json!(1))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    assert_eq!(
        call("two", json!("x")).await.expect_ok(),
        json!({"result": "x"})
    );
    assert_eq!(names().await, ["two"]);
    // What cannot be loaded leaves what serves.
    let failed = reload(&load("three", "complex")).await;
    let failed = failed.expect_error(409, "RELOAD_FAILED");
    assert!(failed.to_string().contains("parameter n"), "{failed}");
    assert_eq!(
        call("two", json!("x")).await.expect_ok(),
        json!({"result": "x"})
    );
    assert_eq!(names().await, ["two"]);
    reload("async def execute(data):\n    return {'plain': data['action']}\n")
        .await
        .expect_ok();
    assert_eq!(
        call("two", json!(7)).await.expect_ok(),
        json!({"plain": "two"})
    );
    assert_eq!(names().await, [""; 0]);
}

#[tokio::test]
async fn calls_go_on_while_actions_are_swapped() {
    let load = |n: usize| {
        format!(
            "from core.actions import action\n\n@action('a')\nasync def a(n: int = {n}) -> int:\n    return n\n"
        )
    };
    let app = with_sdk().plugin("typed", &load(0)).start().await;
    let (ann, admin) = (app.user("ann"), app.admin());
    let calling = async {
        let mut last = 0;
        while last < 3 {
            let answer = ann
                .execute("typed", &json!({"action": "a"}))
                .await
                .expect_ok();
            let now = answer["result"].as_u64().unwrap();
            assert!(now >= last, "a load that was replaced answers");
            last = now;
        }
    };
    let swapping = async {
        for n in 1..=3 {
            std::fs::write(app.plugins_dir().join("typed/logic.py"), load(n)).unwrap();
            let reloaded = admin.request(Method::POST, "/api/plugins/typed/reload");
            Answer::of(reloaded).await.expect_ok();
        }
    };
    within(SOON, async { tokio::join!(calling, swapping) }).await;
}
