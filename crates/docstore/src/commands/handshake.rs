//! `hello` and its older names.
//!
//! The server says that it stands alone, unless it was given a replica set's name: a client on a
//! unix socket then connects without knowing hosts, and no driver tries to find other members.
//! Change streams and transactions work either way.

use bson::{DateTime, Document, RawBsonRef, doc};

use super::{auth, call::Call, insert};
use crate::{
    error::Result,
    storage::documents::MAX_DOCUMENT_BYTES,
    wire::{BsonWriter, frame::MAX_MESSAGE_BYTES},
};

/// What MongoDB 7.0 says.
pub const WIRE_VERSION: i32 = 21;

/// `hello`, `isMaster`, `ismaster`.
pub fn hello(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let modern = call.args.command() == "hello";
    let mut reply = Document::new();
    reply.insert("helloOk", true);
    reply.insert(
        if modern {
            "isWritablePrimary"
        } else {
            "ismaster"
        },
        true,
    );
    if let Some(name) = &call.service.config.replica_set {
        let here = &call.connection.local_address;
        reply.extend(doc! {
            "setName": name,
            "setVersion": 1,
            "secondary": false,
            "primary": here,
            "hosts": [here],
            "me": here,
            "electionId": bson::oid::ObjectId::from_bytes([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1]),
            "lastWrite": { "lastWriteDate": DateTime::now() },
        });
    }
    reply.extend(doc! {
        "maxBsonObjectSize": i32::try_from(MAX_DOCUMENT_BYTES).unwrap_or(i32::MAX),
        "maxMessageSizeBytes": i32::try_from(MAX_MESSAGE_BYTES).unwrap_or(i32::MAX),
        "maxWriteBatchSize": i32::try_from(insert::MAX_STATEMENTS).unwrap_or(i32::MAX),
        "localTime": DateTime::now(),
        "logicalSessionTimeoutMinutes": 30,
        "connectionId": i32::try_from(call.connection.id).unwrap_or(i32::MAX),
        "minWireVersion": 0,
        "maxWireVersion": WIRE_VERSION,
        "readOnly": false,
    });
    if call.args.has("saslSupportedMechs")? && call.service.config.user.is_some() {
        reply.insert("saslSupportedMechs", vec!["SCRAM-SHA-256"]);
    }
    if let Some(RawBsonRef::Document(start)) = call.args.get("speculativeAuthenticate")?
        && let Some(answer) = auth::speculate(call, start)
    {
        reply.insert("speculativeAuthenticate", answer);
    }
    insert::finish(reply, out)
}
