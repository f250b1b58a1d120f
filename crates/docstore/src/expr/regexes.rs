//! `$regexMatch`, `$regexFind` and `$regexFindAll`.

use std::borrow::Cow;

use bson::{Bson, Document, doc};
use fancy_regex::{Captures, Regex, RegexBuilder};

use super::{
    node::{Env, Node, Value},
    parse::{Named, parse_named},
    types,
};
use crate::error::{CommandError, Result};

/// Steps that one match may backtrack, so that a hostile pattern ends.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// Matches that `$regexFindAll` gives at most.
const MAX_MATCHES: usize = 1_000_000;

/// What is asked of the matches.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted {
    Whether,
    First,
    All,
}

/// A parsed call; a constant pattern is compiled once.
#[derive(Debug, Clone)]
pub(crate) struct RegexCall {
    name: &'static str,
    wanted: Wanted,
    input: Node,
    regex: Node,
    options: Node,
    compiled: Option<Regex>,
}

/// Parses one of the three operators.
pub(super) fn parse(name: &str, argument: &Bson, depth: usize) -> Result<RegexCall> {
    let (name, wanted) = match name {
        "$regexMatch" => ("$regexMatch", Wanted::Whether),
        "$regexFind" => ("$regexFind", Wanted::First),
        _ => ("$regexFindAll", Wanted::All),
    };
    let shape = Named {
        fields: &["input", "regex", "options"],
        required: 0,
        not_object: 51103,
        unknown: 31024,
        missing: 31022,
    };
    let mut nodes = parse_named(name, argument, &shape, depth)?.into_iter();
    let mut next = || nodes.next().unwrap_or(Node::Absent);
    let (input, regex, options) = (next(), next(), next());
    for (node, field, code) in [(&input, "input", 31022), (&regex, "regex", 31023)] {
        if matches!(node, Node::Absent) {
            return Err(CommandError::location(
                code,
                format!("{name} requires '{field}' parameter"),
            ));
        }
    }
    let compiled = match (&regex, &options) {
        (Node::Const(pattern), Node::Absent) => compile(name, Some(pattern), None)?,
        (Node::Const(pattern), Node::Const(options)) => {
            compile(name, Some(pattern), Some(options))?
        }
        _ => None,
    };
    Ok(RegexCall {
        name,
        wanted,
        input,
        regex,
        options,
        compiled,
    })
}

impl RegexCall {
    pub(super) fn eval<'e>(&'e self, env: &Env<'e>) -> Result<Value<'e>> {
        let input = self.input.eval(env)?;
        let input = match input.as_deref() {
            Some(Bson::String(text) | Bson::Symbol(text)) => Some(text),
            other if types::is_nullish(other) => None,
            other => {
                return Err(CommandError::location(
                    51104,
                    format!(
                        "{} needs 'input' to be of type string, found {}",
                        self.name,
                        types::name(other)
                    ),
                ));
            }
        };
        let evaluated;
        let regex = match &self.compiled {
            Some(regex) => Some(regex),
            None => {
                let pattern = self.regex.eval(env)?;
                let options = self.options.eval(env)?;
                evaluated = compile(self.name, pattern.as_deref(), options.as_deref())?;
                evaluated.as_ref()
            }
        };
        let (Some(input), Some(regex)) = (input, regex) else {
            return Ok(Some(Cow::Owned(match self.wanted {
                Wanted::Whether => Bson::Boolean(false),
                Wanted::First => Bson::Null,
                Wanted::All => Bson::Array(Vec::new()),
            })));
        };
        let failed = |error: fancy_regex::Error| {
            CommandError::location(
                51156,
                format!(
                    "Error occurred while executing the regular expression in {}: {error}",
                    self.name
                ),
            )
        };
        Ok(Some(Cow::Owned(match self.wanted {
            Wanted::Whether => Bson::Boolean(regex.is_match(input).map_err(failed)?),
            Wanted::First => match regex.captures(input).map_err(failed)? {
                Some(captures) => {
                    Bson::Document(describe(&captures, code_points(input, 0, &captures)))
                }
                None => Bson::Null,
            },
            Wanted::All => {
                let mut all = Vec::new();
                let (mut counted, mut from) = ((0, 0), 0);
                // An end of the input that nothing led up to matches too.
                while from < input.len() || (from == 0 && all.is_empty()) {
                    let captures = regex.captures_from_pos(input, from).map_err(failed)?;
                    let Some(captures) = captures else { break };
                    if all.len() >= MAX_MATCHES {
                        return Err(CommandError::location(
                            51151,
                            "$regexFindAll: the size of buffer to store output exceeded the limit",
                        ));
                    }
                    let (start, end) = captures
                        .get(0)
                        .map_or((0, 0), |found| (found.start(), found.end()));
                    counted = (start, counted.1 + code_points(input, counted.0, &captures));
                    // After an empty match the search goes on a character further.
                    from = if start == end {
                        end + input[end..].chars().next().map_or(1, char::len_utf8)
                    } else {
                        end
                    };
                    all.push(Bson::Document(describe(&captures, counted.1)));
                }
                Bson::Array(all)
            }
        })))
    }
}

/// Code points between byte `from` and the start of the match.
fn code_points(input: &str, from: usize, captures: &Captures<'_>) -> usize {
    let start = captures.get(0).map_or(0, |found| found.start());
    input
        .get(from..start)
        .map_or(0, |text| text.chars().count())
}

fn describe(captures: &Captures<'_>, index: usize) -> Document {
    let groups = (1..captures.len()).map(|group| {
        captures
            .get(group)
            .map_or(Bson::Null, |found| Bson::String(found.as_str().to_owned()))
    });
    doc! {
        "match": captures.get(0).map_or("", |found| found.as_str()),
        "idx": index as i32,
        "captures": groups.collect::<Vec<_>>(),
    }
}

/// Compiles a pattern that is a string or a regex; `None` where it is null.
fn compile(name: &str, pattern: Option<&Bson>, options: Option<&Bson>) -> Result<Option<Regex>> {
    let (pattern, own_options) = match pattern {
        Some(Bson::String(pattern)) => (pattern.as_str(), ""),
        Some(Bson::RegularExpression(regex)) => (regex.pattern.as_str(), regex.options.as_str()),
        other if types::is_nullish(other) => return Ok(None),
        other => {
            return Err(CommandError::location(
                51105,
                format!(
                    "{name} needs 'regex' to be of type string or regex, found {}",
                    types::name(other)
                ),
            ));
        }
    };
    let options = match options {
        Some(Bson::String(options)) if !own_options.is_empty() && !options.is_empty() => {
            return Err(CommandError::location(
                51107,
                format!(
                    "{name}: found regex option(s) specified in both 'regex' and 'option' fields: {options}"
                ),
            ));
        }
        Some(Bson::String(options)) if own_options.is_empty() => options,
        value if types::is_nullish(value) || matches!(value, Some(Bson::String(_))) => own_options,
        other => {
            return Err(CommandError::location(
                51106,
                format!(
                    "{name} needs 'options' to be of type string, found {}",
                    types::name(other)
                ),
            ));
        }
    };
    let mut builder = RegexBuilder::new(pattern);
    builder.backtrack_limit(BACKTRACK_LIMIT);
    for option in options.chars() {
        match option {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'u' => &mut builder,
            _ => {
                return Err(CommandError::location(
                    51108,
                    format!("{name} invalid flag in regex options: {options}"),
                ));
            }
        };
    }
    match builder.build() {
        Ok(regex) => Ok(Some(regex)),
        Err(error) => Err(CommandError::location(
            51111,
            format!("Invalid Regex in {name}: {error}"),
        )),
    }
}
