//! Order-preserving keys: bytes whose `memcmp` order is [`compare`](super::compare)'s.
//!
//! A value is its rank byte and a payload that no other payload of that rank is a prefix of.
//!
//! Numbers start with the greatest double that is not above them (8 bytes). Where that is the
//! number itself a 0 follows; otherwise a 1 and the exact decimal, which then decides among the
//! numbers between two neighbouring doubles.

mod part;

use bson::{Bson, Document};

pub use part::{KeyPart, key_part};

use crate::value::{
    canonical_rank,
    compare::pointer_bytes,
    decimal::Decimal,
    number::{Number, compare_numbers},
    types::STRING_RANK,
};

const END: u8 = 0;
const EXACT: u8 = 0;
const ABOVE: u8 = 1;

/// Appends a key whose `memcmp` order is [`compare`](super::compare)'s; equal values give equal
/// bytes whatever their numeric type. Self-delimiting, so that keys of compound indexes concatenate;
/// `descending` inverts.
pub fn encode_key(value: &Bson, descending: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(canonical_rank(value));
    encode_payload(value, out);
    if descending {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

/// [`encode_key`] of a string.
pub fn encode_string_key(text: &str, descending: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(STRING_RANK);
    encode_text(text.as_bytes(), out);
    if descending {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

fn encode_payload(value: &Bson, out: &mut Vec<u8>) {
    if let Some(number) = Number::from_bson(value) {
        return encode_number(number, out);
    }
    match value {
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => {
            encode_text(text.as_bytes(), out);
        }
        Bson::Document(document) => encode_document(document, out),
        Bson::Array(items) => {
            for item in items {
                out.push(canonical_rank(item));
                encode_payload(item, out);
            }
            out.push(END);
        }
        Bson::Binary(binary) => {
            out.extend((binary.bytes.len() as u32).to_be_bytes());
            out.push(u8::from(binary.subtype));
            out.extend(&binary.bytes);
        }
        Bson::ObjectId(id) => out.extend(id.bytes()),
        Bson::Boolean(flag) => out.push(u8::from(*flag)),
        Bson::DateTime(date) => {
            out.extend(((date.timestamp_millis() as u64) ^ (1 << 63)).to_be_bytes());
        }
        Bson::Timestamp(stamp) => {
            out.extend(stamp.time.to_be_bytes());
            out.extend(stamp.increment.to_be_bytes());
        }
        Bson::RegularExpression(regex) => {
            encode_text(regex.pattern.as_str().as_bytes(), out);
            encode_text(regex.options.as_str().as_bytes(), out);
        }
        Bson::DbPointer(pointer) => {
            let bytes = pointer_bytes(pointer);
            out.extend((bytes.len() as u32).to_be_bytes());
            out.extend(bytes);
        }
        Bson::JavaScriptCodeWithScope(code) => {
            encode_text(code.code.as_bytes(), out);
            encode_document(&code.scope, out);
        }
        // The others have one value each; numbers are done above.
        _ => {}
    }
}

fn encode_document(document: &Document, out: &mut Vec<u8>) {
    for (name, value) in document {
        out.push(canonical_rank(value));
        encode_text(name.as_bytes(), out);
        encode_payload(value, out);
    }
    out.push(END);
}

/// NUL becomes `00 FF`, the end `00 00`.
fn encode_text(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

fn encode_number(number: Number, out: &mut Vec<u8>) {
    let exact = match number {
        Number::Int(n) => Some(f64::from(n)),
        Number::Double(n) if !n.is_nan() => Some(n),
        _ => None,
    };
    if let Some(exact) = exact {
        out.extend(sortable_bits(exact).to_be_bytes());
        out.push(EXACT);
        return;
    }
    if number.is_nan() {
        out.extend([0; 8]);
        out.push(EXACT);
        return;
    }
    let mut floor = number.to_f64();
    let mut order = compare_numbers(Number::Double(floor), number);
    if order.is_gt() {
        floor = floor.next_down();
        order = compare_numbers(Number::Double(floor), number);
    }
    out.extend(sortable_bits(floor).to_be_bytes());
    if order.is_eq() {
        out.push(EXACT);
    } else {
        out.push(ABOVE);
        encode_decimal(number.to_decimal(), out);
    }
}

/// Bits that order as the numbers do.
fn sortable_bits(number: f64) -> u64 {
    // Adding zero makes -0.0 into 0.0.
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | (1 << 63)
    }
}

/// Only finite non-zero decimals lie between two doubles.
fn encode_decimal(decimal: Decimal, out: &mut Vec<u8>) {
    let (exponent, digits) = decimal.magnitude_key();
    let negative = matches!(decimal, Decimal::Finite { negative: true, .. });
    let start = out.len();
    out.push(1);
    out.extend(((exponent + 0x4000) as u16).to_be_bytes());
    out.extend(digits.to_be_bytes());
    if negative {
        out[start] = 0;
        for byte in &mut out[start + 1..] {
            *byte = !*byte;
        }
    }
}
