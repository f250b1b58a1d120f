//! How much plugins store: estimated at each write, counted from time to time.
//!
//! What a plugin has in an app has an account. A write adds to it what it may store at most, and is refused
//! where that is too much, but never before it was counted: an estimate alone only lets pass. What is
//! counted, and how much is allowed, a [`Meter`] knows.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use crate::error::LifeError;

/// Accounts that are kept; past it all are forgotten, and counted again when they are next needed.
const MAX_ACCOUNTS: usize = 65_536;
/// An account is not counted more often than that, however much is refused; nor than is set.
const COUNT_SPACING: Duration = Duration::from_secs(1);
/// Nor so often that counting takes more than this part of the time.
const COUNT_SHARE: u32 = 20;

/// Knows what is stored, and how much may be.
pub trait Meter: Send + Sync + 'static {
    /// What a plugin stores in an app, in bytes.
    fn measure(
        &self,
        plugin: Arc<str>,
        app_id: Arc<str>,
    ) -> BoxFuture<'static, Result<u64, LifeError>>;

    /// What it may store there.
    fn limit(&self, plugin: &str) -> u64;
}

/// What a plugin stores in an app.
struct Account {
    plugin: Arc<str>,
    app_id: Arc<str>,
    used: AtomicU64,
    limit: AtomicU64,
    /// Whether anything was written since it was last counted.
    is_written: AtomicBool,
    is_counted: AtomicBool,
    /// Held while it is counted: whoever waits for it finds it fresh.
    last: tokio::sync::Mutex<Option<LastCount>>,
}

struct LastCount {
    at: Instant,
    took: Duration,
}

type Accounts = HashMap<Arc<str>, HashMap<Arc<str>, Arc<Account>>>;

/// What plugins store, by app and plugin.
pub struct Quotas {
    meter: Arc<dyn Meter>,
    recount: Duration,
    accounts: RwLock<Accounts>,
    refusals: AtomicU64,
}

/// What a write has been charged.
pub struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Charge {
    /// Nothing was written.
    pub fn give_back(self) {
        self.account.subtract(self.bytes);
    }

    /// Something else went by it.
    pub fn freed(&self, bytes: u64) {
        self.account.subtract(bytes);
    }
}

impl Account {
    fn add(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        self.is_written.store(true, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.limit.load(Ordering::Relaxed) {
            return true;
        }
        self.subtract(bytes);
        false
    }

    fn subtract(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // The function always gives a number.
        let _ = (self.used).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.is_written.store(true, Ordering::Relaxed);
    }
}

impl Quotas {
    /// Over a meter; what was written is counted every `recount`.
    pub fn new(meter: Arc<dyn Meter>, recount: Duration) -> Arc<Self> {
        Arc::new(Self {
            meter,
            recount,
            accounts: RwLock::default(),
            refusals: AtomicU64::new(0),
        })
    }

    /// Takes room for a write.
    ///
    /// # Errors
    /// [`LifeError::QuotaExceeded`], and what kept it from being counted.
    pub async fn charge(
        &self,
        plugin: &Arc<str>,
        app_id: &Arc<str>,
        bytes: u64,
    ) -> Result<Charge, LifeError> {
        let account = self.account(plugin, app_id);
        if !account.is_counted.load(Ordering::Acquire) {
            self.count(&account).await?;
        }
        if !account.add(bytes) {
            // An estimate does not refuse.
            self.count(&account).await?;
            if !account.add(bytes) {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                return Err(LifeError::QuotaExceeded {
                    limit_bytes: account.limit.load(Ordering::Relaxed),
                });
            }
        }
        Ok(Charge { account, bytes })
    }

    /// Something was taken away.
    pub fn free(&self, plugin: &str, app_id: &str, bytes: u64) {
        let accounts = self.accounts.read();
        let account = accounts.get(app_id).and_then(|of_app| of_app.get(plugin));
        if let Some(account) = account {
            account.subtract(bytes);
        }
    }

