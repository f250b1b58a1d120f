//! The crates of the workspace, from whom each may know; and crates from outside that few may name.

/// Every crate of the workspace, by its folder below `crates/`, and the crates of the workspace that it may
/// name among its dependencies.
pub(super) const CRATES: &[(&str, &[&str])] = &[
    ("auth", &["mozaiks-config"]),
    ("catalog", &["mozaiks-plugins", "mozaiks-store"]),
    ("config", &[]),
    ("docstore", &[]),
    ("entities", &["mozaiks-plugins", "mozaiks-store"]),
    ("events", &["mozaiks-auth", "mozaiks-config"]),
    ("files", &[]),
    (
        "hooks",
        &["mozaiks-auth", "mozaiks-config", "mozaiks-plugins"],
    ),
    (
        "jobs",
        &["mozaiks-config", "mozaiks-schedule", "mozaiks-store"],
    ),
    ("json_text", &[]),
    (
        "lifecycle",
        &[
            "mozaiks-auth",
            "mozaiks-config",
            "mozaiks-events",
            "mozaiks-jobs",
            "mozaiks-plugins",
            "mozaiks-store",
        ],
    ),
    (
        "notifications",
        &[
            "mozaiks-auth",
            "mozaiks-config",
            "mozaiks-jobs",
            "mozaiks-store",
        ],
    ),
    ("outbound", &["mozaiks-config"]),
    (
        "plugins",
        &[
            "mozaiks-auth",
            "mozaiks-config",
            "mozaiks-json-text",
            "mozaiks-schedule",
            "mozaiks-telemetry",
        ],
    ),
    (
        "python",
        &[
            "mozaiks-auth",
            "mozaiks-config",
            "mozaiks-json-text",
            "mozaiks-plugins",
        ],
    ),
    (
        "realtime",
        &["mozaiks-auth", "mozaiks-config", "mozaiks-json-text"],
    ),
    ("requirements", &["mozaiks-config"]),
    ("schedule", &[]),
    (
        "settings",
        &[
            "mozaiks-auth",
            "mozaiks-events",
            "mozaiks-plugins",
            "mozaiks-store",
        ],
    ),
    ("store", &["mozaiks-config"]),
    ("telemetry", &["mozaiks-config", "mozaiks-json-text"]),
    ("wheel", &[]),
    (
        "worker",
        &["mozaiks-auth", "mozaiks-config", "mozaiks-plugins"],
    ),
];

/// A crate from outside that not everybody may use: who may name it in a manifest, and the places that may
/// write its name. A place that ends in `/` is a folder; `*` stands for any beginning.
pub(super) const GUARDED: &[(&str, &[&str])] = &[
    ("axum", &["src/http.rs", "src/http/", "src/server/"]),
    (
        "hyper",
        &["src/http.rs", "src/http/", "src/server.rs", "src/server/"],
    ),
    ("hyper-util", &["src/server.rs", "src/server/"]),
    ("tower", &["src/http.rs", "src/http/", "src/server/"]),
    ("tokio-tungstenite", &["src/http/ws.rs", "src/http/ws/"]),
    ("pyo3", &["crates/python/", "crates/wheel/"]),
    ("pyo3-build-config", &["crates/python/"]),
    ("jsonwebtoken", &["crates/auth/"]),
    (
        "mongodb",
        &[
            "crates/store/",
            "crates/catalog/src/repository",
            "crates/docstore/tests/",
            "crates/entities/src/repository",
            "crates/jobs/src/queue.rs",
            "crates/jobs/src/repository",
            "crates/lifecycle/src/apps.rs",
            "crates/lifecycle/src/audit.rs",
            "crates/lifecycle/src/changes.rs",
            "crates/lifecycle/src/configs.rs",
            "crates/lifecycle/src/jobs/repository.rs",
            "crates/lifecycle/src/endpoints.rs",
            "crates/lifecycle/src/executions.rs",
            "crates/lifecycle/src/rows",
            "crates/lifecycle/src/slots.rs",
            "crates/lifecycle/src/storage/repository.rs",
            "crates/lifecycle/src/usage/repository.rs",
            "crates/notifications/src/repository",
            "crates/settings/src/repository",
            "*/tests.rs",
        ],
    ),
    (
        "docstore",
        &[
            "src/cli/store.rs",
            "crates/docstore/",
            "*/tests.rs",
            "*/tests/",
        ],
    ),
    ("rusqlite", &["crates/docstore/"]),
    ("landlock", &["crates/worker/"]),
    ("seccompiler", &["crates/worker/"]),
    ("postcard", &["crates/worker/"]),
    ("clap", &["src/cli.rs", "src/cli/", "crates/docstore/"]),
    (
        "anyhow",
        &["src/main.rs", "src/cli.rs", "src/cli/", "src/app/"],
    ),
    ("notify", &["crates/lifecycle/src/source_watch.rs"]),
    ("minijinja", &["crates/notifications/"]),
    ("lettre", &["crates/notifications/", "crates/config/"]),
    ("web-push-native", &["crates/notifications/"]),
    (
        "reqwest",
        &[
            "crates/auth/",
            "crates/config/",
            "crates/notifications/",
            "crates/outbound/",
            "src/cli/remote.rs",
        ],
    ),
];
