//! Parses the operators of this module.

use bson::{Bson, Document};

use super::{ArrayOrder, Lazy};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{
        node::Node,
        parse::{
            Named, check_user_variable, parse as parse_node, parse_counted, parse_list, parse_named,
        },
        regexes,
        sort_key::SortPattern,
        types,
    },
};

/// Parses `{name: argument}` if it is an operator of this module.
pub(crate) fn parse(name: &str, argument: &Bson, depth: usize) -> Result<Option<Node>> {
    let lazy = match name {
        "$literal" | "$const" => return Ok(Some(Node::Const(argument.clone()))),
        "$expr" => return parse_node(argument, depth + 1).map(Some),
        "$and" => Lazy::And(parse_list(argument, depth)?),
        "$or" => Lazy::Or(parse_list(argument, depth)?),
        "$cond" => parse_cond(argument, depth)?,
        "$ifNull" => {
            let nodes = parse_list(argument, depth)?;
            if nodes.len() < 2 {
                return Err(CommandError::location(
                    1_257_300,
                    format!("$ifNull needs at least two arguments, had: {}", nodes.len()),
                ));
            }
            Lazy::IfNull(nodes)
        }
        "$switch" => parse_switch(argument, depth)?,
        "$let" => parse_let(argument, depth)?,
        "$map" => parse_map(argument, depth)?,
        "$filter" => parse_filter(argument, depth)?,
        "$reduce" => {
            let [input, initial, body] = named(
                "$reduce",
                argument,
                &["input", "initialValue", "in"],
                3,
                (40075, 40076, 40077),
                depth,
            )?;
            Lazy::Reduce {
                input,
                initial,
                body,
            }
        }
        "$sortArray" => parse_sort_array(argument, depth)?,
        "$getField" => parse_get_field(argument, depth)?,
        "$convert" => parse_convert(argument, depth)?,
        "$regexMatch" | "$regexFind" | "$regexFindAll" => {
            Lazy::Regex(regexes::parse(name, argument, depth)?)
        }
        "$rand" => {
            let empty = match argument {
                Bson::Document(document) => document.is_empty(),
                Bson::Array(items) => items.is_empty(),
                _ => false,
            };
            if !empty {
                return Err(CommandError::location(
                    3_040_501,
                    "$rand does not currently accept arguments",
                ));
            }
            Lazy::Rand
        }
        "$function" | "$accumulator" | "$where" => {
            bail!(
                CommandNotSupported,
                "{name} needs server-side JavaScript, which this store does not run"
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(Node::Lazy(Box::new(lazy))))
}

/// Parses named arguments into an array of nodes; those not given are [`Node::Absent`].
fn named<const N: usize>(
    name: &str,
    argument: &Bson,
    fields: &'static [&'static str; N],
    required: usize,
    codes: (i32, i32, i32),
    depth: usize,
) -> Result<[Node; N]> {
    let shape = Named {
        fields,
        required,
        not_object: codes.0,
        unknown: codes.1,
        missing: codes.2,
    };
    let nodes = parse_named(name, argument, &shape, depth)?;
    nodes.try_into().map_err(|_| {
        CommandError::new(
            crate::error::Code::InternalError,
            format!("{name} was parsed into the wrong number of arguments"),
        )
    })
}

fn optional(node: Node) -> Option<Node> {
    match node {
        Node::Absent => None,
        node => Some(node),
    }
}

fn parse_cond(argument: &Bson, depth: usize) -> Result<Lazy> {
    let (condition, then, otherwise) = if let Bson::Document(document) = argument
        && document
            .keys()
            .next()
            .is_none_or(|key| !key.starts_with('$'))
    {
        for (field, code) in [("if", 17080), ("then", 17081), ("else", 17082)] {
            if !document.contains_key(field) {
                return Err(CommandError::location(
                    code,
                    format!("Missing '{field}' parameter to $cond"),
                ));
            }
        }
        let [condition, then, otherwise] = named(
            "$cond",
            argument,
            &["if", "then", "else"],
            3,
            (17083, 17083, 17080),
            depth,
        )?;
        (condition, then, otherwise)
    } else {
        let mut nodes = parse_counted("$cond", argument, 3, 3, depth)?.into_iter();
        match (nodes.next(), nodes.next(), nodes.next()) {
            (Some(condition), Some(then), Some(otherwise)) => (condition, then, otherwise),
            _ => bail!(
                InternalError,
                "$cond was parsed into fewer than three arguments"
            ),
        }
    };
    Ok(Lazy::Cond {
        condition,
        then,
        otherwise,
    })
}

fn parse_switch(argument: &Bson, depth: usize) -> Result<Lazy> {
    let Bson::Document(document) = argument else {
        return Err(CommandError::location(
            40060,
            format!(
                "$switch requires an object as an argument, found: {}",
                types::name(Some(argument))
            ),
        ));
    };
    let mut branches = Vec::new();
    let mut default = None;
    for (key, value) in document {
        match key.as_str() {
            "branches" => {
                let Bson::Array(items) = value else {
                    return Err(CommandError::location(
                        40061,
                        format!(
                            "$switch expected an array for 'branches', found: {}",
                            types::name(Some(value))
                        ),
                    ));
                };
                for item in items {
                    branches.push(parse_branch(item, depth + 1)?);
                }
            }
            "default" => default = Some(parse_node(value, depth + 1)?),
            _ => {
                return Err(CommandError::location(
                    40067,
                    format!("$switch found an unknown argument: {key}"),
                ));
            }
        }
    }
    if branches.is_empty() {
        return Err(CommandError::location(
            40068,
            "$switch requires at least one branch.",
        ));
    }
    Ok(Lazy::Switch { branches, default })
}

fn parse_branch(branch: &Bson, depth: usize) -> Result<(Node, Node)> {
    let Bson::Document(document) = branch else {
        return Err(CommandError::location(
            40062,
            format!(
                "$switch expected each branch to be an object, found: {}",
                types::name(Some(branch))
            ),
        ));
    };
    let (mut case, mut then) = (None, None);
    for (key, value) in document {
        match key.as_str() {
            "case" => case = Some(parse_node(value, depth + 1)?),
            "then" => then = Some(parse_node(value, depth + 1)?),
            _ => {
                return Err(CommandError::location(
                    40063,
                    format!("$switch found an unknown argument to a branch: {key}"),
                ));
            }
        }
    }
    let Some(case) = case else {
        return Err(CommandError::location(
            40064,
            "$switch requires each branch have a 'case' expression",
        ));
    };
    let Some(then) = then else {
        return Err(CommandError::location(
            40065,
            "$switch requires each branch have a 'then' expression.",
        ));
    };
    Ok((case, then))
}

fn parse_let(argument: &Bson, depth: usize) -> Result<Lazy> {
    let Bson::Document(document) = argument else {
        return Err(CommandError::location(
            16874,
            "$let only supports an object as its argument",
        ));
    };
    let (mut variables, mut body) = (None, None);
    for (key, value) in document {
        match key.as_str() {
            "vars" => {
                let Bson::Document(vars) = value else {
                    bail!(
                        FailedToParse,
                        "invalid parameter: expected an object (vars)"
                    );
                };
                variables = Some(parse_variables(vars, depth + 1)?);
            }
            "in" => body = Some(parse_node(value, depth + 1)?),
            _ => {
                return Err(CommandError::location(
                    16875,
                    format!("Unrecognized parameter to $let: {key}"),
                ));
            }
        }
    }
    let Some(variables) = variables else {
        return Err(CommandError::location(
            16876,
            "Missing 'vars' parameter to $let",
        ));
    };
    let Some(body) = body else {
        return Err(CommandError::location(
            16877,
            "Missing 'in' parameter to $let",
        ));
    };
    Ok(Lazy::Let { variables, body })
}

fn parse_variables(vars: &Document, depth: usize) -> Result<Vec<(String, Node)>> {
    let mut variables = Vec::with_capacity(vars.len());
    for (name, value) in vars {
        if name != "CURRENT" {
            check_user_variable(name)?;
        }
        variables.push((name.clone(), parse_node(value, depth + 1)?));
    }
    if variables.len() > crate::expr::parse::MAX_DEPTH {
        bail!(
            BadValue,
            "$let binds more than {} variables",
            crate::expr::parse::MAX_DEPTH
        );
    }
    Ok(variables)
}

/// The name given with `as`, `this` by default.
fn take_variable(document: &mut Document) -> Result<String> {
    match document.remove("as") {
        None => Ok("this".to_owned()),
        Some(Bson::String(name)) => {
            if name != "CURRENT" {
                check_user_variable(&name)?;
            }
            Ok(name)
        }
        Some(_) => bail!(FailedToParse, "'as' must be a string"),
    }
}

fn parse_map(argument: &Bson, depth: usize) -> Result<Lazy> {
    let Bson::Document(document) = argument else {
        return Err(CommandError::location(
            16878,
            "$map only supports an object as its argument",
        ));
    };
    let mut document = document.clone();
    let variable = take_variable(&mut document)?;
    for (field, code) in [("input", 16880), ("in", 16882)] {
        if !document.contains_key(field) {
            return Err(CommandError::location(
                code,
                format!("Missing '{field}' parameter to $map"),
            ));
        }
    }
    let argument = Bson::Document(document);
    let [input, body] = named(
        "$map",
        &argument,
        &["input", "in"],
        2,
        (16878, 16879, 16880),
        depth,
    )?;
    Ok(Lazy::Map {
        input,
        variable,
        body,
    })
}

fn parse_filter(argument: &Bson, depth: usize) -> Result<Lazy> {
    let Bson::Document(document) = argument else {
        return Err(CommandError::location(
            28646,
            "$filter only supports an object as its argument",
        ));
    };
    let mut document = document.clone();
    let variable = take_variable(&mut document)?;
    for (field, code) in [("input", 28648), ("cond", 28650)] {
        if !document.contains_key(field) {
            return Err(CommandError::location(
                code,
                format!("Missing '{field}' parameter to $filter"),
            ));
        }
    }
    let argument = Bson::Document(document);
    let [input, condition, limit] = named(
        "$filter",
        &argument,
        &["input", "cond", "limit"],
        2,
        (28646, 28647, 28648),
        depth,
    )?;
    Ok(Lazy::Filter {
        input,
        variable,
        condition,
        limit: optional(limit),
    })
}

fn parse_sort_array(argument: &Bson, depth: usize) -> Result<Lazy> {
    let Bson::Document(document) = argument else {
        return Err(CommandError::location(
            2_942_500,
            format!(
                "$sortArray requires an object as an argument, found: {}",
                types::name(Some(argument))
            ),
        ));
    };
    let (mut input, mut order) = (None, None);
    for (key, value) in document {
        match key.as_str() {
            "input" => input = Some(parse_node(value, depth + 1)?),
            "sortBy" => order = Some(parse_array_order(value)?),
            _ => {
                return Err(CommandError::location(
                    2_942_501,
                    format!("$sortArray found an unknown argument: {key}"),
                ));
            }
        }
    }
    let Some(input) = input else {
        return Err(CommandError::location(
            2_942_502,
            "$sortArray requires 'input' to be specified",
        ));
    };
    let Some(order) = order else {
        return Err(CommandError::location(
            2_942_503,
            "$sortArray requires 'sortBy' to be specified",
        ));
    };
    Ok(Lazy::SortArray { input, order })
}

fn parse_array_order(value: &Bson) -> Result<ArrayOrder> {
    if let Bson::Document(keys) = value {
        return Ok(ArrayOrder::Fields(SortPattern::parse(keys)?));
    }
    let direction = crate::expr::number::Number::from_bson(value)
        .and_then(crate::expr::number::Number::to_whole);
    match direction {
        Some(1) => Ok(ArrayOrder::Whole { descending: false }),
        Some(-1) => Ok(ArrayOrder::Whole { descending: true }),
        _ => Err(CommandError::location(
            2_942_505,
            "The $sort element value must be set to either 1 or -1",
        )),
    }
}

fn parse_get_field(argument: &Bson, depth: usize) -> Result<Lazy> {
    let current = Node::Variable("CURRENT".to_owned(), Vec::new());
    if let Bson::Document(document) = argument
        && document
            .keys()
            .next()
            .is_none_or(|key| !key.starts_with('$'))
    {
        let [field, input] = named(
            "$getField",
            argument,
            &["field", "input"],
            2,
            (3_041_701, 3_041_701, 3_041_703),
            depth,
        )?;
        return Ok(Lazy::GetField { field, input });
    }
    Ok(Lazy::GetField {
        field: parse_node(argument, depth + 1)?,
        input: current,
    })
}

fn parse_convert(argument: &Bson, depth: usize) -> Result<Lazy> {
    if let Bson::Document(document) = argument {
        for field in ["format", "byteOrder", "base"] {
            if document.contains_key(field) {
                bail!(
                    CommandNotSupported,
                    "$convert with '{field}' is not supported"
                );
            }
        }
    }
    let [input, to, on_error, on_null] = named(
        "$convert",
        argument,
        &["input", "to", "onError", "onNull"],
        2,
        (9, 9, 9),
        depth,
    )?;
    Ok(Lazy::Convert {
        input,
        to,
        on_error: optional(on_error),
        on_null: optional(on_null),
    })
}
