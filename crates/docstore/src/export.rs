//! Writes a collection as Extended JSON, straight from the data directory.

mod json;

use std::{io::Write, path::Path};

use crate::{
    bail,
    error::{Code, CommandError, Result},
    storage::{
        Store, StoreOptions,
        catalog::decode,
        scan::{self, Access, Counters, Flow, Position},
    },
};

/// Writes the documents of a collection to `out`, one a line, in canonical Extended JSON, which
/// `mongoimport` reads back without loss of types.
pub fn export(path: &Path, database: &str, collection: &str, out: &mut dyn Write) -> Result<()> {
    if !path.is_dir() {
        bail!(
            NamespaceNotFound,
            "there is no data directory {}",
            path.display()
        );
    }
    let store = Store::open(StoreOptions::new(path))?;
    let catalog = store.catalog();
    let Some(collection) = catalog.get(&format!("{database}.{collection}")) else {
        bail!(
            NamespaceNotFound,
            "there is no collection {database}.{collection}"
        )
    };
    let reader = store.reader()?;
    let mut line = String::new();
    let write = |error: std::io::Error| CommandError::new(Code::InternalError, error.to_string());
    scan::scan(
        &reader,
        collection,
        &Access::Collection { reverse: false },
        &mut Position::default(),
        &mut Counters::default(),
        &mut |_, bytes| {
            line.clear();
            json::write_document(&decode(bytes)?, &mut line);
            line.push('\n');
            out.write_all(line.as_bytes()).map_err(write)?;
            Ok(Flow::Continue)
        },
    )?;
    out.flush().map_err(write)
}
