//! The operations on entities and migrations of plugins.

use super::{Operation, Who};
use crate::http::{plugin_migrations, typed::by};

const ADMINS: (&str, &str) = ("403", "FORBIDDEN: this needs the role admin.");
const NO_TOKEN: (&str, &str) = ("401", "Not authenticated.");
const NO_PLUGIN: (&str, &str) = ("404", "PLUGIN_NOT_FOUND.");
const NO_DATABASE: (&str, &str) = ("503", "DATABASE_UNAVAILABLE.");

/// What running a migration can come to.
const RUN: &[(&str, &str)] = &[
    (
        "200",
        "`{migration, dry_run, direction, commands}`; `migration.status` is `failed` where a command was refused.",
    ),
    NO_TOKEN,
    ADMINS,
    (
        "404",
        "PLUGIN_NOT_FOUND, or NOT_FOUND: no such migration or entity.",
    ),
    (
        "409",
        "MIGRATION_RUNNING, MIGRATION_DONE, CHECKSUM_MISMATCH, NO_ROLLBACK; CONFLICT: a table is another's, or it was left half done another way.",
    ),
    (
        "422",
        "VALIDATION_ERROR: a file, a type, a default or a command; `details.path`.",
    ),
    (
        "503",
        "DATABASE_UNAVAILABLE; PLUGIN_UNAVAILABLE: one of Python's needs the plugin loaded.",
    ),
];

pub(super) const MIGRATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/entities",
        handler: by!(plugin_migrations::list_entities),
        who: Who::Admin,
        summary: "The entities of a plugin, with how far the collection of each is in the admin's app.",
        answers: &[
            ("200", "`{entities, count, problems}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            NO_DATABASE,
        ],
    },
    Operation {
        method: "post",
        path: "/api/plugins/registry/{name}/entities/{entity_name}/migrate",
        handler: by!(plugin_migrations::migrate_entity),
        who: Who::Admin,
        summary: "Makes an entity's collection in the admin's app as its file says, by a migration of its own: `{dry_run, force}`.",
        answers: RUN,
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/migrations",
        handler: by!(plugin_migrations::list_migrations),
        who: Who::Admin,
        summary: "The migrations of a plugin by their versions, with how far each is in the admin's app.",
        answers: &[
            ("200", "`{migrations, count, problems}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            NO_DATABASE,
        ],
    },
    Operation {
        method: "post",
        path: "/api/plugins/registry/{name}/migrations/{version}/run",
        handler: by!(plugin_migrations::run_migration),
        who: Who::Admin,
        summary: "Runs a migration in the admin's app, on from where it failed: `{dry_run, force}`.",
        answers: RUN,
    },
    Operation {
        method: "post",
        path: "/api/plugins/registry/{name}/migrations/{version}/rollback",
        handler: by!(plugin_migrations::roll_back_migration),
        who: Who::Admin,
        summary: "Undoes a migration in the admin's app, as it was when it was run: `{dry_run, force}`.",
        answers: RUN,
    },
];
