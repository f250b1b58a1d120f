//! Every operation of every route, declared once: the router, `/openapi.json` and `/docs` are made from
//! it. Only what `demo` adds in development mode stands elsewhere.

mod admin;
mod migrations;
mod notifications;
mod plugins;
mod stored;

use axum::{Router, routing::MethodFilter};
use schemars::json_schema;

use self::{
    admin::ADMIN, migrations::MIGRATIONS, notifications::NOTIFICATIONS, plugins::PLUGINS,
    stored::STORED,
};
use super::{
    hooks, openapi, operations as health, slots,
    state::AppState,
    stream, ticket,
    typed::{Endpoint, by},
    ws,
};

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    User,
    Admin,
}

/// One operation of one route.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What answers it: it says what it takes and gives.
    pub(super) handler: Endpoint,
    pub(super) who: Who,
    pub(super) summary: &'static str,
    /// Statuses and what each means.
    pub(super) answers: &'static [(&'static str, &'static str)],
}

/// What a handshake can come to.
const SOCKET_ANSWERS: &[(&str, &str)] = &[
    ("101", "A WebSocket."),
    ("401", "The credentials presented were not accepted."),
    (
        "403",
        "FORBIDDEN: another user's socket, or an origin that is not admitted; APP_MISMATCH.",
    ),
    ("426", "UPGRADE_REQUIRED: no WebSocket handshake."),
    ("429", "RATE_LIMITED, with Retry-After."),
    ("503", "OVERLOADED: too many sockets wait for credentials."),
];

/// Recognised before the router. What it takes and gives is the plugin's.
const EXECUTE: Endpoint = Endpoint {
    route: None,
    describe: |description| {
        let anything = json_schema!({ "type": "object", "additionalProperties": true });
        description.body = Some(anything.clone());
        description.answer = Some(("application/json", anything));
    },
};

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/api/slots/{page}",
        handler: by!(slots::get_slots),
        who: Who::User,
        summary: "The widgets that a page places, and whether each is there.",
        answers: &[
            ("200", "`{page, slots, count}`."),
            ("401", "Not authenticated."),
            ("404", "NOT_FOUND: no name of a page."),
            ("503", "DATABASE_UNAVAILABLE."),
        ],
    },
    Operation {
        method: "put",
        path: "/api/slots/{page}",
        handler: by!(slots::put_slots),
        who: Who::Admin,
        summary: "Places `{slots}` on a page, and nothing else.",
        answers: &[
            ("200", "`{page, slots, count}`."),
            ("401", "Not authenticated."),
            ("403", "FORBIDDEN: this needs the role admin."),
            (
                "422",
                "VALIDATION_ERROR: also of a widget that there is not; `details.path`.",
            ),
            ("503", "DATABASE_UNAVAILABLE."),
        ],
    },
    Operation {
        method: "post",
        path: "/api/events/{event_name}",
        handler: by!(hooks::publish),
        who: Who::User,
        summary: "Publishes `{data}` as an event of which a plugin says that pages may.",
        answers: &[
            ("202", "`{event}`: published."),
            ("401", "Not authenticated."),
            ("404", "NOT_FOUND: no plugin says so of this name."),
            ("413", "PAYLOAD_TOO_LARGE: over 64 KiB."),
            ("422", "VALIDATION_ERROR."),
            ("429", "RATE_LIMITED, with Retry-After."),
        ],
    },
    Operation {
        method: "post",
        path: "/api/hooks/{hook_name}/apply",
        handler: by!(hooks::apply),
        who: Who::User,
        summary: "Sends `{value, args}` through the public filters of a hook.",
        answers: &[
            ("200", "`{value}`, as the last filter left it."),
            ("401", "Not authenticated."),
            ("404", "NOT_FOUND: nothing of this hook is public."),
            ("422", "VALIDATION_ERROR."),
            ("429", "RATE_LIMITED, with Retry-After."),
            ("500", "HOOK_FAILED: a filter failed that is required."),
        ],
    },
    Operation {
        method: "post",
        path: "/api/execute/{plugin}",
        handler: EXECUTE,
        who: Who::User,
        summary: "Calls a plugin with a JSON object and answers the dict it returns.",
        answers: &[
            ("200", "The plugin's dict."),
            (
                "400",
                "INVALID_JSON, INVALID_REQUEST, or a domain failure of the plugin.",
            ),
            (
                "401",
                "AUTH_REQUIRED, AUTH_INVALID, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_TOO_LARGE.",
            ),
            ("403", "APP_MISMATCH, FORBIDDEN, FEATURE_GATED."),
            (
                "404",
                "PLUGIN_NOT_FOUND, PLUGIN_DISABLED, or a domain failure NOT_FOUND.",
            ),
            ("408", "REQUEST_TIMEOUT: the body did not arrive in time."),
            ("409", "A domain failure CONFLICT."),
            ("413", "PAYLOAD_TOO_LARGE."),
            ("415", "UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_ENCODING."),
            (
                "422",
                "VALIDATION_ERROR: of an action's input, with `details.path`; or a domain failure.",
            ),
            (
                "429",
                "RATE_LIMITED (with Retry-After), or a domain failure LIMIT_EXCEEDED.",
            ),
            (
                "500",
                "PLUGIN_ERROR, PLUGIN_BAD_RESULT, OUTPUT_NOT_SERIALIZABLE, OUTPUT_TOO_LARGE, INTERNAL_ERROR.",
            ),
            (
                "503",
                "OVERLOADED (with Retry-After), PLUGIN_UNAVAILABLE, DATABASE_UNAVAILABLE.",
            ),
            ("504", "PLUGIN_TIMEOUT."),
            ("507", "STORAGE_FULL."),
        ],
    },
    Operation {
        method: "get",
        path: "/ws",
        handler: by!(ws::get_socket),
        who: Who::User,
        summary: "Opens a WebSocket of the token's user.",
        answers: SOCKET_ANSWERS,
    },
    Operation {
        method: "get",
        path: "/ws/notifications/{user_id}",
        handler: by!(ws::get_user_socket),
        who: Who::User,
        summary: "Opens a WebSocket of the user named, who is the token's unless a superadmin asks.",
        answers: SOCKET_ANSWERS,
    },
    Operation {
        method: "get",
        path: "/api/stream",
        handler: by!(stream::get_stream),
        who: Who::User,
        summary: "The user's messages as server-sent events; `Last-Event-ID` resumes.",
        answers: &[
            ("200", "A stream of events that does not end by itself."),
            ("401", "Not authenticated."),
            ("429", "LIMIT_EXCEEDED: the user has too many connections."),
        ],
    },
    Operation {
        method: "post",
        path: "/api/ws/ticket",
        handler: by!(ticket::create_ticket),
        who: Who::User,
        summary: "A credential for one connection: `{ticket, expires_in}`, for `?ticket=`.",
        answers: &[
            ("200", "The ticket."),
            ("401", "Not authenticated."),
            ("429", "LIMIT_EXCEEDED: too many tickets are open."),
        ],
    },
];

