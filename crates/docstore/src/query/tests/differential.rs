//! Random filters against a second evaluation that shares no code with the first: it works on the
//! filter's BSON, lists the candidate values of a path, and tests each.

use bson::{Bson, Document, RawDocumentBuf, doc};
use proptest::{collection::vec, prelude::*};

use crate::{
    query::{Bound, Filter},
    value::arbitrary,
};

/// Small integers, strings, null, and nestings of them: simple enough to compare by hand.
fn value() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        (0..4_i32).prop_map(Bson::Int32),
        (0..4_i32).prop_map(|n| Bson::Double(f64::from(n))),
        "[ab]{0,1}".prop_map(Bson::String),
        Just(Bson::Null),
        any::<bool>().prop_map(Bson::Boolean),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Bson::Array),
            vec(("[ab0]", inner), 0..3).prop_map(|f| Bson::Document(f.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Document> {
    vec(("[ab]", value()), 0..3).prop_map(Document::from_iter)
}

fn operator() -> impl Strategy<Value = (String, Bson)> {
    prop_oneof![
        ("\\$(eq|ne|gt|gte|lt|lte)", value()),
        ("\\$(in|nin)", vec(value(), 0..3).prop_map(Bson::Array)),
        (
            Just("$exists".to_owned()),
            any::<bool>().prop_map(Bson::Boolean)
        ),
        (Just("$size".to_owned()), (0..3_i32).prop_map(Bson::Int32)),
    ]
}

fn filter() -> impl Strategy<Value = Document> {
    let path = "[ab](\\.[ab0])?(\\.[ab0])?";
    let leaf = (path, vec(operator(), 1..3)).prop_map(|(path, operators)| {
        let operators: Document = operators.into_iter().collect();
        doc! {path: operators}
    });
    leaf.prop_recursive(2, 6, 3, |inner| {
        ("\\$(and|or|nor)", vec(inner, 1..3)).prop_map(|(name, branches)| doc! {name: branches})
    })
}

/// Candidates of a path: `None` for a place without value, `Some((value, spread))` otherwise.
type Candidates = Vec<Option<(Bson, bool)>>;

fn candidates(doc: &Document, path: &[&str]) -> Candidates {
    let Some(value) = doc.get(path[0]) else {
        return vec![None];
    };
    match (value, path.len()) {
        (_, 1) => vec![Some((value.clone(), true))],
        (Bson::Document(inner), _) => candidates(inner, &path[1..]),
        (Bson::Array(items), _) => in_array(items, &path[1..]),
        _ => vec![None],
    }
}

fn in_array(items: &[Bson], path: &[&str]) -> Candidates {
    let mut out = Vec::new();
    for (i, item) in items.iter().enumerate() {
        if let Bson::Document(inner) = item {
            out.extend(candidates(inner, path));
        }
        if path[0] == i.to_string() {
            match (item, path.len()) {
                (_, 1) => out.push(Some((item.clone(), false))),
                (Bson::Document(inner), _) => out.extend(candidates(inner, &path[1..])),
                (Bson::Array(inner), _) => out.extend(in_array(inner, &path[1..])),
                _ => {}
            }
        }
    }
    out
}

fn rank(value: &Bson) -> u8 {
    match value {
        Bson::Null => 0,
        Bson::Int32(_) | Bson::Double(_) => 1,
        Bson::String(_) => 2,
        Bson::Document(_) => 3,
        Bson::Array(_) => 4,
        _ => 5,
    }
}

fn order(a: &Bson, b: &Bson) -> std::cmp::Ordering {
    let number = |v: &Bson| {
        v.as_f64()
            .or_else(|| v.as_i32().map(f64::from))
            .expect("a number")
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Bson::String(a), Bson::String(b)) => a.cmp(b),
        (Bson::Boolean(a), Bson::Boolean(b)) => a.cmp(b),
        (Bson::Array(a), Bson::Array(b)) => {
            let first = a
                .iter()
                .zip(b)
                .map(|(a, b)| order(a, b))
                .find(|o| o.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Bson::Document(a), Bson::Document(b)) => {
            let first = a
                .iter()
                .zip(b)
                .map(|((m, a), (n, b))| rank(a).cmp(&rank(b)).then(m.cmp(n)).then(order(a, b)))
                .find(|o| o.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Bson::Null, Bson::Null) => std::cmp::Ordering::Equal,
        _ => number(a).total_cmp(&number(b)),
    })
}

fn test_value(name: &str, operand: &Bson, value: Option<&Bson>) -> bool {
    let value = match value {
        Some(value) => value,
        None if name == "$exists" || name == "$size" => return false,
        None => &Bson::Null,
    };
    let same = rank(value) == rank(operand);
    match name {
        "$eq" => order(value, operand).is_eq(),
        "$gt" => same && order(value, operand).is_gt(),
        "$gte" => same && order(value, operand).is_ge(),
        "$lt" => same && order(value, operand).is_lt(),
        "$lte" => same && order(value, operand).is_le(),
        "$in" => operand
            .as_array()
            .expect("a list")
            .iter()
            .any(|m| order(value, m).is_eq()),
        "$exists" => true,
        "$size" => value
            .as_array()
            .is_some_and(|v| Some(v.len() as i32) == operand.as_i32()),
        other => panic!("no {other} here"),
    }
}

fn expected_operator(doc: &Document, path: &[&str], name: &str, operand: &Bson) -> bool {
    match (name, operand) {
        ("$ne", _) => return !expected_operator(doc, path, "$eq", operand),
        ("$nin", _) => return !expected_operator(doc, path, "$in", operand),
        ("$exists", Bson::Boolean(false)) => {
            return !expected_operator(doc, path, "$exists", &Bson::Boolean(true));
        }
        _ => {}
    }
    candidates(doc, path)
        .iter()
        .any(|candidate| match candidate {
            None => test_value(name, operand, None),
            Some((value, spread)) => {
                let spread = *spread && name != "$size";
                let inside = value.as_array().filter(|_| spread).into_iter().flatten();
                inside
                    .chain([value])
                    .any(|value| test_value(name, operand, Some(value)))
            }
        })
}

fn expected(doc: &Document, filter: &Document) -> bool {
    filter
        .iter()
        .all(|(name, value)| match (name.as_str(), value) {
            ("$and" | "$or" | "$nor", Bson::Array(branches)) => {
                let mut results = branches
                    .iter()
                    .map(|b| expected(doc, b.as_document().expect("a branch")));
                match name.as_str() {
                    "$and" => results.all(|r| r),
                    "$or" => results.any(|r| r),
                    _ => !results.any(|r| r),
                }
            }
            (path, Bson::Document(operators)) => {
                let path: Vec<&str> = path.split('.').collect();
                operators
                    .iter()
                    .all(|(name, operand)| expected_operator(doc, &path, name, operand))
            }
            other => panic!("no {other:?} here"),
        })
}

/// Whether some value of the path is within a bound; missing counts as null.
fn within(doc: &Document, path: &str, bound: &Bound) -> bool {
    let path: Vec<&str> = path.split('.').collect();
    let mut found = candidates(doc, &path);
    if found.is_empty() {
        found.push(None);
    }
    found.into_iter().any(|candidate| {
        let (value, spread) = candidate.clone().unwrap_or((Bson::Null, false));
        let inside = value.as_array().filter(|_| spread).into_iter().flatten();
        inside.chain([&value]).any(|value| match bound {
            Bound::Eq(operand) => order(value, operand).is_eq(),
            Bound::In(operands) => operands.iter().any(|o| order(value, o).is_eq()),
            Bound::Exists => candidate.is_some(),
            Bound::Range { lower, upper } => {
                lower.as_ref().is_none_or(|(end, inclusive)| {
                    let order = order(value, end);
                    rank(value) == rank(end) && (order.is_gt() || (order.is_eq() && *inclusive))
                }) && upper.as_ref().is_none_or(|(end, inclusive)| {
                    let order = order(value, end);
                    rank(value) == rank(end) && (order.is_lt() || (order.is_eq() && *inclusive))
                })
            }
        })
    })
}

fn paths(filter: &Document, out: &mut Vec<String>) {
    for (name, value) in filter {
        match value {
            Bson::Array(branches) => {
                branches
                    .iter()
                    .filter_map(Bson::as_document)
                    .for_each(|b| paths(b, out));
            }
            _ => out.push(name.clone()),
        }
    }
}

proptest! {
    #![proptest_config(arbitrary::config(3000))]

    #[test]
    fn filters_match_what_a_naive_evaluation_matches(condition in filter(), doc in document()) {
        let parsed = Filter::parse(&condition, &Document::new()).expect("a valid filter");
        let expected = expected(&doc, &condition);
        prop_assert_eq!(parsed.matches(&doc).expect("evaluation"), expected, "{} {}", condition, doc);
        let raw = RawDocumentBuf::try_from(&doc).expect("encodable");
        prop_assert_eq!(parsed.matches_raw(&raw).expect("evaluation"), expected);
        prop_assert_eq!(parsed.matches_position(&doc).expect("evaluation").is_some(), expected);
    }

    #[test]
    fn matching_documents_are_within_all_bounds(condition in filter(), doc in document()) {
        let parsed = Filter::parse(&condition, &Document::new()).expect("a valid filter");
        if !parsed.matches(&doc).expect("evaluation") {
            return Ok(());
        }
        let mut named = Vec::new();
        paths(&condition, &mut named);
        for path in named {
            for bound in parsed.bounds(&path) {
                prop_assert!(within(&doc, &path, &bound), "{condition} {doc} {path} {bound:?}");
            }
        }
    }

    #[test]
    fn any_bson_is_parsed_or_refused(condition in arbitrary::document(), doc in arbitrary::document()) {
        if let Ok(parsed) = Filter::parse(&condition, &Document::new()) {
            parsed.matches(&doc).ok();
        }
    }

    #[test]
    fn any_operand_is_parsed_or_refused(
        name in "\\$(eq|ne|gt|in|nin|not|all|elemMatch|size|mod|type|regex|exists|bitsAllSet|bitsAnyClear)",
        operand in arbitrary::value(),
        doc in arbitrary::document(),
    ) {
        if let Ok(parsed) = Filter::parse(&doc! {"a": {name: operand}}, &Document::new()) {
            parsed.matches(&doc).ok();
        }
    }

    #[test]
    fn a_document_matches_itself(doc in arbitrary::document()) {
        for (name, value) in &doc {
            if matches!(value, Bson::Undefined) {
                continue;
            }
            let mut condition = Document::new();
            condition.insert(name, doc! {"$eq": value.clone()});
            let parsed = Filter::parse(&condition, &Document::new()).expect("an equality");
            prop_assert!(parsed.matches(&doc).expect("evaluation"));
        }
    }
}
