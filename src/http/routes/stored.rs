//! The operations on plugins stored in the database.

use super::{Operation, Who};
use crate::http::{stored, typed::by};

const NO_TOKEN: (&str, &str) = ("401", "Not authenticated.");
const AUTHORS: (&str, &str) = (
    "403",
    "FORBIDDEN: this needs the role plugin_author, or what it does the role admin.",
);
const NONE: (&str, &str) = ("404", "PLUGIN_NOT_FOUND, NOT_FOUND.");
const CONFLICT: (&str, &str) = (
    "409",
    "CONFLICT: another revision is there, with `details.current` and `details.yours`; or a name is taken.",
);
const LOAD: (&str, &str) = (
    "409",
    "RELOAD_FAILED with the traceback, or CONFLICT: permissions are not granted, `details.list`.",
);
const LARGE: (&str, &str) = ("413", "PAYLOAD_TOO_LARGE: a file, or the plugin.");
const INVALID: (&str, &str) = ("422", "VALIDATION_ERROR, with `details.path`.");
const AWAY: (&str, &str) = (
    "503",
    "FEATURE_DISABLED: stored plugins are switched off; DATABASE_UNAVAILABLE.",
);

/// One operation, of those that all have tokens and roles.
macro_rules! operation {
    ($method:literal $path:literal, $handler:ident, $who:ident, $summary:literal, $status:literal $good:literal $($answer:ident)*) => {
        Operation {
            method: $method,
            path: $path,
            handler: by!(stored::$handler),
            who: Who::$who,
            summary: $summary,
            answers: &[($status, $good), NO_TOKEN, AUTHORS, $($answer,)* AWAY],
        }
    };
}

