//! Groups of connections through the real gateway, from plugins in it and in processes of their own.

use serde_json::{Value, json};

use crate::{
    realtime::Socket,
    support::{Builder, Claims, TestApp},
};

fn gateway() -> Builder {
    TestApp::builder().plugins(&["rooms"])
}

async fn ask(app: &TestApp, claims: &Claims, data: Value) -> Value {
    app.with_claims(claims)
        .execute("rooms", &data)
        .await
        .expect_ok()
}

fn host() -> Claims {
    Claims::user("host")
}

fn of_app(app: &str, user: &str) -> Claims {
    Claims::user(user).with("app_id", app)
}

/// A room from the first member to the last, in whichever process the plugin runs.
async fn a_room_lives(isolation: &str) {
    let app = gateway()
        .env("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", isolation)
        .start()
        .await;
    let mut ann = Socket::open_as(&app, &Claims::user("ann"), "/ws?recover=true").await;
    let mut tab = Socket::open(&app, "ann").await;
    let mut bob = Socket::open(&app, "bob").await;
    // The plugin decides who may.
    bob.say(&json!({"type": "room.enter", "room": "ann:1"}))
        .await;
    assert_eq!(bob.message().await["type"], "room.closed");
    ann.say(&json!({"type": "room.enter", "room": "ann:1"}))
        .await;
    let mut said = [ann.message().await, ann.message().await];
    said.sort_by_key(|message| message["type"].to_string());
    assert_eq!(said[0]["type"], "group_presence");
    assert_eq!(said[0]["joined"], json!(["ann"]));
    assert_eq!(
        said[1],
        json!({"type": "room.open", "users": ["ann"], "count": 1})
    );
    let entered = json!({"do": "enter", "room": "ann:1", "target": "bob"});
    assert_eq!(ask(&app, &host(), entered).await["count"], 1);
    for socket in [&mut ann, &mut bob] {
        let news = socket.message().await;
        assert_eq!(news["joined"], json!(["bob"]), "{news}");
        assert_eq!(
            (&news["count"], &news["_group"]),
            (&json!(2), &json!("ann:1"))
        );
    }
    let message = json!({"type": "said", "text": "hello", "_group": "forged"});
    let say = json!({"do": "say", "room": "ann:1", "message": message});
    assert_eq!(ask(&app, &host(), say.clone()).await["reached"], 2);
    let heard = ann.message().await;
    assert_eq!(
        (&heard["text"], &heard["_group"]),
        (&json!("hello"), &json!("ann:1"))
    );
    assert_eq!(
        bob.message().await,
        json!({"type": "said", "text": "hello", "_group": "ann:1"})
    );
    assert!(tab.drain().await.is_empty(), "the other tab is not in it");

    // A broken connection has what the room was sent meanwhile, and is in it again.
    let position = ann.position(heard["_offset"].as_u64().unwrap());
    let id = ann.connection_id().to_owned();
    drop(ann);
    let news = bob.message().await;
    assert_eq!(
        (&news["left"], &news["count"]),
        (&json!(["ann"]), &json!(1))
    );
    let later = json!({"do": "say", "room": "ann:1", "message": {"type": "said", "text": "later"}});
    assert_eq!(ask(&app, &host(), later).await["reached"], 1);
    let path = format!("/ws?recover=true&since={position}&connection={id}");
    let mut ann = Socket::open_as(&app, &Claims::user("ann"), &path).await;
    assert_eq!(ann.ack["recovered"], true);
    let missed: Vec<Value> = ann.drain().await;
    let texts: Vec<&Value> = missed.iter().filter_map(|one| one.get("text")).collect();
    assert_eq!(texts, [&json!("later")], "{missed:?}");
    let who = ask(&app, &host(), json!({"do": "who", "room": "ann:1"})).await;
    assert_eq!(who, json!({"users": ["ann", "bob"], "count": 2}));

    let out = |target: &str| json!({"do": "leave", "room": "ann:1", "target": target});
    assert_eq!(
        ask(&app, &host(), out(ann.connection_id())).await["left"],
        true
    );
    assert_eq!(ask(&app, &host(), out("ann")).await["left"], false);
    assert_eq!(ask(&app, &host(), out("bob")).await["left"], true);
    assert_eq!(ask(&app, &host(), say).await["reached"], 0);
    assert_eq!(app.metric("mozaiks_groups").await, 0.0);
    assert_eq!(app.metric("mozaiks_group_members").await, 0.0);
}

