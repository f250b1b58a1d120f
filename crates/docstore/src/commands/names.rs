//! Which names databases and collections may have.

use crate::{bail, error::Result};

/// Checks a database's name.
pub fn check_database(name: &str) -> Result<()> {
    let bad = name.is_empty()
        || name.len() > 63
        || name.contains(['/', '\\', '.', ' ', '"', '$', '\0']) && name != "$external";
    if bad {
        bail!(InvalidNamespace, "Invalid database name: '{name}'");
    }
    Ok(())
}

/// Checks a collection's name and gives the namespace.
pub fn namespace(database: &str, collection: &str) -> Result<String> {
    let bad = collection.is_empty()
        || collection.starts_with('.')
        || collection.ends_with('.')
        || collection.contains(['$', '\0'])
        || database.len() + collection.len() + 1 > 255;
    if bad {
        bail!(
            InvalidNamespace,
            "Invalid namespace specified '{database}.{collection}'"
        );
    }
    Ok(format!("{database}.{collection}"))
}

/// As [`namespace`], for collections that a client may write to.
pub fn writable_namespace(database: &str, collection: &str) -> Result<String> {
    let ns = namespace(database, collection)?;
    if collection.starts_with("system.") && collection != "system.js" {
        bail!(InvalidNamespace, "cannot write to '{ns}'");
    }
    Ok(ns)
}
