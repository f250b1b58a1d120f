//! BSON to expression trees: field paths, variables, operators and their argument shapes.

use bson::{Bson, Document};

use super::{
    control,
    node::Node,
    operators::{self, Shape},
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
};

/// Levels an expression may nest; deeper ones are refused rather than risking the stack.
pub(crate) const MAX_DEPTH: usize = 100;

/// Variables that MongoDB itself defines.
const SYSTEM_VARIABLES: [&str; 7] = [
    "ROOT",
    "CURRENT",
    "NOW",
    "CLUSTER_TIME",
    "DESCEND",
    "PRUNE",
    "KEEP",
];

/// Parses any expression.
pub(crate) fn parse(value: &Bson, depth: usize) -> Result<Node> {
    if depth > MAX_DEPTH {
        bail!(Overflow, "expression nests deeper than {MAX_DEPTH} levels");
    }
    match value {
        Bson::String(text) if text.starts_with('$') => parse_path(text),
        Bson::Document(document) => parse_document(document, depth),
        Bson::Array(items) => {
            let nodes = parse_all(items, depth + 1)?;
            // What they stand for, which `$literal` is not itself.
            let constants: Option<Vec<Bson>> = nodes
                .iter()
                .map(|node| match node {
                    Node::Const(value) => Some(value.clone()),
                    _ => None,
                })
                .collect();
            Ok(match constants {
                Some(constants) => Node::Const(Bson::Array(constants)),
                None => Node::Array(nodes),
            })
        }
        _ => Ok(Node::Const(value.clone())),
    }
}

/// Parses each of `items`.
pub(crate) fn parse_all(items: &[Bson], depth: usize) -> Result<Vec<Node>> {
    items.iter().map(|item| parse(item, depth)).collect()
}

/// Parses an operator call or an object of expressions.
pub(crate) fn parse_document(document: &Document, depth: usize) -> Result<Node> {
    let Some((first, argument)) = document.iter().next() else {
        return Ok(Node::Const(Bson::Document(Document::new())));
    };
    if first.starts_with('$') {
        if document.len() != 1 {
            return Err(CommandError::location(
                15983,
                format!(
                    "An object representing an expression must have exactly one field: {document}"
                ),
            ));
        }
        return parse_operator(first, argument, depth);
    }
    let mut fields = Vec::with_capacity(document.len());
    for (name, value) in document {
        check_field_name(name)?;
        fields.push((name.clone(), parse(value, depth + 1)?));
    }
    if fields
        .iter()
        .all(|(_, node)| matches!(node, Node::Const(_)))
    {
        let constants = fields.into_iter().map(|(name, node)| match node {
            Node::Const(value) => (name, value),
            _ => (name, Bson::Null),
        });
        return Ok(Node::Const(Bson::Document(constants.collect())));
    }
    Ok(Node::Object(fields))
}

fn parse_operator(name: &str, argument: &Bson, depth: usize) -> Result<Node> {
    if let Some(node) = control::parse(name, argument, depth)? {
        return Ok(node);
    }
    let Some(operator) = operators::find(name) else {
        bail!(InvalidPipelineOperator, "Unrecognized expression '{name}'");
    };
    let nodes = match &operator.shape {
        Shape::Count(least, most) => parse_counted(name, argument, *least, *most, depth)?,
        Shape::Any => parse_list(argument, depth)?,
        Shape::Named(named) => parse_named(name, argument, named, depth)?,
        Shape::DatePart => parse_date_part(name, argument, depth)?,
    };
    Ok(Node::Call(operator, nodes))
}

/// The arguments as a list; anything but an array is a single argument.
pub(crate) fn parse_list(argument: &Bson, depth: usize) -> Result<Vec<Node>> {
    match argument {
        Bson::Array(items) => parse_all(items, depth + 1),
        single => Ok(vec![parse(single, depth + 1)?]),
    }
}

/// As [`parse_list`], with the number of arguments checked.
pub(crate) fn parse_counted(
    name: &str,
    argument: &Bson,
    least: usize,
    most: usize,
    depth: usize,
) -> Result<Vec<Node>> {
    let nodes = parse_list(argument, depth)?;
    let count = nodes.len();
    if (least..=most).contains(&count) {
        return Ok(nodes);
    }
    Err(if least == most {
        CommandError::location(
            16020,
            format!("Expression {name} takes exactly {least} arguments. {count} were passed in."),
        )
    } else {
        CommandError::location(
            28667,
            format!(
                "Expression {name} takes at least {least} arguments, and at most {most}, but \
                 {count} were passed in."
            ),
        )
    })
}

/// The names of an operator's arguments and MongoDB's codes for wrong ones.
#[derive(Debug)]
pub(crate) struct Named {
    /// In the order in which the function gets them.
    pub(crate) fields: &'static [&'static str],
    /// How many of them, from the first, must be given.
    pub(crate) required: usize,
    /// The code for an argument that is no object.
    pub(crate) not_object: i32,
    /// The code for an unknown name.
    pub(crate) unknown: i32,
    /// The code for a missing name.
    pub(crate) missing: i32,
}

impl Named {
    fn error(code: i32, message: String) -> CommandError {
        if code == Code::FailedToParse as i32 {
            CommandError::new(Code::FailedToParse, message)
        } else {
            CommandError::location(code, message)
        }
    }
}

