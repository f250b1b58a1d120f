//! `$setWindowFields`: functions over windows of sorted partitions.
//!
//! Documents are sorted by partition and order, on the disk if need be; then one partition after
//! the other is gone through, row by row.

mod bounds;
mod function;
mod partition;
mod run;

use bson::Bson;

use super::{
    options::{check_known, object, whole},
    stage::Documents,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars, parse::split_path, sort_key::SortPattern, types},
    spill::{Memory, Sorter},
    value::encode_key,
    wire::writer::encode,
};
use function::Function;
use run::Running;

/// A parsed `$setWindowFields`.
#[derive(Debug)]
pub(super) struct WindowFields {
    partition: Option<Expr>,
    order: Option<Order>,
    outputs: Vec<Output>,
}

/// A parsed `sortBy`.
#[derive(Debug)]
struct Order {
    pattern: SortPattern,
    /// Whether it has one field, so that documents stand on an axis.
    single: bool,
    /// Whether it has one field, ascending.
    single_ascending: bool,
}

#[derive(Debug)]
struct Output {
    path: Vec<String>,
    function: Function,
}

fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(CommandError::new(
        crate::error::Code::FailedToParse,
        message,
    ))
}

impl WindowFields {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let options = object("$setWindowFields", argument, 9)?;
        check_known(
            "$setWindowFields",
            options,
            &["partitionBy", "sortBy", "output"],
            40415,
        )?;
        let partition = options.get("partitionBy").map(Expr::parse).transpose()?;
        let order = match options.get("sortBy") {
            None => None,
            Some(Bson::Document(keys)) => {
                let ascending = keys.values().all(|direction| whole(direction) == Some(1));
                Some(Order {
                    pattern: SortPattern::parse(keys)?,
                    single: keys.len() == 1,
                    single_ascending: keys.len() == 1 && ascending,
                })
            }
            other => bail!(
                TypeMismatch,
                "BSON field '$setWindowFields.sortBy' is the wrong type '{}', expected type 'object'",
                types::name(other)
            ),
        };
        let Some(Bson::Document(fields)) = options.get("output") else {
            return Err(CommandError::location(
                40414,
                "BSON field '$setWindowFields.output' is missing but a required field",
            ));
        };
        let mut outputs = Vec::with_capacity(fields.len());
        for (path, specification) in fields {
            outputs.push(Output {
                function: Function::parse(path, specification, order.as_ref())?,
                path: split_path(path)?,
            });
        }
        Ok(Self {
            partition,
            order,
            outputs,
        })
    }

    /// Reads all of `input`. Partitions come in the order of their values.
    pub(super) fn run<'a>(
        &'a self,
        input: Documents<'_>,
        vars: &'a Vars,
        memory: &Memory,
    ) -> Result<Documents<'a>> {
        let mut sorter = Sorter::new("$setWindowFields", None, memory);
        let (mut key, mut row) = (Vec::new(), Vec::new());
        for document in input {
            let document = document?;
            let id = match &self.partition {
                Some(partition) => partition.eval(&document, vars)?.unwrap_or(Bson::Null),
                None => Bson::Null,
            };
            if matches!(id, Bson::Array(_)) {
                bail!(
                    TypeMismatch,
                    "An expression used to partition cannot evaluate to value of type array"
                );
            }
            key.clear();
            encode_key(&id, false, &mut key);
            row.clear();
            // Tells the partition's part of the key.
            row.extend_from_slice(&(key.len() as u32).to_le_bytes());
            row.extend_from_slice(&encode(&document)?);
            if let Some(order) = &self.order {
                order.pattern.encode(&document, &mut key)?;
            }
            sorter.push(&key, &row)?;
        }
        let mut running = Running::new(self, sorter.finish()?, vars, memory);
        Ok(Box::new(std::iter::from_fn(move || running.next())))
    }
}
