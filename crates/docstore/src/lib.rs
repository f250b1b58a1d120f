//! A small embedded document store that speaks MongoDB's wire protocol.
//!
//! It knows nothing of the gateway. Documents are kept as BSON bytes in one SQLite file; any
//! official MongoDB driver can connect over TCP or a unix socket.
//!
//! Layers, each of which knows only those above it in this list:
//!
//! 1. [`error`]: MongoDB's error codes. [`value`]: comparison order, index keys, dotted paths.
//! 2. [`expr`]: aggregation expressions. [`query`], [`projection`], [`update`], [`schema`]: pure
//!    functions over documents.
//!    [`spill`]: sorts and rows that go to the disk when they outgrow memory.
//! 3. [`pipeline`]: aggregation stages over a stream of documents and a `Source` of collections.
//! 4. [`storage`]: the SQLite file, its catalogue, indexes, writer and snapshot readers.
//!    [`planner`]: picks an index.
//! 5. [`commands`], [`wire`], [`server`]: commands, frames, connections.
//! 6. [`program`]: the command line of the store as a program of its own.

pub mod commands;
pub mod error;
pub mod export;
pub mod expr;
#[doc(hidden)]
pub mod fuzzing;
pub mod pipeline;
pub mod planner;
pub mod program;
pub mod projection;
pub mod query;
pub mod schema;
pub mod server;
pub mod spill;
pub mod storage;
pub mod update;
pub mod value;
pub mod wire;
