//! `$group`, and the table of groups that `$bucket` shares.

use std::borrow::Cow;

use bson::{Bson, Document};
use indexmap::IndexMap;

use super::{
    accumulator::Accumulator,
    memory::{Budget, held_bytes},
    needs::{Fields, of_argument},
    stage::Documents,
    state::State,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars, types},
    spill::{Memory, Sorted, Sorter},
    storage::catalog::decode,
    value::{compare, encode_key},
    wire::writer::encode,
};

/// Bytes of a group beside its key and its values: its place in the table, which has room for
/// more, and what memory is rounded up to.
const GROUP_BYTES: usize = 320;

/// A parsed `$group` or `$bucket`.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Key,
    pub(super) accumulators: Vec<Accumulator>,
    /// The fields that both look at.
    pub(super) needs: Fields,
}

/// What documents are grouped by.
#[derive(Debug)]
pub(super) enum Key {
    Expression(Expr),
    /// The last boundary at or below the value.
    Bucket {
        expression: Expr,
        boundaries: Vec<Bson>,
        default: Option<Bson>,
    },
}

impl Key {
    fn eval<'e>(&'e self, document: &'e Document, vars: &'e Vars) -> Result<Cow<'e, Bson>> {
        let (expression, boundaries, default) = match self {
            Self::Expression(expression) => {
                let id = expression.eval_ref(document, vars)?;
                return Ok(id.unwrap_or(Cow::Owned(Bson::Null)));
            }
            Self::Bucket {
                expression,
                boundaries,
                default,
            } => (expression, boundaries, default),
        };
        let value = expression.eval(document, vars)?;
        let after = match &value {
            None => 0,
            Some(value) => boundaries.partition_point(|least| compare(least, value).is_le()),
        };
        if after > 0 && after < boundaries.len() {
            return Ok(Cow::Borrowed(&boundaries[after - 1]));
        }
        match default {
            Some(default) => Ok(Cow::Borrowed(default)),
            None => Err(CommandError::location(
                40066,
                "$switch could not find a matching branch for an input, and no default was \
                 specified: a value is outside of $bucket's boundaries.",
            )),
        }
    }
}

