//! The limits that hold for a plugin: what it or its operator says, within what the operator allows at most.

use mozaiks_config::WorkersConfig;
use mozaiks_plugins::{
    limits::{DEFAULT_STORAGE_BYTES, ResourceLimits},
    manifest::Isolation,
};
use serde_json::{Value, json};

use crate::pool::PoolView;

/// Where nobody says anything.
const MEMORY: u64 = 256_000_000;
const CPU: f64 = 50.0;
const DISK_IO: u64 = 10_000_000;
const OPEN_FILES: u64 = 256;
const THREADS: u64 = 32;

/// Limits in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effective {
    /// As the operator or the manifest says it.
    said: Value,
    pub(super) memory: u64,
    pub(super) cpu: f64,
    pub(super) disk_io: u64,
    pub(super) storage: u64,
    pub(super) open_files: u64,
    pub(super) threads: u64,
}

/// One limit of a plugin, for admins.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitView {
    /// Which.
    pub name: &'static str,
    /// What the manifest says.
    pub wanted: Option<Value>,
    /// What holds.
    pub effective: Value,
    /// Whether anything sees to it.
    pub enforced: bool,
    /// What does; where nothing does, why.
    pub by: String,
    /// What is used now, where that is known.
    pub used: Option<Value>,
}

impl Effective {
    pub(super) fn of(said: &ResourceLimits, config: &WorkersConfig) -> Self {
        Self {
            said: serde_json::to_value(said).unwrap_or_default(),
            memory: said.memory.unwrap_or(MEMORY).min(config.max_memory as u64),
            cpu: said.cpu.unwrap_or(CPU).min(config.max_cpu_percent as f64),
            disk_io: said.disk_io.unwrap_or(DISK_IO).min(config.max_disk as u64),
            storage: said.storage.unwrap_or(DEFAULT_STORAGE_BYTES),
            open_files: said
                .open_files
                .unwrap_or(OPEN_FILES)
                .clamp(32, config.max_open_files as u64),
            threads: said
                .threads
                .unwrap_or(THREADS)
                .min(config.max_threads as u64),
        }
    }

    /// Limits one by one. Outside a process of its own those of the machine cannot be kept.
    pub(super) fn view(
        &self,
        wanted: &ResourceLimits,
        mode: Isolation,
        pool: Option<&PoolView>,
    ) -> Vec<LimitView> {
        let wanted = serde_json::to_value(wanted).unwrap_or_default();
        let worker = pool.and_then(|pool| pool.workers.first());
        let rows: [(&'static str, Value, &str, Option<Value>); 6] = [
            (
                "memory",
                json!(self.memory),
                "RLIMIT_DATA, and its resident memory is looked at",
                worker.map(|worker| json!(worker.memory_bytes)),
            ),
            ("cpu", json!(self.cpu), "its process is paused", None),
            (
                "disk_io",
                json!(self.disk_io),
                "looked at; over it for 10 s it is ended",
                None,
            ),
            ("open_files", json!(self.open_files), "RLIMIT_NOFILE", None),
            (
                "threads",
                json!(self.threads),
                "looked at; over it it is ended",
                None,
            ),
            ("processes", json!(0), "seccomp", None),
        ];
        let of = |name: &str| wanted.get(name).filter(|value| !value.is_null()).cloned();
        let mut views: Vec<LimitView> = rows
            .into_iter()
            .map(|(name, effective, by, used)| {
                let told = pool.and_then(|pool| {
                    let mut enforced = pool.enforced.iter();
                    enforced.find(|each| each.name == name)
                });
                let (enforced, by) = match (mode, told) {
                    (Isolation::Dedicated, Some(told)) => (told.enforced, told.by.clone()),
                    (Isolation::Dedicated, None) => (true, by.to_owned()),
                    (Isolation::Inline | Isolation::Shared, _) => {
                        (false, "it has no process of its own".to_owned())
                    }
                };
                LimitView {
                    name,
                    wanted: of(name),
                    effective,
                    enforced,
                    by,
                    used,
                }
            })
            .collect();
        views.push(LimitView {
            name: "storage",
            wanted: of("storage"),
            effective: json!(self.storage),
            enforced: true,
            by: "the gateway, on every write that goes through it".to_owned(),
            used: None,
        });
        // The gateway keeps these itself, wherever the plugin runs.
        for (name, by) in [
            ("wall", "the gateway's timers"),
            ("max_concurrency", "the dispatcher"),
            ("output_bytes", "the dispatcher"),
            (
                "network_connections",
                "requests to others go through the gateway",
            ),
        ] {
            if let Some(said) = self.said.get(name).filter(|said| !said.is_null()) {
                views.push(LimitView {
                    name,
                    wanted: of(name),
                    effective: said.clone(),
                    enforced: true,
                    by: by.to_owned(),
                    used: None,
                });
            }
        }
        views
    }
}
