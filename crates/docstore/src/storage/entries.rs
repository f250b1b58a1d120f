//! What an index entry tells of its document: the values of the index's fields, where the key and
//! what is known of the index leave no doubt.
//!
//! A key is the same for `1`, `1.0` and a long 1, and for null and no field. So an index remembers
//! which of these it has ever held of each field. A field that was never anything but an int is read
//! back as one; where two forms have been seen the document has to be read.

use bson::{Bson, RawBsonRef, oid::ObjectId};

use super::catalog::IndexField;
use crate::{
    value::{KeyPart, key_part},
    wire::BsonWriter,
};

/// Some document has several keys.
pub const MULTIKEY: u64 = 1;
/// Forms have been noted from the first entry on.
pub const TRACKED: u64 = 1 << 1;

/// Fields whose forms are noted; there is room for no more.
const FIELDS: usize = 10;
const BITS: usize = 6;

const INT: u64 = 1;
const LONG: u64 = 1 << 1;
const DOUBLE: u64 = 1 << 2;
const NULL: u64 = 1 << 3;
const MISSING: u64 = 1 << 4;
/// A number or string that its key does not give back: decimals, -0.0, NaN, symbols.
const OTHER: u64 = 1 << 5;

/// Whole numbers that a double holds without a gap.
const EXACT: i64 = 1 << 53;

fn at(field: usize, bits: u64) -> u64 {
    if field < FIELDS {
        bits << (2 + BITS * field)
    } else {
        0
    }
}

/// The form of the value of the index's field number `field`; `None`: the document has no such field.
pub fn form(field: usize, value: Option<RawBsonRef<'_>>) -> u64 {
    let bits = match value {
        None => MISSING,
        Some(RawBsonRef::Null) => NULL,
        Some(RawBsonRef::Int32(_)) => INT,
        Some(RawBsonRef::Int64(n)) if (-EXACT..=EXACT).contains(&n) => LONG,
        Some(RawBsonRef::Double(n)) if !n.is_nan() && (n != 0.0 || n.is_sign_positive()) => DOUBLE,
        Some(
            RawBsonRef::Int64(_)
            | RawBsonRef::Double(_)
            | RawBsonRef::Decimal128(_)
            | RawBsonRef::Symbol(_),
        ) => OTHER,
        Some(_) => 0,
    };
    at(field, bits)
}

/// As [`form`], of a value on some way through arrays and documents.
pub fn form_of(field: usize, value: &Bson) -> u64 {
    let bits = match value {
        // Stands for no value too.
        Bson::Null => NULL | MISSING,
        Bson::Int32(n) => return form(field, Some(RawBsonRef::Int32(*n))),
        Bson::Int64(n) => return form(field, Some(RawBsonRef::Int64(*n))),
        Bson::Double(n) => return form(field, Some(RawBsonRef::Double(*n))),
        Bson::Decimal128(_) | Bson::Symbol(_) => OTHER,
        _ => 0,
    };
    at(field, bits)
}

/// Whether entries can tell the top-level fields `wanted`.
pub fn can_tell(index: &[IndexField], seen: u64, wanted: &[String]) -> bool {
    let has = |field: &String| {
        let mut fields = index.iter().take(FIELDS);
        fields.any(|(path, _)| path == field && !path.contains('.'))
    };
    seen & (MULTIKEY | TRACKED) == TRACKED && wanted.iter().all(has)
}

/// Writes a document of the `wanted` fields of an entry, in the order of the index. False where the
/// entry does not tell them; what was written counts for nothing then.
pub fn read(
    index: &[IndexField],
    seen: u64,
    wanted: &[String],
    key: &[u8],
    out: &mut BsonWriter,
) -> bool {
    let (mut rest, mut left) = (key, wanted.len());
    out.begin();
    for (field, (path, descending)) in index.iter().take(FIELDS).enumerate() {
        if left == 0 {
            break;
        }
        let Some((part, after)) = key_part(rest, *descending) else {
            return false;
        };
        rest = after;
        if !wanted.contains(path) {
            continue;
        }
        left -= 1;
        let forms = (seen >> (2 + BITS * field)) & ((1 << BITS) - 1);
        if !write(path, &part, forms, out) {
            return false;
        }
    }
    out.end();
    true
}

