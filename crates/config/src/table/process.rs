//! What the process is and where its things are.

use crate::keys::{Key, address, key, path, switch};

pub(super) const PROCESS: &[Key] = &[
    key!(
        "dev",
        "Development mode: a secret generated once under the data directory, tracebacks to the client, any localhost origin, pages of plugins under `/demo`.",
        switch(|s| &mut s.config.dev),
    ),
    key!(
        "listen",
        "Address to listen on; port 0 picks a free one.",
        address(|s| &mut s.config.server.listen),
    ),
    key!(
        "plugins_path",
        "Directory that holds the plugins.",
        path(|s| &mut s.config.plugins.dir),
    )
    .flag("plugins"),
    key!(
        "data_dir",
        "Where the gateway keeps what is its own: the development secret and the embedded store.",
        path(|s| &mut s.config.data_dir),
    ),
];
