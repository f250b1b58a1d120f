//! What keeps plugins as their files and the database say, beside whatever else goes on.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::server::shutdown::Hangups;
use mozaiks_config::PluginsConfig;
use mozaiks_lifecycle::{
    manager::{Look, PluginManager},
    registry_watch, source_watch,
};
use mozaiks_store::Store;

/// The tasks that follow files, rows, apps and `SIGHUP`.
pub(super) struct Followers(Vec<JoinHandle<()>>);

impl Followers {
    /// Starts them; each begins when all plugins have been loaded for the first time.
    pub(super) fn start(
        manager: &Arc<PluginManager>,
        store: &Arc<Store>,
        config: &PluginsConfig,
        dev: bool,
        hangups: Hangups,
    ) -> Self {
        let rows =
            registry_watch::follow(Arc::clone(manager), Arc::clone(store), config.registry_poll);
        let mut tasks = vec![
            tokio::spawn(rows),
            tokio::spawn(Arc::clone(manager).follow_apps()),
            tokio::spawn(follow_hangups(Arc::clone(manager), hangups)),
        ];
        if config.watch || dev {
            let files =
                source_watch::watch(Arc::clone(manager), config.dir.clone(), config.watch_poll);
            tasks.push(tokio::spawn(files));
        }
        Self(tasks)
    }

    /// Ends them. A step that one of them was taking is left where it is.
    pub(super) fn stop(self) {
        for task in self.0 {
            task.abort();
        }
    }
}

async fn follow_hangups(manager: Arc<PluginManager>, mut hangups: Hangups) {
    manager.until_loaded().await;
    loop {
        hangups.next().await;
        tracing::info!("looking at the files of all plugins");
        manager.look_at_all_files(Look::Signal).await;
    }
}
