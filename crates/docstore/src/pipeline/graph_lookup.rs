//! `$graphLookup`: follows references within a collection, breadth first.

use std::collections::HashSet;

use bson::{Bson, Document, doc};

use super::{
    conjunction,
    lookup::reach,
    memory::{Budget, stored_bytes},
    options::{string, whole},
    stage::{Context, Documents},
    unwind,
};
use crate::{
    error::{CommandError, Result},
    expr::{Expr, parse::split_path, types},
    query::Filter,
    value::encode_key,
};

/// A parsed `$graphLookup`.
#[derive(Debug)]
pub(super) struct GraphLookup {
    from: String,
    start_with: Expr,
    connect_from: Vec<String>,
    connect_to: String,
    into: Vec<String>,
    max_depth: Option<u64>,
    depth_field: Option<Vec<String>>,
    restrict: Document,
}

impl GraphLookup {
    pub(super) fn parse(argument: &Bson, filter_vars: &Document) -> Result<Self> {
        let Bson::Document(options) = argument else {
            return Err(CommandError::location(
                40327,
                format!(
                    "the $graphLookup stage specification must be an object, but found {}",
                    types::name(Some(argument))
                ),
            ));
        };
        const KNOWN: [&str; 8] = [
            "from",
            "startWith",
            "connectFromField",
            "connectToField",
            "as",
            "maxDepth",
            "depthField",
            "restrictSearchWithMatch",
        ];
        if let Some(key) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(CommandError::location(
                40104,
                format!("Unknown argument to $graphLookup: {key}"),
            ));
        }
        for name in [
            "from",
            "as",
            "startWith",
            "connectFromField",
            "connectToField",
        ] {
            if !options.contains_key(name) {
                return Err(CommandError::location(
                    40105,
                    format!("$graphLookup requires '{name}' to be specified"),
                ));
            }
        }
        let max_depth = match options.get("maxDepth") {
            None => None,
            Some(value) => match whole(value).and_then(|depth| u64::try_from(depth).ok()) {
                Some(depth) => Some(depth),
                None => {
                    return Err(CommandError::location(
                        40101,
                        "maxDepth requires a nonnegative whole argument",
                    ));
                }
            },
        };
        let depth_field = match options.get("depthField") {
            None => None,
            Some(_) => Some(split_path(string("$graphLookup", options, "depthField")?)?),
        };
        let restrict = match options.get("restrictSearchWithMatch") {
            None => Document::new(),
            Some(Bson::Document(filter)) => {
                Filter::parse(filter, filter_vars)?;
                filter.clone()
            }
            other => {
                return Err(CommandError::location(
                    40185,
                    format!(
                        "restrictSearchWithMatch must be an object, found {}",
                        types::name(other)
                    ),
                ));
            }
        };
        let connect_to = string("$graphLookup", options, "connectToField")?;
        split_path(connect_to)?;
        Ok(Self {
            from: string("$graphLookup", options, "from")?.to_owned(),
            start_with: Expr::parse(options.get("startWith").unwrap_or(&Bson::Null))?,
            connect_from: split_path(string("$graphLookup", options, "connectFromField")?)?,
            connect_to: connect_to.to_owned(),
            into: split_path(string("$graphLookup", options, "as")?)?,
            max_depth,
            depth_field,
            restrict,
        })
    }

    pub(super) fn run<'a>(&'a self, input: Documents<'a>, context: Context<'a>) -> Documents<'a> {
        Box::new(input.map(move |document| {
            let mut document = document?;
            let found = self.search(&document, context)?;
            unwind::set(&mut document, &self.into, Bson::Array(found));
            Ok(document)
        }))
    }

    fn search(&self, document: &Document, context: Context<'_>) -> Result<Vec<Bson>> {
        let mut budget = Budget::new(context.memory.limit_bytes);
        let mut frontier = match self.start_with.eval(document, context.vars)? {
            Some(Bson::Array(values)) => values,
            Some(value) => vec![value],
            None => vec![Bson::Null],
        };
        let (mut asked, mut seen) = (HashSet::new(), HashSet::new());
        let mut found = Vec::new();
        let mut depth = 0;
        loop {
            frontier.retain(|value| asked.insert(encoded(value)));
            if frontier.is_empty() || self.max_depth.is_some_and(|most| depth > most) {
                return Ok(found);
            }
            let any: Vec<Bson> = std::mem::take(&mut frontier)
                .into_iter()
                .map(|value| Bson::Document(doc! { &self.connect_to: { "$eq": value } }))
                .collect();
            let mut filters = vec![doc! { "$or": any }];
            if !self.restrict.is_empty() {
                filters.push(self.restrict.clone());
            }
            let filter = conjunction(filters);
            for reached in
                context
                    .source
                    .find(context.database, &self.from, &filter, context.vars)?
            {
                let mut reached = reached?;
                let id = encoded(reached.get("_id").unwrap_or(&Bson::Null));
                if !seen.insert(id) {
                    continue;
                }
                budget.add(stored_bytes(&reached));
                budget.check(40_099, "what $graphLookup found")?;
                reach(&reached, &self.connect_from, &mut frontier);
                if let Some(field) = &self.depth_field {
                    unwind::set(&mut reached, field, Bson::Int64(depth as i64));
                }
                found.push(Bson::Document(reached));
            }
            depth += 1;
        }
    }
}

fn encoded(value: &Bson) -> Vec<u8> {
    let mut key = Vec::new();
    encode_key(value, false, &mut key);
    key
}
