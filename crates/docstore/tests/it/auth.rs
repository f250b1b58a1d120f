//! SCRAM-SHA-256, and who may listen where.

use bson::doc;
use docstore::server::{Config, Listen, Server};
use mongodb::Client;

use crate::support::{TestServer, code_of};

fn with_password(uri: &str, password: &str) -> String {
    uri.replace("mongodb://app@", &format!("mongodb://app:{password}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_password_opens() {
    let server = TestServer::start_with(|config| {
        config.user = Some(("app".to_owned(), "s3cret".to_owned()));
    })
    .await;
    let uri = server.server.uri();
    let good = Client::with_uri_str(with_password(&uri, "s3cret"))
        .await
        .unwrap();
    let coll = good.database("test").collection("c");
    coll.insert_one(doc! { "x": 1 }).await.unwrap();
    let status = good
        .database("admin")
        .run_command(doc! { "connectionStatus": 1 })
        .await
        .unwrap();
    let users = status
        .get_document("authInfo")
        .unwrap()
        .get_array("authenticatedUsers")
        .unwrap();
    assert_eq!(users.len(), 1);

    let bad = Client::with_uri_str(with_password(&uri, "wrong"))
        .await
        .unwrap();
    let error = bad
        .database("test")
        .run_command(doc! { "count": "c" })
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("Authentication failed"),
        "{error}"
    );

    let none = Client::with_uri_str(uri.replace("app@", "").replace("&authSource=admin", ""))
        .await
        .unwrap();
    let error = none
        .database("test")
        .run_command(doc! { "count": "c" })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_beyond_loopback_needs_a_user() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path(), Listen::Tcp("0.0.0.0:0".parse().unwrap()));
    assert!(Server::start(config).await.is_err());
}
