//! The data directory: locked, limited, flushed, exported.

use std::process::Command;

use bson::doc;
use docstore::{
    server::{Config, Listen, Server},
    storage::Durability,
};
use mongodb::options::{Acknowledgment, WriteConcern};

use crate::support::{TestServer, code_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_server() {
    let server = TestServer::start().await;
    let socket = server.dir.path().join("second.sock");
    let config = Config::new(server.dir.path().join("data"), Listen::Unix(socket));
    let error = Server::start(config).await.unwrap_err();
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_writes_but_not_reads() {
    let server = TestServer::start_with(|config| config.store.max_file_bytes = Some(1 << 20)).await;
    let coll = server.coll("c");
    let filler = "x".repeat(50_000);
    let mut written = 0;
    let error = loop {
        match coll
            .insert_one(doc! { "_id": written, "filler": &filler })
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "the limit was not met");
    };
    assert_eq!(code_of(&error), 14031);
    assert!(written > 5);
    assert_eq!(
        coll.count_documents(doc! { "filler": { "$exists": true } })
            .await
            .unwrap(),
        written as u64
    );
    // Room again: writes go on.
    coll.delete_many(doc! {}).await.unwrap();
    coll.insert_one(doc! { "_id": -1, "filler": &filler })
        .await
        .unwrap();
    assert_eq!(coll.estimated_document_count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn journaled_and_fully_durable_writes_work() {
    let server = TestServer::start_with(|config| config.store.durability = Durability::Full).await;
    server
        .coll("c")
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();
    let server = TestServer::start().await;
    let concern = WriteConcern::builder().journal(true).build();
    server
        .coll("c")
        .insert_one(doc! { "_id": 1 })
        .write_concern(concern)
        .await
        .unwrap();
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn write_concerns_of_more_servers_are_refused() {
    let server = TestServer::start().await;
    let concern = WriteConcern::builder().w(Acknowledgment::Nodes(3)).build();
    let insert = server
        .coll("c")
        .insert_one(doc! { "_id": 1 })
        .write_concern(concern);
    assert_eq!(code_of(&insert.await.unwrap_err()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_extended_json() {
    let server = TestServer::start().await;
    server
        .coll("c")
        .insert_many([doc! { "_id": 1, "n": 2_i64 }, doc! { "_id": "b" }])
        .await
        .unwrap();
    let TestServer {
        server,
        client,
        dir,
    } = server;
    client.shutdown().immediate(true).await;
    server.shutdown().await;
    let output = Command::new(env!("CARGO_BIN_EXE_docstore"))
        .args(["export", "--db", "test", "--collection", "c", "--path"])
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        lines,
        "{\"_id\":{\"$numberInt\":\"1\"},\"n\":{\"$numberLong\":\"2\"}}\n{\"_id\":\"b\"}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(
        data.join("data.sqlite"),
        "this is not a database, but it is long enough to be looked at",
    )
    .unwrap();
    let config = Config::new(data, Listen::Unix(dir.path().join("d.sock")));
    assert!(Server::start(config).await.is_err());
}
