//! The fuzz targets on the stable toolchain: well-formed input, the same with some bytes changed, and
//! bytes of no meaning.

use bson::{Bson, Document, doc};
use proptest::{collection::vec, prelude::*};

use super::{filter, frame, key_order, update};
use crate::value::arbitrary;

/// Some bytes to be changed: where and to what.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
}

fn damaged(document: &Document, damage: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = document.to_vec().expect("encodable");
    for (at, byte) in damage {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes
}

fn operator(names: &'static str) -> impl Strategy<Value = Document> {
    let field = ("[ab](\\.[ab0])?", names, arbitrary::value());
    vec(field, 0..3).prop_map(|fields| {
        fields
            .into_iter()
            .map(|(path, name, operand)| (path, Bson::Document(doc! { name: operand })))
            .collect()
    })
}

fn message(flags: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in [body.len() as u32 + 21, 1, 0, 2013, flags] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.push(0);
    bytes.extend(body);
    bytes
}

proptest! {
    #![proptest_config(arbitrary::config(1500))]

    #[test]
    fn frames(body in arbitrary::document(), flags in 0..4_u32, damage in damage()) {
        let whole = message(flags, &body.to_vec().expect("encodable"));
        frame(&whole);
        let mut changed = whole;
        for (at, byte) in damage {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        frame(&changed);
    }

    #[test]
    fn filters(
        condition in prop_oneof![
            operator("\\$(eq|gt|gte|lt|lte|ne|in|nin|not|all|elemMatch|size|mod|type|regex|exists|expr|bitsAllSet|jsonSchema)"),
            arbitrary::document(),
        ],
        target in arbitrary::document(),
        damage in damage(),
    ) {
        filter(&damaged(&doc! { "f": condition, "d": target }, &damage));
    }

    #[test]
    fn updates(
        name in "\\$(set|unset|inc|mul|min|max|push|pull|pullAll|addToSet|pop|rename|bit|currentDate|setOnInsert)",
        change in arbitrary::document(),
        target in arbitrary::document(),
        damage in damage(),
    ) {
        update(&damaged(&doc! { "u": { name: change }, "d": target }, &damage));
    }

    #[test]
    fn keys(a in arbitrary::value(), b in arbitrary::value(), damage in damage()) {
        key_order(&damaged(&doc! { "a": a, "b": b }, &damage));
    }

    #[test]
    fn bytes_of_no_meaning(bytes in vec(any::<u8>(), 0..200)) {
        for target in [frame, filter, update, key_order] {
            target(&bytes);
        }
    }
}