    /// What a plugin stores in an app, in bytes: as it was last counted, with what was written since.
    ///
    /// # Errors
    /// What kept it from being counted.
    pub async fn storage_bytes(
        &self,
        plugin: &Arc<str>,
        app_id: &Arc<str>,
    ) -> Result<u64, LifeError> {
        let account = self.account(plugin, app_id);
        if !account.is_counted.load(Ordering::Acquire) {
            self.count(&account).await?;
        }
        Ok(account.used.load(Ordering::Relaxed))
    }

    /// As [`Self::storage_bytes`], where it has been counted.
    pub fn known_bytes(&self, plugin: &str, app_id: &str) -> Option<u64> {
        let accounts = self.accounts.read();
        let account = accounts.get(app_id)?.get(plugin)?;
        let is_counted = account.is_counted.load(Ordering::Acquire);
        is_counted.then(|| account.used.load(Ordering::Relaxed))
    }

    /// Writes that were refused since the start.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Counts what was written, for as long as the gateway runs.
    pub fn start(self: &Arc<Self>) -> JoinHandle<()> {
        let quotas = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(quotas.recount).await;
                quotas.pass().await;
            }
        })
    }

    /// Counts every account that was written, one after the other, and forgets the others.
    async fn pass(&self) {
        let mut written = Vec::new();
        self.accounts.write().retain(|_, of_app| {
            of_app.retain(|_, account| {
                let is_written = account.is_written.load(Ordering::Relaxed);
                if is_written {
                    written.push(Arc::clone(account));
                }
                is_written
            });
            !of_app.is_empty()
        });
        for account in written {
            if let Err(error) = self.count(&account).await {
                tracing::warn!(
                    plugin.name = &*account.plugin,
                    app.id = &*account.app_id,
                    %error,
                    "plugin.storage_not_counted"
                );
            }
        }
    }

    fn account(&self, plugin: &Arc<str>, app_id: &Arc<str>) -> Arc<Account> {
        let accounts = self.accounts.read();
        let known = accounts.get(app_id).and_then(|of_app| of_app.get(plugin));
        if let Some(account) = known {
            return Arc::clone(account);
        }
        drop(accounts);
        let mut accounts = self.accounts.write();
        if accounts.values().map(HashMap::len).sum::<usize>() >= MAX_ACCOUNTS {
            accounts.clear();
        }
        let of_app = accounts.entry(Arc::clone(app_id)).or_default();
        let account = of_app.entry(Arc::clone(plugin)).or_insert_with(|| {
            Arc::new(Account {
                plugin: Arc::clone(plugin),
                app_id: Arc::clone(app_id),
                used: AtomicU64::new(0),
                limit: AtomicU64::new(0),
                is_written: AtomicBool::new(false),
                is_counted: AtomicBool::new(false),
                last: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(account)
    }

    /// Counts an account, unless that was done a moment ago.
    async fn count(&self, account: &Account) -> Result<(), LifeError> {
        let mut last = account.last.lock().await;
        if let Some(last) = &*last {
            let spacing = COUNT_SPACING.min(self.recount);
            let spacing = spacing.max(last.took * COUNT_SHARE);
            if last.at.elapsed() < spacing {
                return Ok(());
            }
        }
        let limit = self.meter.limit(&account.plugin);
        account.is_written.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        let (plugin, app_id) = (Arc::clone(&account.plugin), Arc::clone(&account.app_id));
        let counted = match self.meter.measure(plugin, app_id).await {
            Ok(counted) => counted,
            Err(error) => {
                account.is_written.store(true, Ordering::Relaxed);
                return Err(error);
            }
        };
        // What was written meanwhile may be in the count or not. It is left out until the next one, which comes
        // as it was written: counted twice, it would refuse what has room.
        account.used.store(counted, Ordering::Relaxed);
        account.limit.store(limit, Ordering::Relaxed);
        account.is_counted.store(true, Ordering::Release);
        *last = Some(LastCount {
            at: Instant::now(),
            took: begun.elapsed(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
