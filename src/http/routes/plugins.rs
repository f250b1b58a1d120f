//! The operations on plugins that are not calls of them.

use axum::routing::on;

use super::{Operation, Who};
use crate::http::{plugin_jobs, plugin_life, plugin_logs, plugins};

const ADMINS: (&str, &str) = ("403", "FORBIDDEN: this needs the role admin.");
const NO_TOKEN: (&str, &str) = ("401", "Not authenticated.");
const NO_PLUGIN: (&str, &str) = ("404", "PLUGIN_NOT_FOUND.");
const NO_DATABASE: (&str, &str) = ("503", "DATABASE_UNAVAILABLE.");

pub(super) const PLUGINS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/api/plugins",
        handler: Some(|method| on(method, plugins::list_plugins)),
        who: Who::User,
        summary: "Lists the plugins and the state of each; `status`, `source`, `q`.",
        answers: &[
            ("200", "`{plugins, count}`."),
            NO_TOKEN,
            ("422", "VALIDATION_ERROR."),
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/{name}",
        handler: Some(|method| on(method, plugins::get_plugin)),
        who: Who::User,
        summary: "Describes one plugin; to admins also its routes, life and errors.",
        answers: &[("200", "The plugin."), NO_TOKEN, NO_PLUGIN],
    },
    Operation {
        method: "delete",
        path: "/api/plugins/{name}",
        handler: Some(|method| on(method, plugin_life::remove)),
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
        handler: Some(|method| on(method, plugin_life::set_enabled)),
        who: Who::Admin,
        summary: "Switches a plugin on or off: `{enabled, scope}`; of many apps in the admin's, for superadmins with `scope` `gateway` in all.",
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
        handler: Some(|method| on(method, plugin_life::reload)),
        who: Who::Admin,
        summary: "Loads a plugin anew, and what needs it; the load before serves until then, and on where that fails.",
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
        handler: Some(|method| on(method, plugin_life::get_config)),
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
        handler: Some(|method| on(method, plugin_life::put_config)),
        who: Who::Admin,
        summary: "Sets the keys of `{config, scope}` and leaves the others; `scope` as for enabling.",
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
        handler: Some(|method| on(method, plugin_life::discover)),
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
        handler: Some(|method| on(method, plugin_life::list_endpoints)),
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
        handler: Some(|method| on(method, plugin_life::list_audit)),
        who: Who::Admin,
        summary: "Who did what to a plugin, newest first; `limit`.",
        answers: &[("200", "`{audit, count}`."), NO_TOKEN, ADMINS, NO_DATABASE],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/storage",
        handler: Some(|method| on(method, plugin_life::list_storage)),
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
        path: "/api/plugins/registry/{name}/jobs",
        handler: Some(|method| on(method, plugin_jobs::list_jobs)),
        who: Who::Admin,
        summary: "The scheduled jobs of a plugin in the admin's app: schedule, next and last run.",
        answers: &[
            ("200", "`{jobs, count}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            NO_DATABASE,
        ],
    },
    Operation {
        method: "post",
        path: "/api/plugins/registry/{name}/jobs/{job}/run",
        handler: Some(|method| on(method, plugin_jobs::run_job)),
        who: Who::Admin,
        summary: "Makes a job due now in the admin's app; its schedule goes on after that run.",
        answers: &[
            ("202", "The job."),
            NO_TOKEN,
            ADMINS,
            (
                "404",
                "PLUGIN_NOT_FOUND, PLUGIN_DISABLED, or NOT_FOUND: no such job.",
            ),
            ("409", "CONFLICT: it is running."),
            ("503", "PLUGIN_UNAVAILABLE, DATABASE_UNAVAILABLE."),
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/job-runs",
        handler: Some(|method| on(method, plugin_jobs::list_runs)),
        who: Who::Admin,
        summary: "Runs of a plugin's jobs in the admin's app, newest first; `job`, `limit`, `cursor`.",
        answers: &[
            ("200", "`{job_runs, count, next_cursor}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            ("422", "VALIDATION_ERROR: the cursor is none."),
            NO_DATABASE,
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/health",
        handler: Some(|method| on(method, plugin_jobs::get_health)),
        who: Who::Admin,
        summary: "How a plugin said that it is when this gateway asked it last.",
        answers: &[
            ("200", "`{plugin, status, checked_at, ms, details, error}`."),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins/registry/{name}/logs",
        handler: Some(|method| on(method, plugin_logs::list_logs)),
        who: Who::Admin,
        summary: "What a plugin logged, printed and raised, the oldest line first; `limit`, `since`; with `follow=true` a JSON object a line, as they come.",
        answers: &[
            (
                "200",
                "`{logs, count, missed, next_cursor}`, or lines without an end.",
            ),
            NO_TOKEN,
            ADMINS,
            NO_PLUGIN,
            ("422", "VALIDATION_ERROR: `since` is no cursor."),
            ("503", "OVERLOADED: too many follow."),
        ],
    },
    Operation {
        method: "get",
        path: "/schemas/plugin.json",
        handler: Some(|method| on(method, plugin_life::get_manifest_schema)),
        who: Who::Anyone,
        summary: "The JSON Schema of `plugin.json`.",
        answers: &[("200", "The schema.")],
    },
];
