//! The files of `crates/python`, from the ground up: each may use those of its row, which stand above it,
//! so that no circle can come back.

use super::{crate_paths, sources};

const FILES: &[(&str, &[&str])] = &[
    ("aside", &[]),
    ("calls", &[]),
    ("inside", &[]),
    ("json_in", &[]),
    ("limits", &[]),
    ("outbox", &[]),
    ("runtime_types", &[]),
    ("turns", &[]),
    ("asked", &["runtime_types"]),
    ("error", &["runtime_types"]),
    ("inbox", &["turns"]),
    ("frames", &["asked", "error", "runtime_types"]),
    ("json_out", &["error"]),
    ("code", &["error", "frames"]),
    ("progress", &["asked", "frames"]),
    ("import", &["frames", "progress"]),
    ("loop_state", &["outbox", "progress"]),
    ("host_link", &["code", "loop_state", "outbox"]),
    ("watch", &["code", "import"]),
    ("caller", &["host_link", "runtime_types"]),
    (
        "call",
        &[
            "caller",
            "calls",
            "code",
            "error",
            "host_link",
            "json_out",
            "loop_state",
            "outbox",
            "runtime_types",
        ],
    ),
    ("logging", &["asked", "caller"]),
    ("driver", &["call", "runtime_types"]),
    (
        "job",
        &[
            "aside",
            "call",
            "code",
            "host_link",
            "inbox",
            "outbox",
            "watch",
        ],
    ),
    (
        "native",
        &[
            "caller",
            "code",
            "driver",
            "error",
            "frames",
            "host_link",
            "logging",
            "runtime_types",
        ],
    ),
    ("prepare", &["call", "driver", "job", "json_in", "outbox"]),
    ("interpreter", &["inside", "native"]),
    ("bytecode", &["interpreter"]),
    ("source_check", &["interpreter"]),
    (
        "pool",
        &[
            "aside",
            "call",
            "driver",
            "error",
            "interpreter",
            "job",
            "prepare",
            "progress",
            "runtime_types",
            "turns",
            "watch",
        ],
    ),
    ("pools", &["call", "job", "pool", "watch"]),
    (
        "parts",
        &[
            "call",
            "calls",
            "code",
            "host_link",
            "job",
            "json_out",
            "limits",
            "loop_state",
            "outbox",
            "pools",
            "watch",
        ],
    ),
    (
        "loader",
        &[
            "caller",
            "code",
            "error",
            "frames",
            "import",
            "interpreter",
            "parts",
            "runtime_types",
        ],
    ),
    (
        "loop_thread",
        &[
            "call",
            "caller",
            "driver",
            "error",
            "interpreter",
            "job",
            "loop_state",
            "parts",
            "pool",
            "pools",
            "prepare",
            "runtime_types",
        ],
    ),
    (
        "watchdog",
        &[
            "code",
            "frames",
            "interpreter",
            "loader",
            "parts",
            "pool",
            "progress",
            "runtime_types",
            "watch",
        ],
    ),
];

#[test]
fn the_runtimes_files_use_only_those_above_them() {
    let mut broken = Vec::new();
    for (at, (file, uses)) in FILES.iter().enumerate() {
        for used in *uses {
            if !FILES[..at].iter().any(|(above, _)| above == used) {
                broken.push(format!("{used} does not stand above {file}"));
            }
        }
    }
    let mut read = 0;
    for (path, text) in sources() {
        let Some(inside) = path.strip_prefix("crates/python/src/") else {
            continue;
        };
        let file = inside.split(['/', '.']).next().unwrap_or_default();
        if matches!(file, "lib" | "tests") {
            continue;
        }
        read += 1;
        let Some((_, uses)) = FILES.iter().find(|(name, _)| *name == file) else {
            broken.push(format!("{path} has no row"));
            continue;
        };
        for used in crate_paths(&text) {
            if used != file && !uses.contains(&used.as_str()) {
                broken.push(format!("{path} uses {used}"));
            }
        }
        // Of its own folder a file may name what is above it; of another, only by its row.
        if inside.contains('/') && text.contains("super::super::") {
            broken.push(format!("{path} reaches past its folder"));
        }
        if !inside.contains('/') && text.contains("use super::{") {
            broken.push(format!("{path} names its neighbours in another way"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(read > 30, "crates/python was not found");
}
