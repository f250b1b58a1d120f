//! The gateway's own changes of its own collections. They go through the machine that plugins' do, on the
//! control database, and are written down in `_migrations`.

/// A change: version, name, and the list of commands, as JSON.
pub(crate) struct OwnMigration {
    pub(crate) version: &'static str,
    pub(crate) name: &'static str,
    pub(crate) commands: &'static str,
}

/// All there are, in their order. One that was shipped is not changed any more.
pub(crate) const OWN_MIGRATIONS: &[OwnMigration] = &[OwnMigration {
    version: "20261122_050000",
    name: "entities_and_migrations_of_plugins",
    commands: r#"{"up": [
        {"create": "plugin_migrations"},
        {"createIndexes": "plugin_migrations", "indexes": [
            {"key": {"app_id": 1, "plugin": 1, "migration_version": 1},
             "name": "app_plugin_version", "unique": true},
            {"key": {"app_id": 1, "plugin": 1}, "name": "one_at_a_time", "unique": true,
             "partialFilterExpression": {"claim": {"$exists": true}}}]},
        {"create": "plugin_entities"},
        {"createIndexes": "plugin_entities", "indexes": [
            {"key": {"app_id": 1, "plugin": 1, "entity_name": 1},
             "name": "app_plugin_entity", "unique": true},
            {"key": {"app_id": 1, "table_name": 1}, "name": "app_table", "unique": true},
            {"key": {"updated_at": -1}, "name": "latest"}]}
    ]}"#,
}];
