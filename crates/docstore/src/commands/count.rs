//! `count` and `distinct`.

use std::collections::HashSet;

use bson::{Bson, Document};

use super::{
    call::Call,
    find, insert,
    read::{ReadQuery, ReadSpec},
};
use crate::{
    bail,
    error::{CommandError, Result},
    storage::{
        catalog::decode,
        documents::MAX_DOCUMENT_BYTES,
        scan::{self, Access, Flow},
    },
    value::{encode_key, walk_path},
    wire::BsonWriter,
};

/// The fields of `count`.
pub const COUNT_FIELDS: &[&str] = &[
    "count",
    "query",
    "limit",
    "skip",
    "hint",
    "collation",
    "fields",
];
/// The fields of `distinct`.
pub const DISTINCT_FIELDS: &[&str] = &["distinct", "key", "query", "collation", "hint"];

/// `count`.
pub fn count(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    find::refuse_collation(call.args.document("collation")?)?;
    let limit = call.args.integer("limit")?.unwrap_or(0);
    let spec = ReadSpec {
        ns: call.namespace()?,
        filter: call.args.document_or_empty("query")?,
        hint: find::hint(call)?,
        needed: Some(Vec::new()),
        ..ReadSpec::default()
    };
    let skip = call.args.unsigned("skip")?.unwrap_or(0);
    let total = count_matching(call, &spec)?;
    let mut n = total.saturating_sub(skip);
    if limit != 0 {
        n = n.min(limit.unsigned_abs());
    }
    out.begin();
    out.count("n", n);
    out.double("ok", 1.0);
    out.end();
    Ok(())
}

/// How many documents match.
pub fn count_matching(call: &Call<'_>, spec: &ReadSpec) -> Result<u64> {
    call.read(|connection, catalog| {
        let Some(collection) = catalog.get(&spec.ns) else {
            // The filter is still to be understood.
            ReadQuery::new(connection, catalog, spec)?;
            return Ok(0);
        };
        let mut query = ReadQuery::new(connection, catalog, spec)?;
        // Neither order nor shape change the number.
        query.blocking_sort.clear();
        if query.exact && spec.skip == 0 && spec.limit.is_none() {
            match &query.access {
                // What a transaction has written is not in the count that is kept.
                Access::Collection { .. } if call.transaction.is_none() => {
                    return Ok(u64::try_from(collection.count()).unwrap_or(0));
                }
                Access::Index { index, ranges, .. } if !index.is_multikey() => {
                    return scan::count_entries(connection, index, ranges, None);
                }
                _ => {}
            }
        }
        let mut n = 0;
        query.fill(connection, catalog, &|| call.check_time(), &mut |_| {
            n += 1;
            Ok(Flow::Continue)
        })?;
        Ok(n)
    })
}

/// `distinct`.
pub fn distinct(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    find::refuse_collation(call.args.document("collation")?)?;
    let Some(path) = call.args.string("key")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'distinct.key' is missing but a required field"
        )
    };
    let spec = ReadSpec {
        ns: call.namespace()?,
        filter: call.args.document_or_empty("query")?,
        hint: find::hint(call)?,
        needed: path.split('.').next().map(|field| vec![field.to_owned()]),
        ..ReadSpec::default()
    };
    let values = call.read(|connection, catalog| {
        let mut query = ReadQuery::new(connection, catalog, &spec)?;
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut values: Vec<(Vec<u8>, Bson)> = Vec::new();
        let mut bytes_so_far = 0;
        query.fill(connection, catalog, &|| call.check_time(), &mut |bytes| {
            let document = decode(bytes)?;
            let mut add = |value: &Bson| {
                let mut key = Vec::new();
                encode_key(value, false, &mut key);
                if seen.insert(key.clone()) {
                    bytes_so_far += key.len() + 16;
                    values.push((key, value.clone()));
                }
            };
            walk_path(&document, path, &mut |value| match value {
                Some(Bson::Array(items)) => items.iter().for_each(&mut add),
                Some(value) => add(value),
                None => {}
            });
            if bytes_so_far > MAX_DOCUMENT_BYTES {
                return Err(CommandError::location(17217, "distinct too big, 16mb cap"));
            }
            Ok(Flow::Continue)
        })?;
        values.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(values
            .into_iter()
            .map(|(_, value)| value)
            .collect::<Vec<_>>())
    })?;
    let mut reply = Document::new();
    reply.insert("values", values);
    insert::finish(reply, out)
}
