//! What `createIndexes` takes as the specification of an index.

use bson::{Bson, Document, doc};

use crate::{
    bail,
    commands::find,
    error::{CommandError, Result},
    planner::same_key,
    query::Filter,
    storage::catalog::Collection,
};

/// Most fields of an index.
const MAX_FIELDS: usize = 32;

pub(super) fn check_spec(spec: &Document, ignore_unknown: bool) -> Result<Document> {
    let Ok(key) = spec.get_document("key") else {
        bail!(
            FailedToParse,
            "The 'key' field is a required property of an index specification"
        )
    };
    let Ok(name) = spec.get_str("name") else {
        bail!(
            FailedToParse,
            "The 'name' field is a required property of an index specification"
        )
    };
    if name.is_empty() || name == "*" {
        bail!(CannotCreateIndex, "The index name '{name}' is not valid");
    }
    check_key(key)?;
    let mut kept = doc! { "v": 2, "key": key.clone(), "name": name };
    let only_id = key.len() == 1 && key.contains_key("_id");
    for (option, value) in spec {
        match option.as_str() {
            "key" | "name" | "ns" | "comment" => {}
            "v" => {
                kept.insert("v", version(value, spec)?);
            }
            // Without effect since MongoDB 4.2 and 3.0, but shown as it was given.
            "background" | "dropDups" => {
                kept.insert(option.clone(), value.clone());
            }
            "unique" | "sparse" | "hidden" => {
                if !matches!(
                    value,
                    Bson::Boolean(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_)
                ) {
                    bail!(
                        TypeMismatch,
                        "The field '{option}' has value {value}, which is not convertible to bool"
                    );
                }
                let set = crate::expr::is_truthy(Some(value));
                if set && only_id {
                    bail!(
                        InvalidIndexSpecificationOption,
                        "The field '{option}' is not valid for an _id index specification."
                    );
                }
                if set {
                    kept.insert(option.clone(), true);
                }
            }
            "expireAfterSeconds" => {
                check_ttl(key, value)?;
                kept.insert(option.clone(), value.clone());
            }
            "partialFilterExpression" => {
                let Bson::Document(filter) = value else {
                    bail!(
                        TypeMismatch,
                        "The field 'partialFilterExpression' must be an object"
                    );
                };
                check_partial(filter)?;
                kept.insert(option.clone(), value.clone());
            }
            "collation" => find::refuse_collation(value.as_document().cloned())?,
            "weights"
            | "default_language"
            | "language_override"
            | "textIndexVersion"
            | "2dsphereIndexVersion"
            | "bits"
            | "min"
            | "max"
            | "bucketSize"
            | "wildcardProjection"
            | "storageEngine"
            | "clustered"
            | "prepareUnique" => {
                bail!(
                    CannotCreateIndex,
                    "the index option '{option}' is not supported"
                );
            }
            _ if ignore_unknown => {}
            other => bail!(
                InvalidIndexSpecificationOption,
                "The field '{other}' is not valid for an index specification. Specification: {spec}"
            ),
        }
    }
    if kept.contains_key("sparse") && kept.contains_key("partialFilterExpression") {
        bail!(
            CannotCreateIndex,
            "cannot mix \"partialFilterExpression\" and \"sparse\" options"
        );
    }
    Ok(kept)
}

fn version(value: &Bson, spec: &Document) -> Result<i32> {
    let version = match value {
        Bson::Int32(n) => f64::from(*n),
        Bson::Int64(n) => *n as f64,
        Bson::Double(n) => *n,
        _ => bail!(TypeMismatch, "The field 'v' must be a number"),
    };
    match version {
        1.0 => Ok(1),
        2.0 => Ok(2),
        _ => bail!(
            CannotCreateIndex,
            "Invalid index specification {spec}; cannot create an index with v={version}"
        ),
    }
}

fn check_key(key: &Document) -> Result<()> {
    if key.is_empty() {
        bail!(CannotCreateIndex, "Index keys cannot be empty.");
    }
    if key.len() > MAX_FIELDS {
        bail!(
            CannotCreateIndex,
            "Index key pattern has more than {MAX_FIELDS} fields"
        );
    }
    for (path, direction) in key {
        if path.is_empty() || path.split('.').any(str::is_empty) {
            bail!(
                CannotCreateIndex,
                "Index keys cannot contain an empty field."
            );
        }
        if path == "$**" || path.ends_with(".$**") {
            bail!(
                CannotCreateIndex,
                "wildcard indexes are not supported: {path}"
            );
        }
        if path
            .split('.')
            .any(|part| part.starts_with('$') && !matches!(part, "$ref" | "$id" | "$db"))
        {
            bail!(
                CannotCreateIndex,
                "Index key contains an illegal field name: field name starts with '$'."
            );
        }
        match direction {
            Bson::Int32(n) if *n != 0 => {}
            Bson::Int64(n) if *n != 0 => {}
            Bson::Double(n) if *n != 0.0 && !n.is_nan() => {}
            Bson::String(plugin) => {
                bail!(CannotCreateIndex, "'{plugin}' indexes are not supported")
            }
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => bail!(
                CannotCreateIndex,
                "Values in the index key pattern cannot be 0."
            ),
            other => bail!(
                CannotCreateIndex,
                "Values in v:2 index key pattern cannot be of type {}. Only numbers > 0, numbers < 0, and strings are allowed.",
                crate::value::type_name(other)
            ),
        }
    }
    Ok(())
}

