//! Parsing of projections: modes, collisions and operators, with MongoDB's numbers for refusals.

use bson::{Bson, Document, doc};

use super::{Branch, Projection, Rule, as_flag};
use crate::{
    error::{CommandError, Result},
    expr::Expr,
    query::{Filter, expression_vars},
    value::{Number, exact_i64},
};

/// How deep paths and nested documents may go.
const MAX_DEPTH: usize = 100;

macro_rules! refuse {
    ($code:literal, $($arg:tt)+) => {
        return Err(CommandError::location($code, format!($($arg)+)))
    };
}

/// What has been found out so far.
#[derive(Default)]
struct Parser {
    root: Branch,
    vars: Document,
    inclusion: Option<bool>,
    id: Option<bool>,
    has_elem_match: bool,
    has_slice: bool,
    positional: Option<Vec<String>>,
}

pub(super) fn parse(projection: &Document, vars: &Document) -> Result<Projection> {
    let mut parser = Parser {
        vars: vars.clone(),
        ..Parser::default()
    };
    for (path, value) in projection {
        parser.parse_entry(path, value, &[])?;
    }
    // Where no field tells, `_id` and the operators do; `$slice` alone leaves the rest in.
    let inclusion = parser
        .inclusion
        .unwrap_or(match (parser.has_slice, parser.id) {
            (_, Some(true)) => true,
            (has_slice, _) => parser.has_elem_match && !has_slice,
        });
    // `_id` stands by itself: it is in unless said otherwise.
    match parser.id {
        Some(true) if inclusion => add(&mut parser.root, &["_id".to_owned()], Rule::Include)?,
        Some(false) => add(&mut parser.root, &["_id".to_owned()], Rule::Exclude)?,
        _ => {}
    }
    Ok(Projection {
        root: parser.root,
        inclusion,
        positional: parser.positional,
        vars: expression_vars(vars),
    })
}

impl Parser {
    fn parse_entry(&mut self, path: &str, value: &Bson, above: &[String]) -> Result<()> {
        if above.is_empty() && (path == "$" || path.ends_with(".$")) {
            return self.parse_positional(path, value);
        }
        let mut parts = above.to_vec();
        for part in path.split('.') {
            parts.push(checked_part(path, part)?);
        }
        if parts.len() > MAX_DEPTH {
            refuse!(
                31324,
                "projection exceeds the maximum nesting depth of {MAX_DEPTH}"
            );
        }
        if let Some(flag) = as_flag(value) {
            return self.parse_flag(&parts, flag);
        }
        match value {
            Bson::Document(inner) if inner.is_empty() => {
                refuse!(
                    51270,
                    "An empty sub-projection is not a valid value. Found empty object at path"
                )
            }
            Bson::Document(inner) => {
                if let Some((name, operand)) = inner.iter().next()
                    && name.starts_with('$')
                {
                    if inner.len() > 1 {
                        refuse!(
                            15983,
                            "an object representing an expression must have exactly one field: {inner}"
                        );
                    }
                    return self.parse_operator(&parts, name, operand, value);
                }
                for (below, value) in inner {
                    self.parse_entry(below, value, &parts)?;
                }
                Ok(())
            }
            _ => self.parse_expression(&parts, value),
        }
    }

    fn parse_flag(&mut self, parts: &[String], flag: bool) -> Result<()> {
        if parts == ["_id"] {
            if self.id.is_some() {
                refuse!(31250, "Path collision at _id");
            }
            self.id = Some(flag);
            return Ok(());
        }
        self.enter_mode(flag, &parts.join("."))?;
        add(
            &mut self.root,
            parts,
            if flag { Rule::Include } else { Rule::Exclude },
        )
    }

    fn enter_mode(&mut self, inclusion: bool, path: &str) -> Result<()> {
        match self.inclusion {
            Some(true) if !inclusion => {
                refuse!(
                    31254,
                    "Cannot do exclusion on field {path} in inclusion projection"
                )
            }
            Some(false) if inclusion => {
                refuse!(
                    31253,
                    "Cannot do inclusion on field {path} in exclusion projection"
                )
            }
            _ => {
                self.inclusion = Some(inclusion);
                Ok(())
            }
        }
    }

    fn parse_expression(&mut self, parts: &[String], value: &Bson) -> Result<()> {
        if self.inclusion == Some(false) {
            if matches!(value, Bson::Document(_)) {
                refuse!(
                    31252,
                    "Cannot use expression other than $meta in exclusion projection"
                );
            }
            refuse!(
                31310,
                "Cannot use an expression {}: {value} in an exclusion projection",
                parts.join(".")
            );
        }
        self.inclusion = Some(true);
        add(&mut self.root, parts, Rule::Computed(Expr::parse(value)?))
    }

    fn parse_operator(
        &mut self,
        parts: &[String],
        name: &str,
        operand: &Bson,
        whole: &Bson,
    ) -> Result<()> {
        match name {
            "$slice" => match parse_slice(operand)? {
                Some(rule) => {
                    self.has_slice = true;
                    add(&mut self.root, parts, rule)
                }
                None => self.parse_expression(parts, whole),
            },
            "$elemMatch" => {
                let [field] = parts else {
                    refuse!(31275, "Cannot use $elemMatch projection on a nested field.")
                };
                let Bson::Document(_) = operand else {
                    refuse!(
                        31274,
                        "elemMatch: Invalid argument, object required, but got {operand}"
                    )
                };
                if self.positional.is_some() {
                    refuse!(31255, "Cannot specify positional operator and $elemMatch.");
                }
                self.has_elem_match = true;
                let mut condition = Document::new();
                condition.insert(field, doc! {"$elemMatch": operand.clone()});
                let filter = Filter::parse(&condition, &self.vars)?;
                add(&mut self.root, parts, Rule::ElemMatch(filter))
            }
            "$meta" => match operand {
                Bson::String(kind) if kind == "textScore" => refuse!(
                    40218,
                    "query requires text score metadata, but it is not available"
                ),
                other => refuse!(17308, "Unsupported argument to $meta: {other}"),
            },
            _ => self.parse_expression(parts, whole),
        }
    }

