//! Frames as a bad or an old client sends them.

use bson::doc;

use crate::support::{RawClient, TestServer, body, frame, message};

#[tokio::test(flavor = "multi_thread")]
async fn answers_old_handshakes_and_refuses_other_old_messages() {
    let server = TestServer::start().await;
    let query = |ns: &str, command: bson::Document| {
        let mut content = vec![0; 4];
        content.extend(ns.as_bytes());
        content.push(0);
        content.extend([0; 4]);
        content.extend((-1_i32).to_le_bytes());
        content.extend(command.to_vec().unwrap());
        frame(2004, &content)
    };
    let mut raw = RawClient::connect(&server);
    raw.send(&query("admin.$cmd", doc! { "isMaster": 1 }));
    let answer = raw.receive().unwrap();
    let hello = bson::Document::from_reader(&answer[36..]).unwrap();
    assert!(hello.get_bool("ismaster").unwrap());
    assert!(hello.get_i32("maxWireVersion").unwrap() >= 21);
    raw.send(&query("admin.$cmd", doc! { "listDatabases": 1 }));
    let answer = raw.receive().unwrap();
    let refused = bson::Document::from_reader(&answer[36..]).unwrap();
    assert_eq!(refused.get_i32("code").unwrap(), 352);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_checksums() {
    let server = TestServer::start().await;
    let mut content = message(1, &doc! { "ping": 1, "$db": "admin" });
    content.extend([0; 4]);
    let mut good = frame(2013, &content);
    let len = good.len();
    let sum = crc32c(&good[..len - 4]);
    good[len - 4..].copy_from_slice(&sum.to_le_bytes());
    let mut raw = RawClient::connect(&server);
    raw.send(&good);
    assert_eq!(body(&raw.receive().unwrap()).get_f64("ok").unwrap(), 1.0);
    good[len - 1] ^= 1;
    raw.send(&good);
    assert!(raw.receive().is_none(), "closed");
}

/// The checksum of OP_MSG, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0x82f6_3b78
            } else {
                sum >> 1
            }
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_end_only_their_connection() {
    let server = TestServer::start().await;
    let ping = message(0, &doc! { "ping": 1, "$db": "admin" });
    let mut no_body = 0_u32.to_le_bytes().to_vec();
    no_body.push(9);
    let mut too_short = frame(2013, &ping);
    too_short[0] = 3;
    let mut too_long = frame(2013, &ping);
    too_long[..4].copy_from_slice(&(49_000_000_u32).to_le_bytes());
    for bad in [
        frame(2013, &no_body),
        frame(2013, &message(4, &doc! { "ping": 1, "$db": "admin" })),
        frame(2001, &[]),
        frame(2013, &[]),
        too_short,
        too_long,
    ] {
        let mut raw = RawClient::connect(&server);
        raw.send(&bad);
        assert!(raw.receive().is_none(), "closed");
        let mut other = RawClient::connect(&server);
        let answer = other.run(&doc! { "ping": 1, "$db": "admin" });
        assert_eq!(answer.get_f64("ok").unwrap(), 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_cannot_be_read_fail_their_command_only() {
    let server = TestServer::start().await;
    let insert = |value: bson::Bson| {
        let command = doc! { "insert": "c", "documents": [{ "s": value }], "$db": "test" };
        message(0, &command)
    };
    let text = insert("marker".into());
    let at = text.windows(6).position(|six| six == b"marker").unwrap();
    let mut not_utf8 = text.clone();
    not_utf8[at] = 0xFF;
    let mut no_end = text.clone();
    no_end[at + 6] = b'x';
    let mut wrong_type = text.clone();
    // The type stands before the name and the length.
    wrong_type[at - 7] = 0x50;
    let mut too_long = text;
    too_long[5] = 0xFF;
    let mut no_boolean = insert(true.into());
    let end = no_boolean.windows(3).position(|three| three == b"\x08s\0");
    no_boolean[end.unwrap() + 3] = 7;
    let deep =
        |depth: usize| (0..depth).fold(bson::Bson::Int32(1), |inner, _| doc! { "a": inner }.into());
    let mut raw = RawClient::connect(&server);
    for (bad, code) in [
        (not_utf8, 9),
        (no_end, 22),
        (wrong_type, 22),
        (too_long, 22),
        (no_boolean, 22),
        (insert(deep(500)), 15),
    ] {
        raw.send(&frame(2013, &bad));
        let answer = body(&raw.receive().expect("an answer"));
        assert_eq!(answer.get_i32("code").unwrap(), code, "{answer}");
        let answer = raw.run(&doc! { "ping": 1, "$db": "admin" });
        assert_eq!(answer.get_f64("ok").unwrap(), 1.0);
        // Nor is there an answer where none is wanted.
        let mut quiet = bad;
        quiet[0] |= 2;
        raw.send(&frame(2013, &quiet));
        let answer = raw.run(&doc! { "ping": 1, "$db": "admin" });
        assert_eq!(answer.get_f64("ok").unwrap(), 1.0);
    }
    // Deeper than may be stored, though the message may be that deep.
    let reply = raw.run(&doc! { "insert": "c", "documents": [{ "d": deep(190) }], "$db": "test" });
    let errors = reply.get_array("writeErrors").unwrap();
    assert_eq!(
        errors[0].as_document().unwrap().get_i32("code").unwrap(),
        15
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_unknown_commands_and_fields() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    let answer = raw.run(&doc! { "frobnicate": 1, "$db": "test" });
    assert_eq!(answer.get_i32("code").unwrap(), 59);
    assert_eq!(
        answer.get_str("errmsg").unwrap(),
        "no such command: 'frobnicate'"
    );
    let answer = raw.run(&doc! { "find": "c", "bogus": 1, "$db": "test" });
    assert_eq!(answer.get_i32("code").unwrap(), 40415);
    let answer = raw.run(&doc! { "find": "c", "limit": "x", "$db": "test" });
    assert_eq!(answer.get_i32("code").unwrap(), 14);
    let answer = raw.run(&doc! { "find": "", "$db": "test" });
    assert_eq!(answer.get_i32("code").unwrap(), 73);
    let answer = raw.run(&doc! { "ping": 1 });
    assert_eq!(answer.get_i32("code").unwrap(), 40414);
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_writes_get_no_answer() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    let insert = doc! {
        "insert": "c", "documents": [{ "_id": 1 }], "writeConcern": { "w": 0 }, "$db": "test",
    };
    raw.send(&frame(2013, &message(2, &insert)));
    // The next answer is the ping's.
    raw.run(&doc! { "ping": 1, "$db": "admin" });
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
}
