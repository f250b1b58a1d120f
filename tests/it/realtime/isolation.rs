//! Nothing reaches anybody it was not sent to.

use serde_json::{Value, json};

use super::{Socket, TestApp, gateway, of_app};

const PLACES: [(&str, &str); 4] = [("a", "ada"), ("a", "bob"), ("b", "ada"), ("b", "bob")];
const SOCKETS_EACH: usize = 3;

async fn call(app: &TestApp, place: (&str, &str), data: Value) -> Value {
    let client = app.with_claims(&of_app(place.0, place.1));
    client.execute("live", &data).await.expect_ok()
}

#[tokio::test]
async fn two_users_of_two_apps_never_see_each_others_messages() {
    let app = gateway().env("MOZAIKS_APP_ID", "*").start().await;
    let mut sockets = Vec::new();
    for (index, (app_id, user)) in PLACES.into_iter().enumerate() {
        for number in 0..SOCKETS_EACH {
            let path = if number == 0 {
                "/ws"
            } else {
                "/ws?recover=true"
            };
            let socket = Socket::open_as(&app, &of_app(app_id, user), path).await;
            sockets.push((index, socket));
        }
    }
    for (sender, from) in PLACES.into_iter().enumerate() {
        for user in ["ada", "bob"] {
            let message = json!({"type": "hello", "from": sender, "to": user});
            let sent = call(
                &app,
                from,
                json!({"do": "send", "to": user, "message": message}),
            );
            assert_eq!(sent.await["reached"], SOCKETS_EACH);
            let meant = PLACES
                .iter()
                .position(|place| *place == (from.0, user))
                .unwrap();
            for (place, socket) in &mut sockets {
                let said = socket.drain().await;
                let expected = usize::from(*place == meant);
                assert_eq!(
                    said.len(),
                    expected,
                    "{sender} to {user}, seen by {place}: {said:?}"
                );
                assert!(
                    said.iter()
                        .all(|said| said["from"] == sender && said["to"] == user)
                );
            }
        }
        let message = json!({"type": "all", "from": sender});
        let sent = call(&app, from, json!({"do": "broadcast", "message": message})).await;
        assert_eq!(sent["reached"], 2 * SOCKETS_EACH);
        for (place, socket) in &mut sockets {
            let expected = usize::from(PLACES[*place].0 == from.0);
            assert_eq!(
                socket.drain().await.len(),
                expected,
                "{sender} to all, seen by {place}"
            );
        }
        let who = call(&app, from, json!({"do": "who", "user": "ada"})).await;
        assert_eq!(who, json!({"users": ["ada", "bob"], "connected": true}));
    }
    // A connection's id is worth nothing in another app.
    for meant in 0..sockets.len() {
        let id = sockets[meant].1.connection_id().to_owned();
        for (sender, from) in PLACES.into_iter().enumerate() {
            let data = json!({"do": "connection", "id": id, "message": {"type": "direct"}});
            let same_app = PLACES[sockets[meant].0].0 == from.0;
            assert_eq!(
                call(&app, from, data).await["reached"],
                same_app,
                "from {sender}"
            );
        }
        for (index, (_, socket)) in sockets.iter_mut().enumerate() {
            let expected = if index == meant { 2 } else { 0 };
            assert_eq!(socket.drain().await.len(), expected);
        }
    }
}

#[tokio::test]
async fn a_position_of_one_user_recovers_nothing_of_another() {
    let app = gateway().env("MOZAIKS_APP_ID", "*").start().await;
    let ada = Socket::open_as(&app, &of_app("a", "ada"), "/ws?recover=true").await;
    let message = json!({"type": "secret"});
    call(
        &app,
        PLACES[0],
        json!({"do": "send", "to": "ada", "message": message}),
    )
    .await;
    let path = format!("/ws?since={}", ada.position(0));
    for (app_id, user) in [("a", "bob"), ("b", "ada"), ("b", "bob")] {
        let mut other = Socket::open_as(&app, &of_app(app_id, user), &path).await;
        assert_eq!(other.ack["recovered"], false);
        assert_eq!(other.drain().await, Vec::<Value>::new());
    }
}
