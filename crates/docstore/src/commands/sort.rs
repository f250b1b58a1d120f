//! Sort patterns.

use bson::{Bson, Document};

use crate::{
    bail,
    error::{Code, CommandError, Result},
    storage::catalog::IndexField,
};

/// A sort pattern; `{$natural: ±1}` is told apart by [`natural`].
pub fn parse(pattern: &Document) -> Result<Vec<IndexField>> {
    let mut fields = Vec::with_capacity(pattern.len());
    for (path, direction) in pattern {
        let descending = match direction {
            Bson::Int32(1) | Bson::Int64(1) => false,
            Bson::Int32(-1) | Bson::Int64(-1) => true,
            Bson::Double(n) if *n == 1.0 => false,
            Bson::Double(n) if *n == -1.0 => true,
            Bson::Document(meta) if meta.contains_key("$meta") => {
                bail!(
                    BadValue,
                    "$meta sort is not supported: there is no text index"
                )
            }
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => {
                return Err(CommandError::location(
                    15975,
                    "$sort key ordering must be 1 (for ascending) or -1 (for descending)",
                ));
            }
            other => {
                return Err(CommandError::location(
                    15974,
                    format!("Illegal key in $sort specification: {path}: {other}"),
                ));
            }
        };
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(CommandError::location(
                15998,
                "FieldPath field names may not be empty strings.",
            ));
        }
        let refused =
            |part: &str| part.starts_with('$') && !crate::expr::parse::is_reference_part(part);
        if path.split('.').any(refused) {
            return Err(CommandError::location(
                16410,
                format!(
                    "FieldPath field names may not start with '$'. Consider using $getField or $setField: '{path}'"
                ),
            ));
        }
        fields.push((path.clone(), descending));
    }
    Ok(fields)
}

/// The direction of `{$natural: ±1}`: true for backwards.
pub fn natural(pattern: &Document) -> Option<bool> {
    let direction = pattern.get("$natural")?;
    Some(crate::value::compare(direction, &Bson::Int32(0)) == std::cmp::Ordering::Less)
}

/// The error of a sort on several arrays at once.
pub fn parallel_arrays(error: CommandError) -> CommandError {
    if error.code == Code::CannotIndexParallelArrays as i32 {
        return CommandError::new(
            Code::BadValue,
            "cannot sort with keys that are parallel arrays",
        );
    }
    error
}