const REST: &[Operation] = &[
    Operation {
        method: "get",
        path: "/health",
        handler: by!(health::get_health),
        who: Who::Anyone,
        summary: "Whether the process is alive.",
        answers: &[("200", "It is.")],
    },
    Operation {
        method: "get",
        path: "/ready",
        handler: by!(health::get_ready),
        who: Who::Anyone,
        summary: "Whether calls are taken.",
        answers: &[
            ("200", "They are."),
            ("503", "Not yet (starting), or no longer (draining)."),
        ],
    },
    Operation {
        method: "get",
        path: "/metrics",
        handler: by!(health::get_metrics),
        who: Who::Anyone,
        summary: "Counters in Prometheus' text format.",
        answers: &[("200", "The counters.")],
    },
    Operation {
        method: "get",
        path: "/openapi.json",
        handler: by!(openapi::get_openapi),
        who: Who::Anyone,
        summary: "This description.",
        answers: &[("200", "OpenAPI 3.1.")],
    },
    Operation {
        method: "get",
        path: "/docs",
        handler: by!(openapi::get_docs),
        who: Who::Anyone,
        summary: "This description, for people.",
        answers: &[("200", "A page.")],
    },
    Operation {
        method: "get",
        path: "/docs/actions.js",
        handler: by!(openapi::get_docs_script),
        who: Who::Anyone,
        summary: "What makes forms of the actions of plugins on that page.",
        answers: &[("200", "A script.")],
    },
];

/// All of them, in the order of the documentation.
pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
    [
        OPERATIONS,
        PLUGINS,
        MIGRATIONS,
        STORED,
        NOTIFICATIONS,
        ADMIN,
        REST,
    ]
    .into_iter()
    .flatten()
}

/// The router over all of them.
pub(super) fn router() -> Router<AppState> {
    operations().fold(Router::new(), |router, operation| {
        match operation.handler.route {
            Some(route) => router.route(operation.path, route(operation.filter())),
            None => router,
        }
    })
}

impl Operation {
    fn filter(&self) -> MethodFilter {
        match self.method {
            "get" => MethodFilter::GET,
            "post" => MethodFilter::POST,
            "put" => MethodFilter::PUT,
            "patch" => MethodFilter::PATCH,
            "delete" => MethodFilter::DELETE,
            other => unreachable!("invariant: no operation has the method {other}"),
        }
    }
}
