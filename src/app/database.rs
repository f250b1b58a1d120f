//! The database that the gateway uses: the configured one, else the embedded store under the data
//! directory. Either is reached through the same driver.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{embedded::Embedded, host::Apps};
use mozaiks_config::{DatabaseConfig, LogConfig};
use mozaiks_store::{Health, Store, StoreConfig};

/// Connections that the embedded store is given: each is a thread of its process.
const EMBEDDED_POOL_SIZE: usize = 16;

/// What a host of a URI may hold as it is; the driver knows a socket by its `.sock`.
const HOST: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How long the start waits to hear from the database.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Connects to the configured database, or starts the embedded store and connects to that. A
/// configured one that does not answer yet is waited for later.
///
/// # Errors
/// A URI that is none; a data directory that cannot be used.
pub(super) async fn open(
    config: &DatabaseConfig,
    data_dir: &Path,
    apps: &Apps,
    log: &LogConfig,
) -> anyhow::Result<(Arc<Store>, Option<Embedded>)> {
    let (uri, pool_size, embedded) = match &config.uri {
        Some(uri) => (uri.clone(), config.pool_size, None),
        None => {
            let (uri, embedded) = start_embedded(data_dir, log).await?;
            let pool_size = config.pool_size.min(EMBEDDED_POOL_SIZE);
            (uri, pool_size, Some(embedded))
        }
    };
    let options = StoreConfig {
        database: config.name.clone(),
        control_database: config.control.clone(),
        moved: std::iter::once(mozaiks_settings::MOVED)
            .chain(mozaiks_notifications::MOVED.iter().copied())
            .collect(),
        max_cursors_per_plugin: config.max_cursors,
        max_watches_per_plugin: config.max_watches,
        max_sessions_per_plugin: config.max_sessions,
        idle_timeout: config.idle_timeout,
        database_per_app: apps.are_many(),
        pool_size,
        server_selection_timeout: config.selection_timeout,
        connect_timeout: config.connect_timeout,
        command_timeout: config.command_timeout,
        ..StoreConfig::new(uri)
    };
    let declared = std::iter::once(mozaiks_settings::COLLECTION)
        .chain(mozaiks_notifications::COLLECTIONS.iter().copied())
        .chain(mozaiks_lifecycle::COLLECTIONS)
        .chain(mozaiks_catalog::COLLECTIONS)
        .chain(mozaiks_entities::COLLECTIONS)
        .collect();
    let store = Store::open(options, declared)
        .await
        .context("the database cannot be used")?;
    // One that answers is ready for the first call; one that does not keeps nobody.
    let mut health = store.watch_health();
    let known = health.wait_for(|health| *health != Health::Starting);
    let _ = tokio::time::timeout(FIRST_LOOK, known).await;
    Ok((store, embedded))
}

async fn start_embedded(data_dir: &Path, log: &LogConfig) -> anyhow::Result<(String, Embedded)> {
    let path = data_dir.join("docstore");
    let unusable = || format!("the embedded store cannot use {}", path.display());
    std::fs::create_dir_all(&path).with_context(unusable)?;
    // Whoever can open the socket can read everything.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
        .with_context(unusable)?;
    let path = path.canonicalize().with_context(unusable)?;
    let socket = socket_path(&path);
    let embedded = Embedded::start(&path, &socket, log)
        .await
        .with_context(unusable)?;
    tracing::info!(path = %path.display(), "no database is configured: using the embedded store");
    let host = socket.to_string_lossy();
    let host = utf8_percent_encode(&host, HOST);
    Ok((format!("mongodb://{host}/?directConnection=true"), embedded))
}

/// Beside the data; the kernel takes 107 bytes at most, so a longer path gets a folder of its own
/// elsewhere.
fn socket_path(data: &Path) -> std::path::PathBuf {
    const LONGEST: usize = 100;
    let beside = data.join("docstore.sock");
    if beside.as_os_str().len() <= LONGEST {
        return beside;
    }
    std::env::temp_dir()
        .join(format!("mozaiks-{}", std::process::id()))
        .join("docstore.sock")
}
