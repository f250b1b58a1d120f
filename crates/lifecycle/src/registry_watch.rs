//! Follows the registry in the database for as long as the gateway runs: by a change stream where the
//! server has them, else by looking now and then.

use std::{sync::Arc, time::Duration};

use mozaiks_store::Store;

use crate::{changes::Changes, error::LifeError, manager::PluginManager};

/// What comes within this time of a change is followed with it.
const TOGETHER: Duration = Duration::from_millis(50);
/// Between two tries to follow a database that does not let itself be followed.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the registry until it is dropped or aborted. `poll` is the time between two looks where
/// there is no change stream.
pub async fn follow(manager: Arc<PluginManager>, store: Arc<Store>, poll: Duration) {
    manager.until_loaded().await;
    let mut changes = Changes::new(Arc::clone(&store));
    let mut failed = false;
    loop {
        let followed = if store.has_change_streams() {
            follow_changes(&manager, &mut changes, &mut failed).await
        } else {
            look(&manager, false).await
        };
        let wait = match followed {
            Ok(()) => {
                failed = false;
                poll
            }
            Err(error) => {
                // Told once in an outage; the database's health is told on its own.
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "plugins.registry_not_followed");
                }
                PAUSE.min(poll)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Follows changes until the stream breaks.
async fn follow_changes(
    manager: &Arc<PluginManager>,
    changes: &mut Changes,
    failed: &mut bool,
) -> Result<(), LifeError> {
    let mut open = changes.open().await?;
    *failed = false;
    tracing::info!("plugins.registry_followed");
    // What has changed while nobody listened.
    look(manager, true).await?;
    loop {
        changes.next(&mut open).await?;
        let more = async { while changes.next(&mut open).await.is_ok() {} };
        // Where the stream breaks here, the next round says so.
        tokio::time::timeout(TOGETHER, more).await.ok();
        look(manager, true).await?;
    }
}

/// Reads what there is. `told` says that configurations may have changed too.
async fn look(manager: &Arc<PluginManager>, told: bool) -> Result<(), LifeError> {
    manager.reconcile().await?;
    manager.reconcile_configs(told).await
}