pub(super) fn check_ttl(key: &Document, value: &Bson) -> Result<()> {
    let seconds = match value {
        Bson::Int32(n) => f64::from(*n),
        Bson::Int64(n) => *n as f64,
        Bson::Double(n) => *n,
        _ => bail!(
            CannotCreateIndex,
            "TTL index 'expireAfterSeconds' option must be numeric"
        ),
    };
    if seconds < 0.0 || seconds > f64::from(i32::MAX) {
        bail!(
            CannotCreateIndex,
            "TTL index 'expireAfterSeconds' option must be within an acceptable range, try a different number than {seconds}"
        );
    }
    if key.len() != 1 {
        bail!(
            CannotCreateIndex,
            "TTL indexes are single-field indexes, compound indexes do not support TTL."
        );
    }
    if key.contains_key("_id") {
        bail!(
            InvalidIndexSpecificationOption,
            "The field 'expireAfterSeconds' is not valid for an _id index specification."
        );
    }
    Ok(())
}

fn check_partial(filter: &Document) -> Result<()> {
    Filter::parse(filter, &Document::new())
        .map_err(|error| CommandError::new(crate::error::Code::CannotCreateIndex, error.message))?;
    for (path, condition) in filter {
        let refused = match condition {
            _ if matches!(
                path.as_str(),
                "$nor" | "$expr" | "$where" | "$text" | "$jsonSchema"
            ) =>
            {
                Some(path.as_str())
            }
            Bson::Document(operators) => operators.keys().map(String::as_str).find(|name| {
                matches!(
                    *name,
                    "$ne" | "$nin" | "$not" | "$regex" | "$elemMatch" | "$mod" | "$size" | "$all"
                )
            }),
            _ => None,
        };
        if let Some(operator) = refused {
            bail!(
                CannotCreateIndex,
                "Expression not supported in partial index: {operator}"
            );
        }
    }
    Ok(())
}

/// Whether the index is to be made; an equal one may be there, one in conflict is an error.
pub(super) fn is_new(collection: &Collection, spec: &Document) -> Result<bool> {
    let key = spec.get_document("key").cloned().unwrap_or_default();
    let name = spec.get_str("name").unwrap_or_default();
    for index in &collection.indexes {
        let same = same_key(&index.key(), &key);
        if same && index.is_id() {
            return Ok(false);
        }
        let same_options = options_of(&index.spec) == options_of(spec);
        if index.name == name {
            if same && same_options {
                return Ok(false);
            }
            let message = format!(
                "An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. Requested index: {spec}, existing index: {}",
                index.spec
            );
            // Uniqueness, sparseness and the filter belong to what an index is.
            let alike = ["unique", "sparse", "partialFilterExpression"]
                .iter()
                .all(|option| index.spec.get(option) == spec.get(option));
            if same && alike {
                bail!(IndexOptionsConflict, "{message}");
            }
            bail!(IndexKeySpecsConflict, "{message}");
        }
        let same_partial =
            index.spec.get("partialFilterExpression") == spec.get("partialFilterExpression");
        if same && same_partial {
            if same_options {
                bail!(
                    IndexOptionsConflict,
                    "Index already exists with a different name: {}",
                    index.name
                );
            }
            bail!(
                IndexOptionsConflict,
                "An equivalent index already exists with the same name but different options. Requested index: {spec}, existing index: {}",
                index.spec
            );
        }
    }
    Ok(true)
}

fn options_of(spec: &Document) -> Vec<(&String, String)> {
    let mut options: Vec<(&String, String)> = spec
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "v" | "key" | "name" | "hidden" | "background" | "dropDups"
            )
        })
        .map(|(name, value)| {
            let shown = match value {
                Bson::Int64(n) => n.to_string(),
                Bson::Double(n) => n.to_string(),
                other => other.to_string(),
            };
            (name, shown)
        })
        .collect();
    options.sort();
    options
}
