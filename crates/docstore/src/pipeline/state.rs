//! The state of one accumulator in one group, and how states of the same group are put together
//! that were written to the disk in between.

use std::collections::HashSet;

use bson::{Binary, Bson, Document, spec::BinarySubtype};

use super::{accumulator::Accumulator, memory::Budget, values::Values};
use crate::{
    error::Result,
    expr::{number::Sum, statistics::Spread},
    value::encode_key,
};

/// What an accumulator has seen of a group.
#[derive(Debug, Clone)]
pub(super) enum State {
    Sum(Sum, i64),
    Single(Option<Bson>),
    /// All of them, of `$push`.
    Pushed(Values),
    Many(usize, Vec<Bson>),
    /// The keys of the values, and these.
    Set(HashSet<Vec<u8>>, Values),
    Ranked(usize, Vec<(Vec<Bson>, Bson)>),
    Merged(Document),
    Spread(Spread),
    Numbers(Vec<f64>),
}

impl State {
    /// As a value that [`Self::absorb`] takes up.
    pub(super) fn encode(self) -> Bson {
        match self {
            Self::Sum(sum, count) => {
                let mut state = sum.to_state();
                state.insert("count", count);
                Bson::Document(state)
            }
            Self::Single(value) => Bson::Array(value.into_iter().collect()),
            Self::Pushed(values) | Self::Set(_, values) => values.to_state(),
            Self::Many(_, items) => Bson::Array(items),
            Self::Ranked(_, entries) => Bson::Array(
                entries
                    .into_iter()
                    .map(|(key, value)| Bson::Array(vec![Bson::Array(key), value]))
                    .collect(),
            ),
            Self::Merged(document) => Bson::Document(document),
            Self::Spread(spread) => spread.to_state(),
            Self::Numbers(numbers) => Bson::Binary(Binary {
                subtype: BinarySubtype::Generic,
                bytes: numbers.into_iter().flat_map(f64::to_le_bytes).collect(),
            }),
        }
    }

    /// Takes up what a later part of the input came to. `accumulator` is the state's.
    pub(super) fn absorb(&mut self, later: Bson, accumulator: &Accumulator) -> Result<()> {
        let mut uncounted = Budget::new(usize::MAX);
        match (self, later) {
            (Self::Sum(sum, count), Bson::Document(state)) => {
                sum.absorb(&state);
                *count += state.get_i64("count").unwrap_or_default();
            }
            (Self::Single(kept), Bson::Array(value)) => {
                if let Some(value) = value.into_iter().next()
                    && accumulator.prefers(kept.as_ref(), Some(&value))
                {
                    *kept = Some(value);
                }
            }
            (Self::Pushed(values), state) => values.extend(&Values::from_state(state)),
            (Self::Set(seen, values), state) => {
                for value in Values::from_state(state).decode()? {
                    let mut key = Vec::new();
                    encode_key(&value, false, &mut key);
                    if seen.insert(key) {
                        values.push(value)?;
                    }
                }
            }
            (Self::Many(n, items), Bson::Array(more)) => {
                items.extend(more);
                accumulator.shrink(*n, items, &mut uncounted);
            }
            (Self::Ranked(n, entries), Bson::Array(more)) => {
                for entry in more {
                    if let Bson::Array(mut pair) = entry
                        && let (Some(value), Some(Bson::Array(key))) = (pair.pop(), pair.pop())
                    {
                        entries.push((key, value));
                    }
                }
                accumulator.rank(*n, entries, &mut uncounted);
            }
            (Self::Merged(merged), Bson::Document(later)) => merged.extend(later),
            (Self::Spread(spread), state) => spread.absorb(&state),
            (Self::Numbers(numbers), Bson::Binary(state)) => {
                let (chunks, _) = state.bytes.as_chunks::<8>();
                numbers.extend(chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            // Written by `encode` of the same accumulator: no other pair occurs.
            _ => {}
        }
        Ok(())
    }

    /// Bytes of what cannot be written in parts, as one answer has to hold it.
    pub(super) fn list_bytes(&self) -> usize {
        match self {
            Self::Pushed(values) | Self::Set(_, values) => values.len(),
            _ => 0,
        }
    }
}
