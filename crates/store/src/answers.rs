//! Answers of the server as plugins may see them: without the addresses of servers.

use mongodb::bson::{Bson, Document};

/// Fields in which servers name themselves and each other.
const ADDRESSES: &[&str] = &[
    "host",
    "hosts",
    "passives",
    "arbiters",
    "primary",
    "me",
    "serverInfo",
    "connectionId",
    "topologyVersion",
    "raw",
    "shards",
    "lastWrite",
    "speculativeAuthenticate",
    "saslSupportedMechs",
];

/// Takes out where the server is, at the top and where `explain` tells of shards.
pub(super) fn without_addresses(mut reply: Document) -> Document {
    for field in ADDRESSES {
        reply.remove(*field);
    }
    for part in ["queryPlanner", "executionStats", "stages"] {
        if let Some(part) = reply.get_mut(part) {
            strip(part);
        }
    }
    reply
}

/// Plans of shards hold each shard's connection string and server.
fn strip(plan: &mut Bson) {
    match plan {
        Bson::Document(plan) => {
            for field in ["serverInfo", "connectionString", "host"] {
                plan.remove(field);
            }
            plan.iter_mut().for_each(|(_, value)| strip(value));
        }
        Bson::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
