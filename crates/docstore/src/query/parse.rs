//! From a filter document to a tree; every refusal has MongoDB's code and names the operator.

use bson::{Bson, Document};

use crate::{
    bail,
    error::{Code, CommandError, Result},
    expr::Expr,
    query::{
        bits::{BitMode, BitTest},
        expression_vars,
        node::{Members, Node, Order, PathNode, Predicate, whole_part},
        pattern::Pattern,
    },
    schema::Schema,
    value::{Number, TypeSet, exact_i64, split_path},
};

/// How deep operators may nest.
const MAX_DEPTH: usize = 150;

/// What a parser knows of its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    vars: &'a Document,
    depth: usize,
    /// False inside `$elemMatch`, where some operators may not stand.
    whole_document: bool,
}

impl<'a> Place<'a> {
    pub(super) fn top(vars: &'a Document) -> Self {
        Self {
            vars,
            depth: 0,
            whole_document: true,
        }
    }

    fn deeper(self) -> Result<Self> {
        if self.depth >= MAX_DEPTH {
            bail!(
                BadValue,
                "filter exceeds the maximum nesting depth of {MAX_DEPTH}"
            );
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn inside(self) -> Self {
        Self {
            whole_document: false,
            ..self
        }
    }
}

/// Parses a filter document.
pub(super) fn parse_document(filter: &Document, place: Place<'_>) -> Result<Node> {
    let place = place.deeper()?;
    let mut nodes = Vec::with_capacity(filter.len());
    for (name, value) in filter {
        if name.starts_with('$') {
            nodes.extend(parse_top_level(name, value, place)?);
        } else {
            nodes.push(parse_field(name, value, place)?);
        }
    }
    Ok(single_or_and(nodes))
}

fn single_or_and(mut nodes: Vec<Node>) -> Node {
    if nodes.len() == 1 {
        nodes.remove(0)
    } else {
        Node::And(nodes)
    }
}

/// Whether an operator stands by itself rather than below a field.
fn is_pathless(name: &str) -> bool {
    matches!(
        name,
        "$and"
            | "$or"
            | "$nor"
            | "$expr"
            | "$jsonSchema"
            | "$where"
            | "$text"
            | "$comment"
            | "$alwaysTrue"
            | "$alwaysFalse"
            | "$sampleRate"
    )
}

fn parse_top_level(name: &str, value: &Bson, place: Place<'_>) -> Result<Option<Node>> {
    if !place.whole_document && matches!(name, "$expr" | "$text" | "$where" | "$sampleRate") {
        bail!(
            BadValue,
            "{name} can only be applied to the top-level document"
        );
    }
    Ok(Some(match name {
        "$and" => Node::And(parse_branches(name, value, place)?),
        "$or" => Node::Or(parse_branches(name, value, place)?),
        "$nor" => Node::Nor(parse_branches(name, value, place)?),
        "$comment" => return Ok(None),
        "$expr" => {
            let vars = expression_vars(place.vars);
            Node::Expr(Box::new((Expr::parse(value)?, vars)))
        }
        "$jsonSchema" => match value {
            Bson::Document(schema) => Node::Schema(Box::new(Schema::parse(schema)?)),
            _ => bail!(TypeMismatch, "$jsonSchema must be an object"),
        },
        "$alwaysTrue" | "$alwaysFalse" => {
            if exact_i64(value) != Some(1) {
                bail!(FailedToParse, "{name} must be an integer value of 1");
            }
            Node::Constant(name == "$alwaysTrue")
        }
        "$sampleRate" => match Number::from_bson(value).map(Number::to_f64) {
            Some(rate) if (0.0..=1.0).contains(&rate) => Node::Sample(rate),
            Some(_) => bail!(
                BadValue,
                "numeric argument to $sampleRate must be in [0, 1]"
            ),
            None => bail!(BadValue, "argument to $sampleRate must be a numeric type"),
        },
        // In `$elemMatch`, conditions on the fields of a DBRef.
        "$ref" | "$id" | "$db" if !place.whole_document => {
            return Ok(Some(parse_field(name, value, place)?));
        }
        "$where" => bail!(
            BadValue,
            "$where is not supported: this store runs no JavaScript"
        ),
        "$text" => bail!(IndexNotFound, "text index required for $text query"),
        _ => bail!(
            BadValue,
            "unknown top level operator: {name}. If you have a field name that starts with a '$' \
             symbol, consider using $getField or $setField."
        ),
    }))
}

fn parse_branches(name: &str, value: &Bson, place: Place<'_>) -> Result<Vec<Node>> {
    let Bson::Array(items) = value else {
        bail!(BadValue, "{name} must be an array")
    };
    if items.is_empty() {
        bail!(BadValue, "$and/$or/$nor must be a nonempty array");
    }
    let mut nodes = Vec::with_capacity(items.len());
    for item in items {
        let Bson::Document(branch) = item else {
            bail!(BadValue, "$or/$and/$nor entries need to be full objects")
        };
        nodes.push(parse_document(branch, place)?);
    }
    Ok(nodes)
}

fn parse_field(path: &str, value: &Bson, place: Place<'_>) -> Result<Node> {
    match value {
        Bson::Document(operators) if is_operator_document(operators, false) => {
            parse_operators(path, operators, place)
        }
        Bson::RegularExpression(regex) => {
            Ok(path_node(path, Predicate::Regex(Pattern::of(regex)?)))
        }
        _ => equality(path, value),
    }
}

fn equality(path: &str, value: &Bson) -> Result<Node> {
    if matches!(value, Bson::Undefined) {
        bail!(BadValue, "cannot compare to undefined");
    }
    Ok(path_node(path, Predicate::Eq(value.clone())))
}

fn path_node(path: &str, predicate: Predicate) -> Node {
    Node::Path(PathNode {
        path: path.to_owned(),
        parts: split_path(path),
        predicate,
    })
}

/// Whether a document holds operators. A DBRef is a value; in `$elemMatch` a part of one already is.
fn is_operator_document(doc: &Document, incomplete_reference: bool) -> bool {
    if !doc.keys().next().is_some_and(|name| name.starts_with('$')) {
        return false;
    }
    let (has_ref, has_id) = (doc.contains_key("$ref"), doc.contains_key("$id"));
    let reference = if incomplete_reference {
        has_ref || has_id || doc.contains_key("$db")
    } else {
        has_ref && has_id
    };
    !reference
}

fn parse_operators(path: &str, operators: &Document, place: Place<'_>) -> Result<Node> {
    let place = place.deeper()?;
    let mut nodes = Vec::with_capacity(operators.len());
    for (name, operand) in operators {
        nodes.extend(parse_operator(path, name, operand, operators, place)?);
    }
    Ok(single_or_and(nodes))
}

fn parse_operator(
    path: &str,
    name: &str,
    operand: &Bson,
    siblings: &Document,
    place: Place<'_>,
) -> Result<Option<Node>> {
    let leaf = |predicate| path_node(path, predicate);
    Ok(Some(match name {
        "$eq" => equality(path, operand)?,
        "$ne" => {
            if matches!(operand, Bson::RegularExpression(_)) {
                bail!(BadValue, "Can't have regex as arg to $ne.");
            }
            Node::Not(Box::new(equality(path, operand)?))
        }
        "$gt" => leaf(range(path, Order::Gt, operand)?),
        "$gte" => leaf(range(path, Order::Gte, operand)?),
        "$lt" => leaf(range(path, Order::Lt, operand)?),
        "$lte" => leaf(range(path, Order::Lte, operand)?),
        "$in" => leaf(Predicate::In(members("$in", operand)?)),
        "$nin" => Node::Not(Box::new(leaf(Predicate::In(members("$nin", operand)?)))),
        "$not" => Node::Not(Box::new(parse_not(path, operand, place)?)),
        "$exists" => {
            let node = leaf(Predicate::Exists);
            if is_true(operand) {
                node
            } else {
                Node::Not(Box::new(node))
            }
        }
        "$type" => leaf(Predicate::Type(TypeSet::parse(operand, "$type")?)),
        "$regex" => leaf(Predicate::Regex(parse_regex(
            operand,
            siblings.get("$options"),
        )?)),
        "$options" => {
            if !siblings.contains_key("$regex") {
                bail!(BadValue, "$options needs a $regex");
            }
            return Ok(None);
        }
        "$mod" => leaf(parse_mod(operand)?),
        "$size" => leaf(parse_size(operand)?),
        "$all" => parse_all(path, operand, place)?,
        "$elemMatch" => parse_elem_match(path, operand, place)?,
        "$bitsAllSet" => leaf(Predicate::Bits(BitTest::parse(
            BitMode::AllSet,
            name,
            operand,
        )?)),
        "$bitsAllClear" => leaf(Predicate::Bits(BitTest::parse(
            BitMode::AllClear,
            name,
            operand,
        )?)),
        "$bitsAnySet" => leaf(Predicate::Bits(BitTest::parse(
            BitMode::AnySet,
            name,
            operand,
        )?)),
        "$bitsAnyClear" => leaf(Predicate::Bits(BitTest::parse(
            BitMode::AnyClear,
            name,
            operand,
        )?)),
        "$near" | "$nearSphere" | "$geoNear" => {
            return Err(CommandError::new(
                Code::NoQueryExecutionPlans,
                format!(
                    "unable to find index for {name} query: geospatial queries are not supported"
                ),
            ));
        }
        "$geoWithin" | "$within" | "$geoIntersects" | "$maxDistance" | "$minDistance" => {
            bail!(
                BadValue,
                "{name} is not supported: this store has no geospatial queries"
            )
        }
        "$where" | "$expr" | "$text" | "$jsonSchema" => {
            bail!(BadValue, "{name} cannot be applied to a field")
        }
        _ => bail!(BadValue, "unknown operator: {name}"),
    }))
}

/// `$exists` and the like take anything for a truth.
fn is_true(value: &Bson) -> bool {
    match value {
        Bson::Boolean(flag) => *flag,
        Bson::Null | Bson::Undefined => false,
        number if Number::from_bson(number).is_some() => {
            !crate::value::compare(number, &Bson::Int32(0)).is_eq()
        }
        _ => true,
    }
}

fn range(path: &str, order: Order, operand: &Bson) -> Result<Predicate> {
    match operand {
        Bson::RegularExpression(_) => {
            bail!(
                BadValue,
                "Can't have RegEx as arg to predicate over field '{path}'."
            )
        }
        Bson::Undefined => bail!(BadValue, "cannot compare to undefined"),
        _ => Ok(Predicate::Order(order, operand.clone())),
    }
}

fn members(name: &str, operand: &Bson) -> Result<Members> {
    let Bson::Array(items) = operand else {
        bail!(BadValue, "{name} needs an array")
    };
    let mut values = Vec::with_capacity(items.len());
    let mut patterns = Vec::new();
    for item in items {
        match item {
            Bson::Document(inner) if is_operator_document(inner, false) => {
                bail!(BadValue, "cannot nest $ under {name}")
            }
            Bson::Undefined => bail!(BadValue, "{name} cannot contain undefined"),
            Bson::RegularExpression(regex) => patterns.push(Pattern::of(regex)?),
            value => values.push(value.clone()),
        }
    }
    Ok(Members::new(values, patterns))
}

fn parse_not(path: &str, operand: &Bson, place: Place<'_>) -> Result<Node> {
    match operand {
        Bson::RegularExpression(regex) => {
            Ok(path_node(path, Predicate::Regex(Pattern::of(regex)?)))
        }
        Bson::Document(inner) if inner.is_empty() => bail!(BadValue, "$not cannot be empty"),
        Bson::Document(inner) => parse_operators(path, inner, place),
        _ => bail!(BadValue, "$not needs a regex or a document"),
    }
}

fn parse_regex(operand: &Bson, options: Option<&Bson>) -> Result<Pattern> {
    const OPTIONS_TWICE: i32 = 51075;
    let options = match options {
        None => None,
        Some(Bson::String(text)) => Some(text.as_str()),
        Some(_) => bail!(BadValue, "$options has to be a string"),
    };
    match operand {
        Bson::String(source) => {
            if source.contains('\0') {
                return Err(CommandError::location(
                    51091,
                    "Regular expression cannot contain an embedded null byte",
                ));
            }
            Pattern::new(source, options.unwrap_or_default())
        }
        Bson::RegularExpression(regex) => {
            if options.is_some() && !regex.options.is_empty() {
                return Err(CommandError::location(
                    OPTIONS_TWICE,
                    "options set in both $regex and $options",
                ));
            }
            Pattern::new(
                regex.pattern.as_str(),
                options.unwrap_or(regex.options.as_str()),
            )
        }
        _ => bail!(BadValue, "$regex has to be a string"),
    }
}

fn parse_mod(operand: &Bson) -> Result<Predicate> {
    let Bson::Array(items) = operand else {
        bail!(BadValue, "malformed mod, needs to be an array")
    };
    let (divisor, remainder) = match items.as_slice() {
        [] | [_] => bail!(BadValue, "malformed mod, not enough elements"),
        [divisor, remainder] => (divisor, remainder),
        _ => bail!(BadValue, "malformed mod, too many elements"),
    };
    if Number::from_bson(divisor).is_none() {
        bail!(BadValue, "malformed mod, divisor not a number");
    }
    if Number::from_bson(remainder).is_none() {
        bail!(BadValue, "malformed mod, remainder not a number");
    }
    let Some(divisor) = whole_part(divisor) else {
        bail!(
            BadValue,
            "malformed mod, divisor value is invalid :: caused by :: {divisor}"
        )
    };
    let Some(remainder) = whole_part(remainder) else {
        bail!(
            BadValue,
            "malformed mod, remainder value is invalid :: caused by :: {remainder}"
        )
    };
    if divisor == 0 {
        bail!(BadValue, "divisor cannot be 0");
    }
    Ok(Predicate::Mod { divisor, remainder })
}

fn parse_size(operand: &Bson) -> Result<Predicate> {
    if Number::from_bson(operand).is_none() {
        bail!(
            BadValue,
            "Failed to parse $size. Expected a number in: $size: {operand}"
        );
    }
    match exact_i64(operand) {
        Some(size) if size >= 0 => Ok(Predicate::Size(size)),
        Some(_) => bail!(
            BadValue,
            "Failed to parse $size. Expected a non-negative number in: $size: {operand}"
        ),
        None => bail!(
            BadValue,
            "Failed to parse $size. Expected an integer: $size: {operand}"
        ),
    }
}

fn parse_all(path: &str, operand: &Bson, place: Place<'_>) -> Result<Node> {
    let Bson::Array(items) = operand else {
        bail!(BadValue, "$all needs an array")
    };
    if items.is_empty() {
        return Ok(Node::Constant(false));
    }
    let is_elem_match = |item: &Bson| matches!(item, Bson::Document(doc) if doc.keys().next().is_some_and(|k| k == "$elemMatch"));
    let only_elem_match = items.first().is_some_and(is_elem_match);
    let mut nodes = Vec::with_capacity(items.len());
    for item in items {
        if only_elem_match {
            match item {
                Bson::Document(inner) if is_elem_match(item) && inner.len() == 1 => {
                    nodes.push(parse_operators(path, inner, place)?);
                }
                _ => bail!(BadValue, "$all/$elemMatch has to be consistent"),
            }
            continue;
        }
        match item {
            Bson::Document(inner) if is_operator_document(inner, false) => {
                bail!(BadValue, "no $ expressions in $all")
            }
            Bson::RegularExpression(regex) => {
                nodes.push(path_node(path, Predicate::Regex(Pattern::of(regex)?)));
            }
            value => nodes.push(equality(path, value)?),
        }
    }
    Ok(single_or_and(nodes))
}

fn parse_elem_match(path: &str, operand: &Bson, place: Place<'_>) -> Result<Node> {
    let Bson::Document(conditions) = operand else {
        bail!(BadValue, "$elemMatch needs an Object")
    };
    let first = conditions.keys().next();
    let on_values =
        is_operator_document(conditions, true) && first.is_some_and(|name| !is_pathless(name));
    let predicate = if on_values {
        Predicate::ElemMatchValue(Box::new(parse_operators("", conditions, place.inside())?))
    } else {
        Predicate::ElemMatchDocument(Box::new(parse_document(conditions, place.inside())?))
    };
    Ok(path_node(path, predicate))
}

/// [`is_operator_document`] for other modules.
pub(super) fn holds_operators(doc: &Document) -> bool {
    is_operator_document(doc, false) && !doc.keys().next().is_some_and(|name| is_pathless(name))
}
