//! What a BSON value is to the store: MongoDB's comparison order, order-preserving index keys,
//! and dotted paths through documents and arrays.

use std::cmp::Ordering;

use bson::{Bson, Document};

/// MongoDB's canonical order over all types, MinKey to MaxKey; numbers of different types by value
/// (NaN is the least number, -0.0 equals 0.0, i64 and Decimal128 compare exactly).
pub fn compare(_a: &Bson, _b: &Bson) -> Ordering {
    todo!()
}

/// Appends a key whose `memcmp` order is [`compare`]'s; equal values give equal bytes whatever their
/// numeric type. Self-delimiting, so that keys of compound indexes concatenate; `descending` inverts.
pub fn encode_key(_value: &Bson, _descending: bool, _out: &mut Vec<u8>) {
    todo!()
}

/// All values that `path` reaches in `doc` as a query sees them: arrays along the way are fanned
/// out, numeric parts also index into arrays. `visit` gets `None` once where nothing is reached.
pub fn walk_path(_doc: &Document, _path: &str, _visit: &mut dyn FnMut(Option<&Bson>)) {
    todo!()
}
