//! The SQL of the store: the fixed tables, and the statements of each collection and index, made
//! once so that the statement cache finds them by the same text.

pub(super) mod overlay;

/// Tables that every file has.
pub(super) const FIXED_TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE collections (id INTEGER PRIMARY KEY, ns TEXT NOT NULL UNIQUE,
        uuid BLOB NOT NULL, options BLOB NOT NULL);
    CREATE TABLE stats (collection INTEGER PRIMARY KEY, docs INTEGER NOT NULL,
        bytes INTEGER NOT NULL);
    CREATE TABLE indexes (id INTEGER PRIMARY KEY, collection INTEGER NOT NULL,
        spec BLOB NOT NULL, multikey INTEGER NOT NULL); -- bits of `entries`
    CREATE TABLE changes (seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, ns TEXT NOT NULL,
        event BLOB NOT NULL);
    CREATE TABLE results (session BLOB PRIMARY KEY, number INTEGER NOT NULL,
        time_ms INTEGER NOT NULL, reply BLOB NOT NULL) WITHOUT ROWID;";

/// Statements on a collection's documents.
#[derive(Debug)]
pub struct CollectionSql {
    /// Makes the table.
    pub create: String,
    /// Drops it.
    pub drop: String,
    /// Adds a document (1) and gives its rid.
    pub insert: String,
    /// Replaces the document of rid (2) by (1).
    pub update: String,
    /// Deletes rid (1).
    pub delete: String,
    /// The document of rid (1).
    pub get: String,
    /// All documents after rid (1), in order of insertion.
    pub forward: String,
    /// All documents before rid (1), last first.
    pub backward: String,
}

impl CollectionSql {
    /// The statements for the collection with this number.
    pub fn new(id: i64) -> Self {
        Self {
            create: format!("CREATE TABLE d{id} (rid INTEGER PRIMARY KEY, doc BLOB NOT NULL)"),
            drop: format!("DROP TABLE d{id}"),
            insert: format!("INSERT INTO d{id} (doc) VALUES (?1)"),
            update: format!("UPDATE d{id} SET doc = ?1 WHERE rid = ?2"),
            delete: format!("DELETE FROM d{id} WHERE rid = ?1"),
            get: format!("SELECT doc FROM d{id} WHERE rid = ?1"),
            forward: format!("SELECT rid, doc FROM d{id} WHERE rid > ?1 ORDER BY rid"),
            backward: format!("SELECT rid, doc FROM d{id} WHERE rid < ?1 ORDER BY rid DESC"),
        }
    }
}

/// Statements on an index.
#[derive(Debug)]
pub struct IndexSql {
    /// Makes the table.
    pub create: String,
    /// Drops it.
    pub drop: String,
    /// Adds key (1) for rid (2); of a unique index it fails where the key exists.
    pub insert: String,
    /// Whether key (1) of a unique index is taken, where `insert` does not see all that is there.
    pub taken: Option<String>,
    /// Takes away key (1) of rid (2).
    pub delete: String,
    /// The document with exactly key (1) of a unique index: rid, doc.
    pub point: String,
    /// Entries after (key (1), rid (2)) and below key (3), with documents: key, rid, doc.
    pub forward: String,
    /// Entries before (key (1), rid (2)) and from key (3) on, backwards: key, rid, doc.
    pub backward: String,
    /// As `forward`, without documents: key, rid.
    pub entries_forward: String,
    /// As `backward`, without documents: key, rid.
    pub entries_backward: String,
    /// How many entries from key (1) to below key (2).
    pub count: String,
    /// The same, but at most (3).
    pub probe: String,
    /// Whether rid (2) has key (1).
    pub present: String,
}

impl IndexSql {
    /// The statements for an index of a collection.
    pub fn new(id: i64, collection: i64, unique: bool) -> Self {
        let primary = if unique { "k" } else { "k, r" };
        let join = format!(
            "SELECT i.k, i.r, d.doc FROM i{id} i CROSS JOIN d{collection} d ON d.rid = i.r"
        );
        Self {
            create: format!(
                "CREATE TABLE i{id} (k BLOB NOT NULL, r INTEGER NOT NULL, PRIMARY KEY ({primary})) \
                 WITHOUT ROWID"
            ),
            drop: format!("DROP TABLE i{id}"),
            insert: format!("INSERT INTO i{id} (k, r) VALUES (?1, ?2)"),
            taken: None,
            delete: format!("DELETE FROM i{id} WHERE k = ?1 AND r = ?2"),
            point: format!(
                "SELECT i.r, d.doc FROM i{id} i CROSS JOIN d{collection} d ON d.rid = i.r WHERE i.k = ?1"
            ),
            forward: format!("{join} WHERE (i.k, i.r) > (?1, ?2) AND i.k < ?3 ORDER BY i.k, i.r"),
            backward: format!(
                "{join} WHERE (i.k, i.r) < (?1, ?2) AND i.k >= ?3 ORDER BY i.k DESC, i.r DESC"
            ),
            entries_forward: format!(
                "SELECT k, r FROM i{id} WHERE (k, r) > (?1, ?2) AND k < ?3 ORDER BY k, r"
            ),
            entries_backward: format!(
                "SELECT k, r FROM i{id} WHERE (k, r) < (?1, ?2) AND k >= ?3 ORDER BY k DESC, r DESC"
            ),
            count: format!("SELECT count(*) FROM i{id} WHERE k >= ?1 AND k < ?2"),
            probe: format!(
                "SELECT count(*) FROM (SELECT 1 FROM i{id} WHERE k >= ?1 AND k < ?2 LIMIT ?3)"
            ),
            present: format!("SELECT 1 FROM i{id} WHERE k = ?1 AND r = ?2"),
        }
    }
}