fn write(path: &str, part: &KeyPart<'_>, forms: u64, out: &mut BsonWriter) -> bool {
    match part {
        KeyPart::Null => match forms & (NULL | MISSING) {
            NULL => out.null(path),
            MISSING => {}
            _ => return false,
        },
        KeyPart::Number(number) => match forms & (INT | LONG | DOUBLE | OTHER) {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "it was made of such a number"
            )]
            INT => out.int32(path, *number as i32),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "it was made of such a number"
            )]
            LONG => out.int64(path, *number as i64),
            DOUBLE => out.double(path, *number),
            _ => return false,
        },
        KeyPart::Text(text) if forms & OTHER == 0 => out.string(path, text),
        KeyPart::ObjectId(bytes) => out.object_id(path, ObjectId::from_bytes(*bytes)),
        KeyPart::Boolean(flag) => out.boolean(path, *flag),
        KeyPart::Date(millis) => out.date(path, *millis),
        KeyPart::Text(_) | KeyPart::Other => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use bson::{Document, RawDocument, doc};
    use proptest::prelude::*;

    use super::*;
    use crate::value::{arbitrary::value, encode_key};

    fn fields() -> Vec<IndexField> {
        vec![("a".to_owned(), false), ("b".to_owned(), true)]
    }

    fn key(document: &Document) -> Vec<u8> {
        let mut key = Vec::new();
        for (path, descending) in fields() {
            encode_key(
                document.get(&path).unwrap_or(&Bson::Null),
                descending,
                &mut key,
            );
        }
        key
    }

    fn seen(documents: &[&Document]) -> u64 {
        let mut seen = TRACKED;
        for document in documents {
            let bytes = document.to_vec().unwrap();
            let raw = RawDocument::from_bytes(&bytes).unwrap();
            for (at, (path, _)) in fields().iter().enumerate() {
                seen |= form(at, raw.get(path).unwrap());
            }
        }
        seen
    }

    fn read_back(seen: u64, document: &Document) -> Option<Document> {
        let mut out = BsonWriter::default();
        let wanted = ["a".to_owned(), "b".to_owned()];
        assert!(can_tell(&fields(), seen, &wanted));
        read(&fields(), seen, &wanted, &key(document), &mut out)
            .then(|| Document::from_reader(out.bytes()).unwrap())
    }

    #[test]
    fn tells_what_was_never_in_doubt() {
        let id = ObjectId::new();
        for document in [
            doc! { "a": 1, "b": "x\0y" },
            doc! { "a": 1_i64 << 53, "b": 1.5 },
            doc! { "a": id, "b": bson::DateTime::from_millis(-5) },
            doc! { "a": true, "b": Bson::Null },
            doc! { "b": -7 },
        ] {
            assert_eq!(read_back(seen(&[&document]), &document), Some(document));
        }
    }

    #[test]
    fn leaves_open_what_two_forms_have_in_common() {
        let one = doc! { "a": 1, "b": "x" };
        for other in [
            doc! { "a": 2.0 },
            doc! { "a": 2_i64 },
            doc! { "a": Bson::Symbol("s".into()) },
        ] {
            assert_eq!(read_back(seen(&[&one, &other]), &one), None);
        }
        let nothing = doc! { "a": 1 };
        assert_eq!(
            read_back(seen(&[&nothing, &doc! { "b": Bson::Null }]), &nothing),
            None
        );
        assert!(!can_tell(
            &fields(),
            seen(&[&one]) | MULTIKEY,
            &["a".to_owned()]
        ));
        assert!(!can_tell(&fields(), 0, &["a".to_owned()]));
        assert!(!can_tell(&fields(), TRACKED, &["c".to_owned()]));
    }

    proptest! {
        #[test]
        fn never_tells_another_value(a in value(), b in value(), c in value()) {
            let document = doc! { "a": a, "b": b };
            let seen = seen(&[&document, &doc! { "a": c }]);
            if let Some(found) = read_back(seen, &document) {
                // Compared as bytes: the types count, and NaN is itself.
                prop_assert_eq!(found.to_vec().unwrap(), document.to_vec().unwrap());
            }
        }
    }
}
