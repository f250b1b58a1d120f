//! MongoDB's wire protocol: frames, sections, and BSON written straight into the answer.
//!
//! Bytes from a client are checked here, once and as a whole; later layers may rely on them.

pub mod frame;
pub mod validate;
pub mod writer;

pub use frame::{Message, Request};
pub use writer::BsonWriter;
