//! What the process is and where its things are.

use crate::keys::{Field, Key, key};

pub(super) const PROCESS: &[Key] = &[
    key(
        "dev",
        "MOZAIKS_DEV",
        "dev",
        "Development mode: a secret generated once under the data directory, tracebacks to the client, any localhost origin, pages of plugins under `/demo`.",
        Field::Switch(|s| &mut s.config.dev),
    ),
    key(
        "listen",
        "MOZAIKS_LISTEN",
        "listen",
        "Address to listen on; port 0 picks a free one.",
        Field::Address(|s| &mut s.config.server.listen),
    ),
    key(
        "plugins_path",
        "MOZAIKS_PLUGINS_PATH",
        "plugins",
        "Directory that holds the plugins.",
        Field::Path(|s| &mut s.config.plugins.dir),
    ),
    key(
        "data_dir",
        "MOZAIKS_DATA_DIR",
        "data-dir",
        "Where the gateway keeps what is its own: the development secret and the embedded store.",
        Field::Path(|s| &mut s.config.data_dir),
    ),
];