pub(super) const STORED: &[Operation] = &[
    operation!(
        "get" "/api/plugins/registry",
        list,
        User,
        "Lists the plugins stored in the database that the caller may read; `mine`, `template`.",
        "200" "`{plugins, count}`."
    ),
    operation!(
        "post" "/api/plugins/registry",
        create,
        User,
        "Stores a new plugin without files: `{name, category}` and keys of `plugin.json`.",
        "201" "The plugin." CONFLICT INVALID
    ),
    operation!(
        "post" "/api/plugins/registry/import",
        import,
        User,
        "Stores the plugin of a package, switched off; with a number behind its name where that is taken.",
        "201" "The plugin, with `warnings`." CONFLICT INVALID LARGE
    ),
    operation!(
        "get" "/api/plugins/registry/{name}",
        get,
        User,
        "A stored plugin with all its files, by its name or id.",
        "200" "The plugin, with `source_code`." NONE
    ),
    operation!(
        "patch" "/api/plugins/registry/{name}",
        change,
        User,
        "Sets keys of `plugin.json`, the category, whether others may copy it.",
        "200" "The plugin." NONE CONFLICT INVALID
    ),
    operation!(
        "delete" "/api/plugins/registry/{name}",
        delete,
        User,
        "Takes a stored plugin away with all its files; one that serves only for admins.",
        "200" "`{name, removed}`." NONE CONFLICT
    ),
    operation!(
        "put" "/api/plugins/registry/{name}/files",
        put_file,
        User,
        "Saves a file in the place of `revision`; its folder says what it is. An admin's save of a plugin that is on serves at once.",
        "200" "`{path, revision, checksum, saved, active, problems, digest}`." NONE CONFLICT INVALID LARGE
    ),
    operation!(
        "delete" "/api/plugins/registry/{name}/files",
        delete_file,
        User,
        "Takes a file away; `path`, `revision`.",
        "200" "As for saving." NONE CONFLICT
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/files/rename",
        rename_file,
        User,
        "Gives a file another path: `{from, to, revision}`.",
        "200" "As for saving." NONE CONFLICT INVALID
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/files/{*path}",
        list_revisions,
        User,
        "`…/files/{path}/revisions`: what a file was, newest first.",
        "200" "`{revisions, count}`." NONE
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/files/{*path}",
        restore_file,
        User,
        "`…/files/{path}/restore`: saves a file as it was in `{revision}`.",
        "200" "As for saving." NONE CONFLICT
    ),
    operation!(
        "put" "/api/plugins/registry/{name}/tree",
        push,
        User,
        "Makes a plugin what `{files}` are; one that is not there is made. With `digest`, only where that is still there.",
        "200" "`{plugin, changed, saved, active, problems}`." CONFLICT INVALID LARGE
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/activate",
        activate,
        Admin,
        "Lets a stored plugin serve as it stands, and switches it on.",
        "200" "The plugin." NONE LOAD INVALID
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/deactivate",
        deactivate,
        Admin,
        "Switches a stored plugin off.",
        "200" "The plugin." NONE CONFLICT
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/validate",
        validate,
        User,
        "What is wrong with a stored plugin as it stands: syntax, imports, names, what is said of its parts.",
        "200" "`{valid, problems, count}`." NONE
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/export",
        export,
        User,
        "A stored plugin as a package.",
        "200" "The package, in format 1.1.0." NONE
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/clone",
        clone_plugin,
        User,
        "Copies a stored plugin: `{name}`.",
        "201" "The copy." NONE CONFLICT
    ),
    operation!(
        "get" "/api/plugins/templates",
        list_templates,
        User,
        "The stored plugins of the app that may be copied.",
        "200" "`{plugins, count}`."
    ),
    operation!(
        "post" "/api/plugins/templates/{name}/clone",
        clone_template,
        User,
        "Copies a template: `{name}`.",
        "201" "The copy." NONE CONFLICT
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/dependencies",
        list_dependencies,
        User,
        "The packages that a stored plugin wants, and what was said of each.",
        "200" "`{dependencies, count}`." NONE
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/dependencies",
        create_dependency,
        User,
        "Lets a stored plugin want a package, which waits for an admin: `{package_name, version_spec}`.",
        "201" "The package." NONE CONFLICT INVALID
    ),
    operation!(
        "patch" "/api/plugins/registry/{name}/dependencies/{row}",
        approve,
        Admin,
        "An admin's word on a package: `{status}`, `approved` or `pending`.",
        "200" "The package." NONE INVALID
    ),
    operation!(
        "delete" "/api/plugins/registry/{name}/dependencies/{row}",
        delete_dependency,
        User,
        "Lets a stored plugin want a package no more.",
        "200" "`{dependencies, count}`." NONE
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/data",
        list_values,
        Admin,
        "What a stored plugin keeps in the admin's app; `prefix`, `limit`, `cursor`.",
        "200" "`{data, count, next_cursor}`." NONE
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/data/{key}",
        get_value,
        Admin,
        "What a stored plugin keeps under a key.",
        "200" "`{key, value}`." NONE
    ),
    operation!(
        "put" "/api/plugins/registry/{name}/data/{key}",
        put_value,
        Admin,
        "Keeps a value under a key of a stored plugin: `{value}`.",
        "200" "`{key, value}`." NONE INVALID
    ),
    operation!(
        "delete" "/api/plugins/registry/{name}/data/{key}",
        delete_value,
        Admin,
        "Takes a value of a stored plugin away.",
        "200" "`{name, removed}`." NONE
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/jobs",
        create_job,
        User,
        "A new row of jobs of a stored plugin.",
        "201" "The row, and what became of it." NONE CONFLICT INVALID
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/entities",
        create_entity,
        User,
        "A new entity of a stored plugin: `{entity_name, table_name, schema_definition}`.",
        "201" "The row, and what became of it." NONE CONFLICT INVALID
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/migrations",
        create_migration,
        User,
        "A new migration of a stored plugin: `{file_name, content}`.",
        "201" "The row, and what became of it." NONE CONFLICT INVALID
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/{part}",
        list_parts,
        User,
        "The rows of one kind of a stored plugin: controllers, hooks, events, middleware, widgets, docs, scripts.",
        "200" "`{rows, count}`." NONE
    ),
    operation!(
        "post" "/api/plugins/registry/{name}/{part}",
        create_part,
        User,
        "A new row of one kind of a stored plugin, in the words of its kind.",
        "201" "The row, and what became of it." NONE CONFLICT INVALID
    ),
    operation!(
        "get" "/api/plugins/registry/{name}/{part}/{row}",
        get_part,
        User,
        "A row of a stored plugin, by its id or its file's name.",
        "200" "The row." NONE
    ),
    operation!(
        "patch" "/api/plugins/registry/{name}/{part}/{row}",
        update_part,
        User,
        "Changes a row of a stored plugin: what is given is set, null takes back.",
        "200" "The row, and what became of it." NONE CONFLICT INVALID
    ),
    operation!(
        "delete" "/api/plugins/registry/{name}/{part}/{row}",
        delete_part,
        User,
        "Takes a row of a stored plugin away, and its file with it.",
        "200" "What became of it." NONE CONFLICT
    ),
    operation!(
        "post" "/api/plugins/{name}/event-listeners",
        create_listener,
        User,
        "A new listener of a stored plugin: `{event_name, listener_function, priority}`.",
        "201" "The row, and what became of it." NONE CONFLICT INVALID
    ),
    operation!(
        "patch" "/api/plugins/{name}/event-listeners/{file}",
        remap_listener,
        User,
        "Lets a listener's file hear another event: `{event_name}`.",
        "200" "The row, and what became of it." NONE CONFLICT
    ),
    operation!(
        "patch" "/api/plugins/registry/{name}/event-listeners/{file}",
        remap_listener,
        User,
        "The same by the registry's address.",
        "200" "The row, and what became of it." NONE CONFLICT
    ),
    operation!(
        "post" "/api/plugins/{name}/hooks",
        create_hook,
        User,
        "A new hook of a stored plugin: `{hook_name, handler_function, priority}`.",
        "201" "The row, and what became of it." NONE CONFLICT INVALID
    ),
];
