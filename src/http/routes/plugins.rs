//! The operations on plugins that are not calls of them.

use super::{Operation, Who};
use crate::http::typed::by;
use crate::http::{plugin_life, plugins};

const ADMINS: (&str, &str) = ("403", "FORBIDDEN: this needs the role admin.");
const NO_TOKEN: (&str, &str) = ("401", "Not authenticated.");
const NO_PLUGIN: (&str, &str) = ("404", "PLUGIN_NOT_FOUND.");
const NO_DATABASE: (&str, &str) = ("503", "DATABASE_UNAVAILABLE.");

pub(super) const PLUGINS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/api/plugins",
        handler: by!(plugins::list_plugins),
        who: Who::User,
        summary: "Lists the plugins and the state of each.",
        answers: &[("200", "The plugins."), NO_TOKEN],
    },
    Operation {
        method: "get",
        path: "/api/plugins/{name}",
        handler: by!(plugins::get_plugin),
        who: Who::User,
        summary: "Describes one plugin; to admins also its routes, life and errors.",
        answers: &[("200", "The plugin."), NO_TOKEN, NO_PLUGIN],
    },
    Operation {
        method: "delete",
        path: "/api/plugins/{name}",
        handler: by!(plugin_life::remove),
        who: Who::Admin,
        summary: "Unloads a plugin for good; its files and data stay.",
        answers: &[
            ("200", "`{name, removed}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            (
                "409",
                "CONFLICT: it comes with the gateway, or others need it; `details.list`.",
            ),
            NO_DATABASE,
        ],
    },
    Operation {
        method: "post",
        path: "/api/plugins/{name}/enable",
        handler: by!(plugin_life::set_enabled),
        who: Who::Admin,
        summary: "Switches a plugin on or off: `{enabled}`.",
        answers: &[
            ("200", "The plugin."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            (
                "409",
                "RELOAD_FAILED with the traceback, or CONFLICT: others need it.",
            ),
            ("422", "VALIDATION_ERROR."),
            NO_DATABASE,
        ],
    },
    Operation {
        method: "post",
        path: "/api/plugins/{name}/reload",
        handler: by!(plugin_life::reload),
        who: Who::Admin,
        summary: "Loads a plugin anew; the load before serves until then, and on where that fails.",
        answers: &[
            ("200", "The plugin."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            ("409", "RELOAD_FAILED with the traceback."),
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/{name}/config",
        handler: by!(plugin_life::get_config),
        who: Who::Admin,
        summary: "The configuration of a plugin in the admin's app.",
        answers: &[
            ("200", "`{plugin, config, revision}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
        ],
    },
    Operation {
        method: "put",
        path: "/api/plugins/{name}/config",
        handler: by!(plugin_life::put_config),
        who: Who::Admin,
        summary: "Sets the keys of `{config}` and leaves the others.",
        answers: &[
            ("200", "`{plugin, config, revision}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            (
                "422",
                "VALIDATION_ERROR: it does not fit `config_schema`; `details.path`.",
            ),
            NO_DATABASE,
        ],
    },
    Operation {
        method: "post",
        path: "/api/plugins/registry/discover",
        handler: by!(plugin_life::discover),
        who: Who::Admin,
        summary: "Loads plugins that are new in the plugins directory, and removed ones that are there.",
        answers: &[
            ("200", "`{plugins, count}`."),
            NO_TOKEN,
            ADMINS,
            NO_DATABASE,
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/endpoints",
        handler: by!(plugin_life::list_endpoints),
        who: Who::Admin,
        summary: "The routes that a plugin has registered.",
        answers: &[
            ("200", "`{endpoints, count}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/audit",
        handler: by!(plugin_life::list_audit),
        who: Who::Admin,
        summary: "Who did what to a plugin, newest first; `limit`.",
        answers: &[("200", "`{audit, count}`."), NO_TOKEN, ADMINS, NO_DATABASE],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/storage",
        handler: by!(plugin_life::list_storage),
        who: Who::Admin,
        summary: "What a plugin keeps in the admin's app; `prefix`, `limit`, `cursor`.",
        answers: &[
            ("200", "`{storage, count, total, bytes, next_cursor}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            NO_DATABASE,
        ],
    },
    Operation {
        method: "get",
        path: "/schemas/plugin.json",
        handler: by!(plugin_life::get_manifest_schema),
        who: Who::Anyone,
        summary: "The JSON Schema of `plugin.json`.",
        answers: &[("200", "The schema.")],
    },
];