    fn parse_positional(&mut self, path: &str, value: &Bson) -> Result<()> {
        let Some(path) = path.strip_suffix(".$") else {
            refuse!(
                16410,
                "FieldPath field names may not start with '$'. Consider using $getField or $setField."
            )
        };
        if as_flag(value) == Some(false) || self.inclusion == Some(false) {
            refuse!(31395, "positional projection cannot be used with exclusion");
        }
        if matches!(value, Bson::Document(_)) {
            refuse!(
                31271,
                "positional projection cannot be used with an expression or sub object"
            );
        }
        if as_flag(value).is_none() {
            refuse!(31308, "positional projection cannot be used with a literal");
        }
        if self.positional.is_some() {
            refuse!(
                31276,
                "Cannot specify more than one positional projection per query."
            );
        }
        if self.has_elem_match {
            refuse!(31256, "Cannot specify positional operator and $elemMatch.");
        }
        let mut parts = Vec::new();
        for part in path.split('.') {
            parts.push(checked_part(path, part)?);
        }
        if parts.len() > MAX_DEPTH {
            refuse!(
                31324,
                "projection exceeds the maximum nesting depth of {MAX_DEPTH}"
            );
        }
        self.inclusion = Some(true);
        add(&mut self.root, &parts, Rule::Include)?;
        self.positional = Some(parts);
        Ok(())
    }
}

fn checked_part(path: &str, part: &str) -> Result<String> {
    if path.is_empty() {
        refuse!(40352, "FieldPath cannot be constructed with empty string");
    }
    if path.ends_with('.') {
        refuse!(40353, "FieldPath must not end with a '.'.");
    }
    if part.is_empty() {
        refuse!(15998, "FieldPath field names may not be empty strings.");
    }
    if part == "$" {
        refuse!(
            31394,
            "As of 4.4, it's illegal to specify positional operator in the middle of a path. \
             Positional projection may only be used at the end, for example: a.b.$. If the query \
             previously used a form like a.b.$.d, remove the parts following the '$' and the results \
             will be equivalent."
        );
    }
    // Drivers ask for references by `ref.$id`.
    if part.starts_with('$') && !crate::expr::parse::is_reference_part(part) {
        refuse!(
            16410,
            "FieldPath field names may not start with '$'. Consider using $getField or $setField."
        );
    }
    Ok(part.to_owned())
}

/// `None` where the operand is that of the aggregation operator of the same name.
fn parse_slice(operand: &Bson) -> Result<Option<Rule>> {
    let number = |value: &Bson| -> Result<i64> {
        // Fractions are cut off; what does not fit is as good as unbounded.
        Ok(match exact_i64(value) {
            Some(n) => n,
            None => match Number::from_bson(value).map(Number::to_f64) {
                Some(n) => n as i64,
                None => refuse!(28667, "Invalid $slice syntax: {value} is not a number"),
            },
        })
    };
    match operand {
        Bson::Array(items) => match items.as_slice() {
            [skip, limit]
                if Number::from_bson(skip).is_some() && Number::from_bson(limit).is_some() =>
            {
                let limit = number(limit)?;
                if limit <= 0 {
                    refuse!(
                        28724,
                        "Invalid $slice syntax: $slice limit must be positive, got {limit}"
                    );
                }
                Ok(Some(Rule::Slice {
                    skip: Some(number(skip)?),
                    limit,
                }))
            }
            [_, _] | [_, _, _] => Ok(None),
            _ => refuse!(
                28667,
                "Invalid $slice syntax: expected 2 or 3 arguments in {operand}"
            ),
        },
        value if Number::from_bson(value).is_some() => Ok(Some(Rule::Slice {
            skip: None,
            limit: number(value)?,
        })),
        other => refuse!(
            28667,
            "Invalid $slice syntax: {other} is neither a number nor an array"
        ),
    }
}

/// Puts a rule at a path; no path may be named twice, nor with a part of it.
fn add(root: &mut Branch, path: &[String], rule: Rule) -> Result<()> {
    add_below(root, path, path, rule)
}

/// `rest` is what of `path` lies below `branch`.
fn add_below(branch: &mut Branch, path: &[String], rest: &[String], rule: Rule) -> Result<()> {
    let Some((first, rest)) = rest.split_first() else {
        return Ok(());
    };
    let known = branch.fields.iter().position(|(field, _)| field == first);
    match (known, rest) {
        (Some(_), []) => refuse!(31250, "Path collision at {}", path.join(".")),
        (None, []) => branch.fields.push((first.clone(), rule)),
        (Some(index), _) => match &mut branch.fields[index].1 {
            Rule::Below(below) => add_below(below, path, rest, rule)?,
            _ => refuse!(
                31249,
                "Path collision at {} remaining portion {}",
                path.join("."),
                rest.join(".")
            ),
        },
        (None, _) => {
            let mut below = Branch::default();
            add_below(&mut below, path, rest, rule)?;
            branch.fields.push((first.clone(), Rule::Below(below)));
        }
    }
    Ok(())
}
