//! The gateway as its users meet it: every test starts the real binary.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test with what went wrong"
)]

mod actions;
mod actions_published;
mod apps;
mod authors;
mod commands;
mod connections;
mod data;
mod database;
mod demo;
mod dependencies;
mod documents;
mod drain;
mod entities;
mod environment;
mod error_table;
mod errors;
mod example;
mod execute;
mod files;
mod findings;
mod groups;
mod handlers;
mod health;
mod hooks;
mod hostile;
mod image;
mod init;
mod jobs_by_command;
mod jobs_declared;
mod jobs_of_gateways;
mod jobs_of_plugins;
mod life;
mod life_of_apps;
mod load;
mod logs;
mod migrating;
mod migrations;
mod migrations_killed;
mod notifications;
mod operations;
mod origins;
mod overload;
mod page_events;
mod page_parts;
mod parts;
mod permissions;
mod plugin_cache;
mod plugin_commands;
mod plugin_logs;
mod plugin_routes;
mod quotas;
mod rates;
mod realtime;
mod registry;
mod reloading;
mod request_ends;
mod requirements;
mod resting;
mod schemas;
mod sign_in;
mod store_process;
mod stored;
mod support;
mod tls;
mod tokens;
mod usage;
mod workers;