#[tokio::test]
async fn a_room_of_a_plugin_in_the_gateway() {
    a_room_lives("inline").await;
}

#[tokio::test]
async fn a_room_of_a_plugin_in_a_process_of_its_own() {
    a_room_lives("dedicated").await;
}

#[tokio::test]
async fn a_group_is_of_one_app() {
    let app = gateway().env("MOZAIKS_APP_ID", "*").start().await;
    let (shop, blog) = (of_app("shop", "ann"), of_app("blog", "ann"));
    let mut in_shop = Socket::open_as(&app, &shop, "/ws").await;
    let mut in_blog = Socket::open_as(&app, &blog, "/ws").await;
    for claims in [&shop, &blog] {
        let enter = json!({"do": "enter", "room": "r", "target": "ann"});
        assert_eq!(ask(&app, claims, enter).await["count"], 1);
    }
    // Whatever a client says, the app is the token's.
    let say = json!({
        "do": "say", "room": "r", "message": {"type": "said"}, "app_id": "blog",
        "_context": {"app_id": "blog"},
    });
    assert_eq!(ask(&app, &shop, say).await["reached"], 1);
    assert_eq!(in_shop.message().await["type"], "said");
    assert!(in_blog.drain().await.is_empty());
    let foreign = json!({"do": "enter", "room": "r", "target": in_blog.connection_id()});
    assert_eq!(ask(&app, &shop, foreign).await["count"], 0);
    let foreign = json!({"do": "leave", "room": "r", "target": in_blog.connection_id()});
    assert_eq!(ask(&app, &shop, foreign).await["left"], false);
    let who = ask(
        &app,
        &of_app("third", "eve"),
        json!({"do": "who", "room": "r"}),
    )
    .await;
    assert_eq!(who["count"], 0);
}

#[tokio::test]
async fn groups_have_bounds_that_plugins_are_told_of() {
    let app = gateway()
        .env("MOZAIKS_WS_MAX_GROUPS", "3")
        .env("MOZAIKS_WS_MAX_GROUPS_PER_USER", "2")
        .env("MOZAIKS_WS_MAX_GROUP_MEMBERS", "1")
        .start()
        .await;
    let _ann = Socket::open(&app, "ann").await;
    let _bob = Socket::open(&app, "bob").await;
    let enter = |room: &str, target: &str| json!({"do": "enter", "room": room, "target": target});
    let many = json!({"do": "enter_many", "room": "g", "target": "ann", "many": 1000});
    assert_eq!(ask(&app, &host(), many).await["refused"], "LIMIT_EXCEEDED");
    assert_eq!(app.metric("mozaiks_groups").await, 2.0);
    for (room, target, code) in [
        ("g0", "bob", "LIMIT_EXCEEDED"),
        ("", "bob", "VALIDATION_ERROR"),
        ("\u{7}", "bob", "VALIDATION_ERROR"),
    ] {
        let refused = ask(&app, &host(), enter(room, target)).await;
        assert_eq!(refused["refused"], code, "{room:?}");
    }
    assert_eq!(ask(&app, &host(), enter("g2", "bob")).await["count"], 1);
    let fourth = ask(&app, &host(), enter("g3", "bob")).await;
    assert_eq!(fourth["refused"], "LIMIT_EXCEEDED");
    assert!(app.metric("mozaiks_group_refusals_total").await >= 3.0);
    let no_object = json!({"do": "say", "room": "g0", "message": [1]});
    assert_eq!(
        ask(&app, &host(), no_object).await["refused"],
        "VALIDATION_ERROR"
    );
}

#[tokio::test]
async fn an_event_stream_hears_the_users_groups() {
    let app = gateway().start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut stream = client
        .get(format!("http://{}/api/stream", app.address))
        .bearer_auth(Claims::user("ann").sign())
        .send()
        .await
        .unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let enter = json!({"do": "enter", "room": "r", "target": "ann"});
    assert_eq!(ask(&app, &host(), enter).await["count"], 1);
    let say = json!({"do": "say", "room": "r", "message": {"type": "said"}});
    assert_eq!(ask(&app, &host(), say).await["reached"], 1);
    let event = stream.chunk().await.unwrap().unwrap();
    let event = String::from_utf8_lossy(&event).into_owned();
    assert!(event.contains(r#"{"type":"said","_group":"r"}"#), "{event}");
}
