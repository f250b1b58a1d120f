//! The statements of a collection that a multi-document transaction has written to.
//!
//! Such a transaction reads one snapshot of the file and keeps what it writes in temporary tables
//! of its own connection, where nobody else sees or waits for it: `w…` holds every row that it
//! wrote (no document: deleted), `y…` all index entries of these rows. A row that is in `w…` hides
//! the snapshot's row and its entries. Each statement below reads both and gives one order.

use super::{CollectionSql, IndexSql};

/// Rows that a transaction adds are numbered from here on, after all of the file's.
pub(in crate::storage) const FIRST_OWN_RID: i64 = 1 << 62;

/// The temporary table of the written rows.
pub(in crate::storage) fn create_rows(collection: i64) -> String {
    format!("CREATE TEMP TABLE w{collection} (rid INTEGER PRIMARY KEY, doc BLOB)")
}

/// The temporary table of their entries in an index.
pub(in crate::storage) fn create_entries(index: i64, unique: bool) -> String {
    let primary = if unique { "k" } else { "k, r" };
    format!(
        "CREATE TEMP TABLE y{index} (k BLOB NOT NULL, r INTEGER NOT NULL, PRIMARY KEY ({primary})) \
         WITHOUT ROWID"
    )
}

/// Takes the snapshot's row (1) over, if it was not yet.
pub(in crate::storage) fn adopt(collection: i64) -> String {
    format!(
        "INSERT OR IGNORE INTO temp.w{collection} (rid, doc) \
         SELECT rid, doc FROM main.d{collection} WHERE rid = ?1"
    )
}

/// The written rows: rid, doc.
pub(in crate::storage) fn written(collection: i64) -> String {
    format!("SELECT rid, doc FROM temp.w{collection} ORDER BY rid")
}

/// The row that the file has under key (1) of a unique index: rid, doc.
pub(in crate::storage) fn in_file(index: i64, collection: i64) -> String {
    format!(
        "SELECT i.r, d.doc FROM main.i{index} i CROSS JOIN main.d{collection} d ON d.rid = i.r \
         WHERE i.k = ?1"
    )
}

impl CollectionSql {
    /// The statements of a transaction that wrote to the collection.
    pub(in crate::storage) fn overlay(id: i64) -> Self {
        let file = format!("SELECT rid, doc FROM main.d{id}");
        let own = format!("SELECT rid, doc FROM temp.w{id}");
        let kept = format!("rid NOT IN (SELECT rid FROM temp.w{id})");
        let both = |range: &str, order: &str| {
            format!(
                "{file} WHERE {range} AND {kept} UNION ALL {own} WHERE {range} AND doc IS NOT NULL \
                 ORDER BY rid{order}"
            )
        };
        Self {
            create: create_rows(id),
            drop: format!("DROP TABLE temp.w{id}"),
            insert: format!(
                "INSERT INTO temp.w{id} (rid, doc) VALUES \
                 (max({FIRST_OWN_RID}, coalesce((SELECT max(rid) FROM temp.w{id}), 0)) + 1, ?1)"
            ),
            update: format!(
                "INSERT INTO temp.w{id} (rid, doc) VALUES (?2, ?1) \
                 ON CONFLICT (rid) DO UPDATE SET doc = excluded.doc"
            ),
            delete: format!(
                "INSERT INTO temp.w{id} (rid, doc) VALUES (?1, NULL) \
                 ON CONFLICT (rid) DO UPDATE SET doc = NULL"
            ),
            get: format!(
                "SELECT doc FROM main.d{id} WHERE rid = ?1 AND {kept} UNION ALL \
                 SELECT doc FROM temp.w{id} WHERE rid = ?1 AND doc IS NOT NULL"
            ),
            forward: both("rid > ?1", ""),
            backward: both("rid < ?1", " DESC"),
        }
    }
}

impl IndexSql {
    /// The statements of a transaction that wrote to the collection.
    pub(in crate::storage) fn overlay(id: i64, collection: i64, unique: bool) -> Self {
        let kept = format!("r NOT IN (SELECT rid FROM temp.w{collection})");
        let file = format!(
            "SELECT i.k, i.r, d.doc FROM main.i{id} i CROSS JOIN main.d{collection} d \
             ON d.rid = i.r WHERE i.{kept}"
        );
        let own = format!(
            "SELECT i.k, i.r, d.doc FROM temp.y{id} i CROSS JOIN temp.w{collection} d \
             ON d.rid = i.r WHERE TRUE"
        );
        let both = |range: &str, order: &str| {
            format!("{file} AND {range} UNION ALL {own} AND {range} ORDER BY 1{order}, 2{order}")
        };
        let keys = |range: &str, order: &str| {
            format!(
                "SELECT k, r FROM main.i{id} WHERE {range} AND {kept} UNION ALL \
                 SELECT k, r FROM temp.y{id} WHERE {range} ORDER BY 1{order}, 2{order}"
            )
        };
        let entries = |range: &str| {
            format!(
                "SELECT 1 FROM main.i{id} WHERE {range} AND {kept} UNION ALL \
                 SELECT 1 FROM temp.y{id} WHERE {range}"
            )
        };
        Self {
            create: create_entries(id, unique),
            drop: format!("DROP TABLE temp.y{id}"),
            insert: format!("INSERT INTO temp.y{id} (k, r) VALUES (?1, ?2)"),
            taken: unique.then(|| format!("SELECT 1 FROM main.i{id} WHERE k = ?1 AND {kept}")),
            delete: format!("DELETE FROM temp.y{id} WHERE k = ?1 AND r = ?2"),
            point: format!("SELECT r, doc FROM ({file} AND i.k = ?1 UNION ALL {own} AND i.k = ?1)"),
            forward: both("(i.k, i.r) > (?1, ?2) AND i.k < ?3", ""),
            backward: both("(i.k, i.r) < (?1, ?2) AND i.k >= ?3", " DESC"),
            entries_forward: keys("(k, r) > (?1, ?2) AND k < ?3", ""),
            entries_backward: keys("(k, r) < (?1, ?2) AND k >= ?3", " DESC"),
            count: format!("SELECT count(*) FROM ({})", entries("k >= ?1 AND k < ?2")),
            probe: format!(
                "SELECT count(*) FROM ({} LIMIT ?3)",
                entries("k >= ?1 AND k < ?2")
            ),
            present: entries("k = ?1 AND r = ?2"),
        }
    }
}
