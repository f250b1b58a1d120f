//! Reading back what an order-preserving key was made of, as far as it tells.

use std::borrow::Cow;

use super::{ABOVE, EXACT};

/// The value behind a part of a key. Numbers of all types are one here.
#[derive(Debug, PartialEq)]
pub enum KeyPart<'a> {
    /// Null, or nothing.
    Null,
    /// A number that a double holds.
    Number(f64),
    /// A string or symbol.
    Text(Cow<'a, str>),
    /// An ObjectId.
    ObjectId([u8; 12]),
    /// A boolean.
    Boolean(bool),
    /// Milliseconds since 1970.
    Date(i64),
    /// Something else whose end is known.
    Other,
}

/// The first part of a key and what follows it; `None` where the first part is of a type that is not
/// read back.
pub fn key_part(key: &[u8], descending: bool) -> Option<(KeyPart<'_>, &[u8])> {
    let mask = if descending { 0xff } else { 0 };
    let (rank, rest) = key.split_first()?;
    match rank ^ mask {
        1 | 2 | 127 => Some((KeyPart::Other, rest)),
        5 => Some((KeyPart::Null, rest)),
        10 => number(rest, mask),
        15 => text(rest, mask),
        35 => {
            let (bytes, rest) = rest.split_first_chunk::<12>()?;
            Some((KeyPart::ObjectId(bytes.map(|byte| byte ^ mask)), rest))
        }
        40 => {
            let (flag, rest) = rest.split_first()?;
            Some((KeyPart::Boolean(flag ^ mask == 1), rest))
        }
        45 => {
            let (bits, rest) = eight(rest, mask)?;
            Some((KeyPart::Date((bits ^ (1 << 63)) as i64), rest))
        }
        47 => Some((KeyPart::Other, eight(rest, mask)?.1)),
        _ => None,
    }
}

fn eight(key: &[u8], mask: u8) -> Option<(u64, &[u8])> {
    let (bytes, rest) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(bytes.map(|byte| byte ^ mask)), rest))
}

fn number(key: &[u8], mask: u8) -> Option<(KeyPart<'_>, &[u8])> {
    let (bits, rest) = eight(key, mask)?;
    let (exact, rest) = rest.split_first()?;
    match exact ^ mask {
        // The least of all is NaN's, which no number has.
        EXACT if bits == 0 => Some((KeyPart::Other, rest)),
        EXACT => {
            let bits = if bits >> 63 == 1 {
                bits & !(1 << 63)
            } else {
                !bits
            };
            Some((KeyPart::Number(f64::from_bits(bits)), rest))
        }
        // Sign, exponent and digits of a decimal.
        ABOVE => Some((KeyPart::Other, rest.get(1 + 2 + 16..)?)),
        _ => None,
    }
}

fn text(key: &[u8], mask: u8) -> Option<(KeyPart<'_>, &[u8])> {
    let zero = mask;
    let mut end = 0;
    let mut plain = mask == 0;
    loop {
        end += key[end..].iter().position(|byte| *byte == zero)?;
        if *key.get(end + 1)? == zero {
            break;
        }
        plain = false;
        end += 2;
    }
    let (bytes, rest) = (&key[..end], &key[end + 2..]);
    if plain {
        return Some((
            KeyPart::Text(Cow::Borrowed(str::from_utf8(bytes).ok()?)),
            rest,
        ));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter().map(|byte| byte ^ mask);
    while let Some(byte) = bytes.next() {
        decoded.push(byte);
        if byte == 0 {
            bytes.next();
        }
    }
    Some((
        KeyPart::Text(Cow::Owned(String::from_utf8(decoded).ok()?)),
        rest,
    ))
}
