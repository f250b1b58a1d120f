//! Collections of which each user has the own documents alone: two apps and two users, in every pair and
//! by every way.

use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Claims, TestApp, TestClient},
};

const DIARY: &str = include_str!("diary.py");

async fn started(app_id: &str) -> TestApp {
    with_sdk()
        .plugin("diary", DIARY)
        .file(
            "diary/plugin.json",
            r#"{"permissions": {"database": [{"collection": "diary", "scope": "user"}]}}"#,
        )
        .env("MOZAIKS_APP_ID", app_id)
        .start()
        .await
}

struct Person {
    app: &'static str,
    user: &'static str,
    client: TestClient,
}

async fn people(app: &TestApp) -> Vec<Person> {
    let mut people = Vec::new();
    // Ids that differ in case alone are two.
    for (tenant, user) in [("a", "ann"), ("a", "Ann"), ("b", "ann"), ("b", "bob")] {
        let client = app.with_claims(&Claims::user(user).with("app_id", tenant));
        client
            .execute("diary", &json!({ "action": "write" }))
            .await
            .expect_ok();
        people.push(Person {
            app: tenant,
            user,
            client,
        });
    }
    people
}

async fn names(client: &TestClient, kind: &str) -> Vec<String> {
    let names = client.execute("diary", &json!({ "action": "names" })).await;
    serde_json::from_value(names.expect_ok()[kind].clone()).unwrap()
}

async fn attempt(person: &Person, kind: &str, name: &str, other: &str) -> Value {
    let call = json!({ "kind": kind, "name": name, "other": other });
    person.client.execute("diary", &call).await.expect_ok()
}

async fn assert_untouched(people: &[Person]) {
    for person in people {
        let mine = person
            .client
            .execute("diary", &json!({ "action": "mine" }))
            .await
            .expect_ok();
        let texts: Vec<_> = (0..3)
            .map(|n| format!("{}/{}/{n}", person.app, person.user))
            .collect();
        assert_eq!(
            mine["texts"],
            json!(texts),
            "{}/{}",
            person.app,
            person.user
        );
        assert_eq!(mine["owners"], json!([person.user]));
    }
}

#[tokio::test]
async fn nothing_crosses_between_users_or_apps() {
    let app = started("*").await;
    let people = people(&app).await;
    let kinds = ["looks", "changes", "refused"];
    for person in &people {
        for kind in kinds {
            for name in names(&person.client, kind).await {
                for other in people.iter().map(|other| other.user) {
                    let is_own = other == person.user;
                    if is_own && kind != "looks" {
                        // What they do to their own they may.
                        continue;
                    }
                    if is_own && matches!(name.as_str(), "modify" | "take") {
                        continue;
                    }
                    let done = attempt(person, kind, &name, other).await;
                    let what = format!("{}/{} {name} {other}: {done}", person.app, person.user);
                    match kind {
                        "refused" => assert!(done["denied"].is_string(), "{what}"),
                        _ => assert!(done["found"].is_string(), "{what}"),
                    }
                    let found = done["found"].as_str().unwrap_or_default();
                    for theirs in &people {
                        if (theirs.app, theirs.user) != (person.app, person.user) {
                            let text = format!("{}/{}/", theirs.app, theirs.user);
                            assert!(!found.contains(&text), "{what}");
                        }
                    }
                }
            }
        }
    }
    // What one may find is found: the attempts above had something to miss.
    for name in [
        "find",
        "lookup",
        "lookup_deep",
        "union",
        "graph",
        "group",
        "facet",
        "transaction",
    ] {
        let found = attempt(&people[0], "looks", name, "nobody").await;
        let found = found["found"].as_str().unwrap();
        assert!(found.contains("a/ann/0"), "{name}: {found}");
    }
    assert_untouched(&people).await;
    let shown = app
        .with_claims(
            &Claims::user("root")
                .with("app_id", "b")
                .with("roles", vec!["admin"]),
        )
        .get("/api/plugins/diary")
        .await
        .expect_ok();
    let denials = shown["denials"].as_array().unwrap();
    assert!(!denials.is_empty(), "{shown}");
    assert!(
        denials.iter().all(|denial| denial["app_id"] == "b"),
        "{denials:?}"
    );
}

#[tokio::test]
async fn a_cursor_of_one_users_call_is_not_for_another() {
    let app = started("default").await;
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    for client in [&ann, &bob] {
        client
            .execute("diary", &json!({ "action": "write" }))
            .await
            .expect_ok();
    }
    let ask = async |client: &TestClient, action: &str| {
        let answer = client.execute("diary", &json!({ "action": action })).await;
        answer.expect_ok()
    };
    assert_eq!(ask(&ann, "open_cursor").await["text"], "default/ann/0");
    let stolen = ask(&bob, "read_cursor").await;
    assert_eq!(stolen["refused"], "CursorNotFound", "{stolen}");
}

#[tokio::test]
async fn work_without_a_user_has_no_documents_of_users() {
    let app = started("default").await;
    let answer = app.anonymous().get("/api/plugins/diary/nobody").await;
    let denied = answer.expect_ok()["denied"].clone();
    assert!(
        denied.as_str().unwrap().starts_with("database:diary"),
        "{denied}"
    );
}
