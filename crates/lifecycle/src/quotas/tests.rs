use std::sync::atomic::AtomicUsize;

use mozaiks_store::{StoreError, StoreErrorKind};

use super::*;

/// What is stored is what a test says.
#[derive(Default)]
struct Told {
    stored: AtomicU64,
    limit: AtomicU64,
    counts: AtomicUsize,
    is_down: AtomicBool,
}

impl Meter for Told {
    fn measure(&self, _: Arc<str>, _: Arc<str>) -> BoxFuture<'static, Result<u64, LifeError>> {
        self.counts.fetch_add(1, Ordering::Relaxed);
        let stored = self.stored.load(Ordering::Relaxed);
        let is_down = self.is_down.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_down {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "down").into());
            }
            Ok(stored)
        })
    }

    fn limit(&self, _: &str) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }
}

fn told(limit: u64) -> (Arc<Told>, Arc<Quotas>) {
    let told = Arc::new(Told::default());
    told.limit.store(limit, Ordering::Relaxed);
    let quotas = Quotas::new(told.clone(), Duration::from_secs(60));
    (told, quotas)
}

fn names() -> (Arc<str>, Arc<str>) {
    ("shop".into(), "default".into())
}

/// As if the last count had been long ago.
async fn age(quotas: &Quotas, plugin: &Arc<str>, app: &Arc<str>) {
    *quotas.account(plugin, app).last.lock().await = None;
}

#[tokio::test]
async fn what_far_below_its_limit_writes_is_not_counted_again() {
    let (told, quotas) = told(1000);
    let (plugin, app) = names();
    told.stored.store(100, Ordering::Relaxed);
    for _ in 0..9 {
        quotas.charge(&plugin, &app, 100).await.expect("room");
    }
    assert_eq!(told.counts.load(Ordering::Relaxed), 1);
    assert_eq!(
        quotas.storage_bytes(&plugin, &app).await.expect("known"),
        1000
    );
}

#[tokio::test]
async fn an_estimate_alone_does_not_refuse() {
    let (told, quotas) = told(1000);
    let (plugin, app) = names();
    quotas.charge(&plugin, &app, 1000).await.expect("room");
    // It was one document, written again and again.
    told.stored.store(10, Ordering::Relaxed);
    age(&quotas, &plugin, &app).await;
    quotas.charge(&plugin, &app, 900).await.expect("room");
    // Then it is full, which is looked at once and not for each of those that are refused.
    told.stored.store(1000, Ordering::Relaxed);
    age(&quotas, &plugin, &app).await;
    let counts = told.counts.load(Ordering::Relaxed);
    for _ in 0..100 {
        let refused = quotas.charge(&plugin, &app, 200).await.err().expect("full");
        assert_eq!(refused.code(), "QUOTA_EXCEEDED");
    }
    assert_eq!(told.counts.load(Ordering::Relaxed), counts + 1);
    assert_eq!(quotas.refusals(), 100);
    // Another limit holds from the next count on.
    told.limit.store(5000, Ordering::Relaxed);
    age(&quotas, &plugin, &app).await;
    quotas.charge(&plugin, &app, 200).await.expect("room");
}

#[tokio::test]
async fn what_was_not_written_or_went_is_given_back() {
    let (_, quotas) = told(1000);
    let (plugin, app) = names();
    let other: Arc<str> = "other".into();
    let charge = quotas.charge(&plugin, &app, 1000).await.expect("room");
    for (plugin, app) in [(&plugin, &other), (&other, &app)] {
        quotas
            .charge(plugin, app, 1000)
            .await
            .expect("an account of its own");
    }
    assert!(quotas.charge(&plugin, &app, 1).await.is_err());
    charge.give_back();
    let charge = quotas.charge(&plugin, &app, 600).await.expect("room");
    charge.freed(500);
    quotas.free(&plugin, &app, 50);
    assert_eq!(
        quotas.storage_bytes(&plugin, &app).await.expect("known"),
        50
    );
}

#[tokio::test]
async fn a_pass_counts_what_was_written_and_forgets_the_rest() {
    let (told, quotas) = told(1000);
    let (plugin, app) = names();
    quotas.charge(&plugin, &app, 700).await.expect("room");
    told.stored.store(20, Ordering::Relaxed);
    age(&quotas, &plugin, &app).await;
    quotas.pass().await;
    assert_eq!(
        quotas.storage_bytes(&plugin, &app).await.expect("known"),
        20
    );
    quotas.pass().await;
    assert!(quotas.accounts.read().is_empty());
    // What cannot be counted is not written, and is counted once it can be.
    told.is_down.store(true, Ordering::Relaxed);
    let failed = quotas.charge(&plugin, &app, 1).await.err().expect("down");
    assert_eq!(failed.code(), "DATABASE_UNAVAILABLE");
    told.is_down.store(false, Ordering::Relaxed);
    quotas.charge(&plugin, &app, 1).await.expect("room");
}