impl Group {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let Bson::Document(document) = argument else {
            return Err(CommandError::location(
                15947,
                format!(
                    "a group's fields must be specified in an object, not {}",
                    types::name(Some(argument))
                ),
            ));
        };
        let mut key = None;
        let mut accumulators = Vec::new();
        for (field, value) in document {
            if field == "_id" {
                key = Some(Key::Expression(Expr::parse(value)?));
            } else {
                accumulators.push(Accumulator::parse(field, value)?);
            }
        }
        let Some(key) = key else {
            return Err(CommandError::location(
                15955,
                "a group specification must include an _id",
            ));
        };
        Ok(Self {
            key,
            accumulators,
            needs: of_argument(argument),
        })
    }

    /// One group of everything with a count of it: its `_id` and the count's field.
    pub(super) fn as_count(&self) -> Option<(Bson, String)> {
        let (Key::Expression(key), [accumulator]) = (&self.key, self.accumulators.as_slice())
        else {
            return None;
        };
        let id = key.constant()?;
        accumulator
            .is_count()
            .then(|| (id.clone(), accumulator.field.clone()))
    }

    /// Groups all of `input`. Groups come in the order in which they were met; where they did not
    /// fit into memory, in the order of their keys.
    pub(super) fn run<'a>(
        &'a self,
        input: Documents<'_>,
        vars: &'a Vars,
        memory: &Memory,
    ) -> Result<Documents<'a>> {
        // A quarter is for sorting groups that go to the disk.
        let quarter = memory.limit_bytes / 4;
        let mut budget = Budget::new(memory.limit_bytes - quarter);
        let mut table = Table::new();
        let mut spilled: Option<Sorter> = None;
        let mut encoded = Vec::new();
        for document in input {
            let document = document?;
            let id = self.key.eval(&document, vars)?;
            encoded.clear();
            encode_key(&id, false, &mut encoded);
            let index = match table.get_index_of(&encoded) {
                Some(index) => index,
                None => {
                    let states = self.start(&id, vars)?;
                    let states_bytes = states.len() * size_of::<State>();
                    budget.add(held_bytes(&id) + encoded.len() + GROUP_BYTES + states_bytes);
                    let group = (id.into_owned(), states);
                    table.insert_full(encoded.clone(), group).0
                }
            };
            for (accumulator, state) in self.accumulators.iter().zip(&mut table[index].1) {
                accumulator.add(state, &document, vars, &mut budget)?;
            }
            if budget.is_exceeded() {
                memory.disk_for("$group")?;
                let sorter = spilled.get_or_insert_with(|| {
                    let memory = Memory {
                        limit_bytes: quarter,
                        disk: memory.disk.clone(),
                    };
                    Sorter::new("$group", None, &memory)
                });
                spill(&mut table, sorter)?;
                budget.clear();
            }
        }
        let Some(mut sorter) = spilled else {
            let groups = table.into_values();
            return Ok(Box::new(groups.map(|(id, states)| self.finish(id, states))));
        };
        spill(&mut table, &mut sorter)?;
        let sorted = sorter.finish()?;
        let mut merging = Merging {
            group: self,
            vars,
            sorted,
            list_limit_bytes: memory.limit_bytes,
        };
        Ok(Box::new(std::iter::from_fn(move || merging.next())))
    }

    /// Empty states for a group.
    pub(super) fn start(&self, id: &Bson, vars: &Vars) -> Result<Vec<State>> {
        self.accumulators
            .iter()
            .map(|accumulator| accumulator.start(id, vars))
            .collect()
    }

    /// The document of a group.
    pub(super) fn finish(&self, id: Bson, states: Vec<State>) -> Result<Document> {
        let mut document = Document::new();
        document.insert("_id", id);
        for (accumulator, state) in self.accumulators.iter().zip(states) {
            document.insert(accumulator.field.as_str(), accumulator.finish(state)?);
        }
        Ok(document)
    }
}

/// Groups in memory by the encoded key: `_id` and states.
type Table = IndexMap<Vec<u8>, (Bson, Vec<State>)>;

/// Hands all groups to `sorter`, and is empty then.
fn spill(table: &mut Table, sorter: &mut Sorter) -> Result<()> {
    for (key, (id, states)) in table.drain(..) {
        let states: Vec<Bson> = states.into_iter().map(State::encode).collect();
        let group = bson::doc! { "id": id, "states": states };
        sorter.push(&key, &encode(&group)?)?;
    }
    // Its memory is for the table that is filled next, in parts.
    table.shrink_to_fit();
    Ok(())
}

/// Groups that come from the disk in parts, in the order of their keys; the parts of a group in the
/// order in which they were written.
struct Merging<'a> {
    group: &'a Group,
    vars: &'a Vars,
    sorted: Sorted,
    list_limit_bytes: usize,
}

impl Merging<'_> {
    fn next(&mut self) -> Option<Result<Document>> {
        let (key, first) = self.sorted.front()?;
        let (key, first) = (key.to_vec(), decode(first));
        Some(first.and_then(|first| self.whole(&key, first)))
    }

    fn whole(&mut self, key: &[u8], first: Document) -> Result<Document> {
        let mut part = first;
        let id = part.get("id").cloned().unwrap_or(Bson::Null);
        let mut states = self.group.start(&id, self.vars)?;
        loop {
            if let Some(Bson::Array(parts)) = part.remove("states") {
                let accumulators = self.group.accumulators.iter();
                for ((accumulator, state), part) in accumulators.zip(&mut states).zip(parts) {
                    state.absorb(part, accumulator)?;
                    if state.list_bytes() > self.list_limit_bytes {
                        bail!(
                            ExceededMemoryLimit,
                            "a group's list of more than {} bytes cannot spill to disk",
                            self.list_limit_bytes
                        );
                    }
                }
            }
            self.sorted.pop()?;
            match self.sorted.front() {
                Some((next, payload)) if next == key => part = decode(payload)?,
                _ => return self.group.finish(id, states),
            }
        }
    }
}