/// Parses `{name: expression, …}` into the order of `named.fields`.
pub(crate) fn parse_named(
    name: &str,
    argument: &Bson,
    named: &Named,
    depth: usize,
) -> Result<Vec<Node>> {
    let Bson::Document(document) = argument else {
        return Err(Named::error(
            named.not_object,
            format!(
                "{name} only supports an object as its argument, found {}",
                super::types::name(Some(argument))
            ),
        ));
    };
    let mut nodes = vec![Node::Absent; named.fields.len()];
    for (key, value) in document {
        let Some(index) = named.fields.iter().position(|field| field == key) else {
            return Err(Named::error(
                named.unknown,
                format!("Unrecognized argument to {name}: {key}"),
            ));
        };
        nodes[index] = parse(value, depth + 1)?;
    }
    for (field, node) in named.fields.iter().zip(&nodes).take(named.required) {
        if matches!(node, Node::Absent) {
            return Err(Named::error(
                named.missing,
                format!("Missing '{field}' parameter to {name}"),
            ));
        }
    }
    Ok(nodes)
}

/// `{$year: date}`, `{$year: [date]}` or `{$year: {date: …, timezone: …}}`.
fn parse_date_part(name: &str, argument: &Bson, depth: usize) -> Result<Vec<Node>> {
    if let Bson::Document(document) = argument
        && document
            .keys()
            .next()
            .is_none_or(|key| !key.starts_with('$'))
    {
        let mut nodes = vec![Node::Absent; 2];
        for (key, value) in document {
            let index = match key.as_str() {
                "date" => 0,
                "timezone" => 1,
                _ => {
                    return Err(CommandError::location(
                        40535,
                        format!("unrecognized option to {name}: \"{key}\""),
                    ));
                }
            };
            nodes[index] = parse(value, depth + 1)?;
        }
        if matches!(nodes[0], Node::Absent) {
            return Err(CommandError::location(
                40539,
                format!("missing 'date' argument to {name}, provided: {name}: {document}"),
            ));
        }
        return Ok(nodes);
    }
    if let Bson::Array(items) = argument
        && items.len() != 1
    {
        return Err(CommandError::location(
            40536,
            format!(
                "{name} accepts exactly one argument if given an array, but was given {}",
                items.len()
            ),
        ));
    }
    let mut nodes = parse_list(argument, depth)?;
    nodes.push(Node::Absent);
    Ok(nodes)
}

/// Parses `$a.b` or `$$name.a.b`.
fn parse_path(text: &str) -> Result<Node> {
    if let Some(rest) = text.strip_prefix("$$") {
        let (name, path) = match rest.split_once('.') {
            Some((name, path)) => (name, split_path(path)?),
            None => (rest, Vec::new()),
        };
        if name == "REMOVE" {
            return Ok(Node::Missing);
        }
        if name.is_empty() {
            bail!(FailedToParse, "empty variable names are not allowed");
        }
        if !SYSTEM_VARIABLES.contains(&name) {
            check_user_variable(name)?;
        }
        return Ok(Node::Variable(name.to_owned(), path));
    }
    let path = &text[1..];
    if path.is_empty() {
        return Err(CommandError::location(
            16872,
            "'$' by itself is not a valid FieldPath",
        ));
    }
    Ok(Node::Field(split_path(path)?))
}

/// Splits and checks a dotted path.
pub(crate) fn split_path(path: &str) -> Result<Vec<String>> {
    if path.ends_with('.') {
        return Err(CommandError::location(
            40353,
            "FieldPath must not end with a '.'.",
        ));
    }
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    if parts.len() > 2 * MAX_DEPTH {
        bail!(Overflow, "FieldPath is too long");
    }
    for part in &parts {
        if part.is_empty() {
            return Err(CommandError::location(
                15998,
                "FieldPath field names may not be empty strings.",
            ));
        }
        if part.starts_with('$') && !is_reference_part(part) {
            return Err(CommandError::location(
                16410,
                "FieldPath field names may not start with '$'. Consider using $getField or \
                 $setField.",
            ));
        }
        if part.contains('\0') {
            return Err(CommandError::location(
                16411,
                "FieldPath field names may not contain '\\0'.",
            ));
        }
    }
    Ok(parts)
}

/// The fields of a DBRef are the only ones with a `$` that a path may name.
pub(crate) fn is_reference_part(part: &str) -> bool {
    matches!(part, "$ref" | "$id" | "$db")
}

/// Checks one field's name in an object expression.
fn check_field_name(name: &str) -> Result<()> {
    if name.contains('.') {
        return Err(CommandError::location(
            16412,
            "FieldPath field names may not contain '.'. Consider using $getField or $setField.",
        ));
    }
    if name.starts_with('$') {
        return Err(CommandError::location(
            16410,
            "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
        ));
    }
    Ok(())
}

/// Checks the name of a user's variable: a lower-case letter first, then letters, digits, `_`.
pub(crate) fn check_user_variable(name: &str) -> Result<()> {
    let mut characters = name.chars();
    let Some(first) = characters.next() else {
        bail!(FailedToParse, "empty variable names are not allowed");
    };
    if !first.is_ascii_lowercase() && first.is_ascii() {
        bail!(
            FailedToParse,
            "'{name}' starts with an invalid character for a user variable name"
        );
    }
    if let Some(bad) = characters.find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && *c != '_')
    {
        bail!(
            FailedToParse,
            "'{name}' contains an invalid character for a variable name: '{bad}'"
        );
    }
    Ok(())
}
