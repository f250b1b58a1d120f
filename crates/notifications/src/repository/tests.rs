use docstore::server::{Config, Listen, Server};

use super::*;
use mozaiks_store::{Health, StoreConfig};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn trouble_with_the_database_is_noticed_at_once_whichever_collection_meets_it() {
    for ask in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let uri = format!(
            "mongodb://{}/?directConnection=true",
            path.to_string_lossy().replace('/', "%2F")
        );
        let server = Server::start(Config::new(dir.path().join("data"), Listen::Unix(path)));
        let server = server.await.unwrap();
        let config = StoreConfig {
            server_selection_timeout: Duration::from_millis(300),
            // Nobody looks unless something has failed.
            ping_every: Duration::from_secs(3600),
            ..StoreConfig::new(uri)
        };
        let store = Store::open(config, COLLECTIONS.to_vec()).await.unwrap();
        let mut health = store.watch_health();
        let up = tokio::time::timeout(PATIENCE, health.wait_for(Health::is_up));
        up.await.expect("the database answers").unwrap();

        let repository = Repository::new(Arc::clone(&store));
        assert_eq!(repository.count_unread("a", "u").await.unwrap(), 0);
        server.shutdown().await;
        let error = match ask {
            0 => repository.count_unread("a", "u").await.unwrap_err(),
            1 => repository.find_broadcast("a", "b").await.unwrap_err(),
            _ => repository.preferences("a", "u").await.unwrap_err(),
        };
        assert_eq!(error.error_code(), "DATABASE_UNAVAILABLE");
        let down = health.wait_for(|health| matches!(health, Health::Down(_)));
        let down = tokio::time::timeout(PATIENCE, down).await;
        down.expect("it is noticed").unwrap();
    }
}
