//! The canonical order, and byte-for-byte identity (which the order is not: `1 == 1.0`).

use std::cmp::Ordering;

use bson::{Bson, DbPointer, Document};

use crate::value::{
    canonical_rank,
    number::{Number, compare_numbers},
};

/// MongoDB's canonical order over all types, MinKey to MaxKey; numbers of different types by value
/// (NaN is the least number, -0.0 equals 0.0, i64 and Decimal128 compare exactly).
pub fn compare(a: &Bson, b: &Bson) -> Ordering {
    canonical_rank(a)
        .cmp(&canonical_rank(b))
        .then_with(|| compare_same_rank(a, b))
}

/// The order of documents: field by field by type, then name, then value.
pub fn compare_documents(a: &Document, b: &Document) -> Ordering {
    let mut right = b.iter();
    for (name, value) in a {
        let Some((other_name, other)) = right.next() else {
            return Ordering::Greater;
        };
        let order = canonical_rank(value)
            .cmp(&canonical_rank(other))
            .then_with(|| name.as_bytes().cmp(other_name.as_bytes()))
            .then_with(|| compare_same_rank(value, other));
        if order.is_ne() {
            return order;
        }
    }
    if right.next().is_some() {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}

fn compare_arrays(a: &[Bson], b: &[Bson]) -> Ordering {
    for (left, right) in a.iter().zip(b) {
        let order = compare(left, right);
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Both have the same canonical rank.
fn compare_same_rank(a: &Bson, b: &Bson) -> Ordering {
    if let (Some(a), Some(b)) = (Number::from_bson(a), Number::from_bson(b)) {
        return compare_numbers(a, b);
    }
    match (a, b) {
        (Bson::String(a) | Bson::Symbol(a), Bson::String(b) | Bson::Symbol(b)) => {
            a.as_bytes().cmp(b.as_bytes())
        }
        (Bson::Document(a), Bson::Document(b)) => compare_documents(a, b),
        (Bson::Array(a), Bson::Array(b)) => compare_arrays(a, b),
        (Bson::Binary(a), Bson::Binary(b)) => (a.bytes.len(), u8::from(a.subtype), &a.bytes)
            .cmp(&(b.bytes.len(), u8::from(b.subtype), &b.bytes)),
        (Bson::ObjectId(a), Bson::ObjectId(b)) => a.bytes().cmp(&b.bytes()),
        (Bson::Boolean(a), Bson::Boolean(b)) => a.cmp(b),
        (Bson::DateTime(a), Bson::DateTime(b)) => a.cmp(b),
        (Bson::Timestamp(a), Bson::Timestamp(b)) => {
            (a.time, a.increment).cmp(&(b.time, b.increment))
        }
        (Bson::RegularExpression(a), Bson::RegularExpression(b)) => {
            (a.pattern.as_str(), a.options.as_str()).cmp(&(b.pattern.as_str(), b.options.as_str()))
        }
        (Bson::DbPointer(a), Bson::DbPointer(b)) => {
            let (a, b) = (pointer_bytes(a), pointer_bytes(b));
            a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
        }
        (Bson::JavaScriptCode(a), Bson::JavaScriptCode(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Bson::JavaScriptCodeWithScope(a), Bson::JavaScriptCodeWithScope(b)) => a
            .code
            .as_bytes()
            .cmp(b.code.as_bytes())
            .then_with(|| compare_documents(&a.scope, &b.scope)),
        // MinKey, MaxKey, null and undefined have one value each.
        _ => Ordering::Equal,
    }
}

/// Namespace and id of a DBPointer, whose fields the bson crate does not show.
pub(super) fn pointer_bytes(pointer: &DbPointer) -> Vec<u8> {
    // Element header: document length (4), type (1), empty name (1), string length (4).
    const HEADER: usize = 10;
    let mut holder = Document::new();
    holder.insert("", Bson::DbPointer(pointer.clone()));
    let mut bytes = holder.to_vec().unwrap_or_default();
    bytes.pop();
    bytes.split_off(HEADER.min(bytes.len()))
}

/// Whether two values have the same BSON bytes: same types, same field order, same bits.
pub fn identical(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Double(a), Bson::Double(b)) => a.to_bits() == b.to_bits(),
        (Bson::Decimal128(a), Bson::Decimal128(b)) => a.bytes() == b.bytes(),
        (Bson::Document(a), Bson::Document(b)) => identical_documents(a, b),
        (Bson::Array(a), Bson::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| identical(a, b))
        }
        (Bson::JavaScriptCodeWithScope(a), Bson::JavaScriptCodeWithScope(b)) => {
            a.code == b.code && identical_documents(&a.scope, &b.scope)
        }
        _ => a == b,
    }
}

/// [`identical`] for documents.
pub fn identical_documents(a: &Document, b: &Document) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((m, a), (n, b))| m == n && identical(a, b))
}
