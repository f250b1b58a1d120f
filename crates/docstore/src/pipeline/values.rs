//! A list of values in the form in which they are stored, which takes a tenth of the memory that
//! decoded ones do.

use bson::{Binary, Bson, Document, spec::BinarySubtype};

use crate::{error::Result, storage::catalog::decode, wire::writer::encode};

/// Values one after the other, each as a document with one field without a name.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    bytes: Vec<u8>,
}

impl Values {
    /// Adds a value and tells its bytes.
    pub(super) fn push(&mut self, value: Bson) -> Result<usize> {
        let mut holder = Document::new();
        holder.insert("", value);
        let bytes = encode(&holder)?;
        self.bytes.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// All bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The values, decoded.
    pub(super) fn decode(&self) -> Result<Vec<Bson>> {
        let mut values = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            let (one, more) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
            values.extend(decode(one)?.remove(""));
            rest = more;
        }
        Ok(values)
    }

    /// All of them as one value.
    pub(super) fn to_state(&self) -> Bson {
        Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes: self.bytes.clone(),
        })
    }

    /// What [`Self::to_state`] made.
    pub(super) fn from_state(state: Bson) -> Self {
        match state {
            Bson::Binary(binary) => Self {
                bytes: binary.bytes,
            },
            _ => Self::default(),
        }
    }

    /// Adds all of `other`.
    pub(super) fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }
}
