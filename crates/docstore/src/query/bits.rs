//! `$bitsAllSet`, `$bitsAllClear`, `$bitsAnySet`, `$bitsAnyClear`.

use bson::Bson;

use crate::{
    error::Result,
    value::{Number, exact_i64, is_integral},
};

/// Positions from 64 up repeat the sign bit of a number.
const SIGN_BIT: u32 = 63;

/// One of the four tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BitMode {
    AllSet,
    AllClear,
    AnySet,
    AnyClear,
}

/// A test of bit positions.
#[derive(Debug, Clone)]
pub(super) struct BitTest {
    mode: BitMode,
    mask: Mask,
}

#[derive(Debug, Clone)]
enum Mask {
    Positions(Vec<u32>),
    Bytes(Vec<u8>),
}

impl BitTest {
    /// Parses a mask: a non-negative integer, binary data, or a list of positions.
    pub(super) fn parse(mode: BitMode, name: &str, operand: &Bson) -> Result<Self> {
        let mask = match operand {
            Bson::Array(items) => {
                let mut positions = Vec::with_capacity(items.len());
                for item in items {
                    positions.push(position(name, item)?);
                }
                Mask::Positions(positions)
            }
            Bson::Binary(mask) => Mask::Bytes(mask.bytes.clone()),
            number if Number::from_bson(number).is_some() => {
                let mask = match exact_i64(number) {
                    Some(mask) if mask >= 0 => mask,
                    Some(_) => crate::bail!(
                        FailedToParse,
                        "Expected a non-negative number in: {name}: {number}"
                    ),
                    None if is_integral(number) => crate::bail!(
                        FailedToParse,
                        "Cannot represent as a 64-bit integer: {name}: {number}"
                    ),
                    None => {
                        crate::bail!(FailedToParse, "Expected an integer: {name}: {number}")
                    }
                };
                Mask::Positions((0..SIGN_BIT).filter(|bit| mask >> bit & 1 == 1).collect())
            }
            other => crate::bail!(
                BadValue,
                "{name} takes an Array, a number, or a BinData but received: {other}"
            ),
        };
        Ok(Self { mode, mask })
    }

    /// Whether the value is one that has bits and they pass.
    pub(super) fn matches(&self, value: &Bson) -> bool {
        match value {
            Bson::Binary(binary) => self.test(|bit| binary_bit(&binary.bytes, bit)),
            number => exact_i64(number)
                .is_some_and(|number| self.test(|bit| number >> bit.min(SIGN_BIT) & 1 == 1)),
        }
    }

    fn test(&self, is_set: impl Fn(u32) -> bool) -> bool {
        match &self.mask {
            Mask::Positions(positions) => self.test_all(positions.iter().copied(), is_set),
            Mask::Bytes(bytes) => {
                let bits = (bytes.len() as u32).saturating_mul(8);
                self.test_all((0..bits).filter(|bit| binary_bit(bytes, *bit)), is_set)
            }
        }
    }

    fn test_all(
        &self,
        mut positions: impl Iterator<Item = u32>,
        is_set: impl Fn(u32) -> bool,
    ) -> bool {
        match self.mode {
            BitMode::AllSet => positions.all(is_set),
            BitMode::AllClear => !positions.any(is_set),
            BitMode::AnySet => positions.any(is_set),
            BitMode::AnyClear => !positions.all(is_set),
        }
    }
}

fn position(name: &str, item: &Bson) -> Result<u32> {
    if Number::from_bson(item).is_none() {
        crate::bail!(
            BadValue,
            "bit positions must be an integer but got: {name}: {item}"
        );
    }
    let Some(position) = exact_i64(item).and_then(|n| i32::try_from(n).ok()) else {
        crate::bail!(
            BadValue,
            "bit positions cannot be represented as a 32-bit signed integer: {item}"
        )
    };
    match u32::try_from(position) {
        Ok(position) => Ok(position),
        Err(_) => crate::bail!(BadValue, "bit positions must be >= 0 but got: {item}"),
    }
}

fn binary_bit(bytes: &[u8], bit: u32) -> bool {
    bytes
        .get(bit as usize / 8)
        .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}
