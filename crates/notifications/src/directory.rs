//! Who uses the app: remembered from verified tokens, so that a broadcast knows whom to reach.
//!
//! Calls only put a user into a bounded set; a task writes to the database behind them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use foldhash::quality::{FixedState, RandomState};
use tokio::sync::mpsc;

use super::{
    preferences::Contact,
    repository::{Repository, Seen},
};
use mozaiks_auth::Principal;

/// Users remembered as already written.
const KNOWN_USERS: usize = 64 * 1024;
/// Users waiting to be written.
const QUEUE: usize = 4096;
/// A user is written again after this long.
const REFRESH: Duration = Duration::from_secs(6 * 3600);

/// The users that have been seen.
pub struct UserDirectory {
    // By app and user: when it was handed to the writer, and a mark of what was handed over.
    known: DashMap<(Arc<str>, Arc<str>), (Instant, u64), RandomState>,
    queue: mpsc::Sender<Seen>,
    dropped: AtomicU64,
}

impl UserDirectory {
    /// Starts the writer. Must be called within a tokio runtime.
    pub(super) fn start(repository: Arc<Repository>) -> Arc<Self> {
        let (queue, mut waiting) = mpsc::channel::<Seen>(QUEUE);
        let directory = Arc::new(Self {
            known: DashMap::default(),
            queue,
            dropped: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&directory);
        tokio::spawn(async move {
            while let Some(seen) = waiting.recv().await {
                if let Err(error) = repository.remember_user(&seen).await {
                    tracing::debug!(error = %error, "a user could not be remembered");
                    // Forgotten here, it is written when it is seen next.
                    if let Some(directory) = weak.upgrade() {
                        directory
                            .known
                            .remove(&(seen.app_id.into(), seen.user_id.into()));
                    }
                }
            }
        });
        directory
    }

    /// Notes that a user exists. Never waits; cheap for one already known.
    pub fn note(&self, principal: &Principal) {
        let key = (principal.app_id.clone(), principal.user_id.clone());
        let mark = mark_of(principal);
        if let Some(known) = self.known.get(&key)
            && known.1 == mark
            && known.0.elapsed() < REFRESH
        {
            return;
        }
        if self.known.len() >= KNOWN_USERS {
            self.known.clear();
        }
        // Of what the issuer has verified, only what can be sent to.
        let verified = |contact: Contact, address: &Option<Arc<str>>| {
            let address = address.as_deref();
            address
                .filter(|address| contact.is_valid(address))
                .map(str::to_owned)
        };
        let seen = Seen {
            app_id: principal.app_id.to_string(),
            user_id: principal.user_id.to_string(),
            roles: principal.roles.iter().map(ToString::to_string).collect(),
            email: verified(Contact::Email, &principal.verified.email),
            phone: verified(Contact::Phone, &principal.verified.phone),
        };
        if self.queue.try_send(seen).is_ok() {
            self.known.insert(key, (Instant::now(), mark));
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Users not written because too many were waiting; they are when seen next.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Equal for principals of equal roles and addresses; only compared within one process.
fn mark_of(principal: &Principal) -> u64 {
    use std::hash::BuildHasher;
    FixedState::with_seed(0).hash_one((&principal.roles, &principal.verified))
}
