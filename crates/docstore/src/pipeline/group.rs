//! `$group`, and the table of groups that `$bucket` shares.

use std::collections::HashMap;

use bson::{Bson, Document};

use super::{
    accumulator::{Accumulator, State},
    memory::{Budget, value_bytes},
    stage::Documents,
};
use crate::{
    error::{CommandError, Result},
    expr::{Expr, Vars, types},
    value::{compare, encode_key},
};

/// A parsed `$group` or `$bucket`.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Key,
    pub(super) accumulators: Vec<Accumulator>,
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
    fn eval(&self, document: &Document, vars: &Vars) -> Result<Bson> {
        let (expression, boundaries, default) = match self {
            Self::Expression(expression) => {
                return Ok(expression.eval(document, vars)?.unwrap_or(Bson::Null));
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
            return Ok(boundaries[after - 1].clone());
        }
        match default {
            Some(default) => Ok(default.clone()),
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
        Ok(Self { key, accumulators })
    }

    /// Groups all of `input`; groups come in the order in which they were met.
    pub(super) fn run(
        &self,
        input: Documents<'_>,
        vars: &Vars,
        memory_bytes: usize,
    ) -> Result<Vec<Document>> {
        let mut budget = Budget::new("$group", memory_bytes);
        let mut by_key: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut groups: Vec<(Bson, Vec<State>)> = Vec::new();
        let mut encoded = Vec::new();
        for document in input {
            let document = document?;
            let id = self.key.eval(&document, vars)?;
            encoded.clear();
            encode_key(&id, false, &mut encoded);
            let index = match by_key.get(&encoded) {
                Some(index) => *index,
                None => {
                    let states = self.start(&id, vars)?;
                    let states_bytes = states.len() * size_of::<State>();
                    budget.add(value_bytes(&id) + encoded.len() + 64 + states_bytes)?;
                    by_key.insert(encoded.clone(), groups.len());
                    groups.push((id, states));
                    groups.len() - 1
                }
            };
            for (accumulator, state) in self.accumulators.iter().zip(&mut groups[index].1) {
                accumulator.add(state, &document, vars, &mut budget)?;
            }
        }
        Ok(groups
            .into_iter()
            .map(|(id, states)| self.finish(id, states))
            .collect())
    }

    /// Empty states for a group.
    pub(super) fn start(&self, id: &Bson, vars: &Vars) -> Result<Vec<State>> {
        self.accumulators
            .iter()
            .map(|accumulator| accumulator.start(id, vars))
            .collect()
    }

    /// The document of a group.
    pub(super) fn finish(&self, id: Bson, states: Vec<State>) -> Document {
        let mut document = Document::new();
        document.insert("_id", id);
        for (accumulator, state) in self.accumulators.iter().zip(states) {
            document.insert(accumulator.field.as_str(), accumulator.finish(state));
        }
        document
    }
}
