//! The database that the gateway uses: the configured one, else the embedded store under the data
//! directory. Either is reached through the same driver.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use docstore::server::{Config as DocstoreConfig, Listen, Server as Docstore};

use super::host::Apps;
use mozaiks_config::DatabaseConfig;
use mozaiks_store::{Health, Store, StoreConfig};

/// Connections that the embedded store is given: each is a thread of this process.
const EMBEDDED_POOL_SIZE: usize = 16;

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
) -> anyhow::Result<(Arc<Store>, Option<Docstore>)> {
    let embedded = match &config.uri {
        Some(_) => None,
        None => Some(start_embedded(data_dir).await?),
    };
    let (uri, pool_size) = match (&config.uri, &embedded) {
        (Some(uri), _) => (uri.clone(), config.pool_size),
        (None, Some(docstore)) => (docstore.uri(), config.pool_size.min(EMBEDDED_POOL_SIZE)),
        (None, None) => anyhow::bail!("there is no database"),
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

async fn start_embedded(data_dir: &Path) -> anyhow::Result<Docstore> {
    let path = data_dir.join("docstore");
    let unusable = || format!("the embedded store cannot use {}", path.display());
    std::fs::create_dir_all(&path).with_context(unusable)?;
    // Whoever can open the socket can read everything.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
        .with_context(unusable)?;
    let path = path.canonicalize().with_context(unusable)?;
    let config = DocstoreConfig::new(&path, Listen::Unix(socket_path(&path)));
    let docstore = Docstore::start(config).await.with_context(unusable)?;
    tracing::info!(path = %path.display(), "no database is configured: using the embedded store");
    Ok(docstore)
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
