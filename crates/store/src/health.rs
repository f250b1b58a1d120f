//! Watches the server: what `/ready` follows, and what creates indexes once it answers.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use mongodb::bson::doc;
use tokio::sync::Notify;

use super::{Store, StoreError, StoreErrorKind, indexes, migrate, reach};

/// Least time between two looks while commands fail.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// How the database is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nothing is known yet.
    Starting,
    /// It answers, and what was declared exists.
    Up,
    /// It does not answer; the sentence is for operators.
    Down(String),
}

impl Health {
    /// Whether the database can be used.
    pub fn is_up(&self) -> bool {
        *self == Self::Up
    }
}

/// Looks at the server until the store is dropped.
pub(super) async fn watch(store: Weak<Store>) {
    let mut indexes_exist = false;
    loop {
        let Some(strong) = store.upgrade() else {
            return;
        };
        let mut outcome = look(&strong, &mut indexes_exist).await;
        if matches!(outcome, Err(Look::TookTooLong)) && strong.health().is_up() {
            // A busy moment is no outage.
            outcome = look(&strong, &mut indexes_exist).await;
        }
        strong.cursors.close_idle();
        strong.sessions.end_idle();
        let pause = match outcome {
            Ok(()) => {
                set(&strong, Health::Up);
                strong.config.ping_every
            }
            Err(error) => {
                // After an outage it may be another, empty server.
                indexes_exist = false;
                let reason = match error {
                    Look::Failed(error) => error,
                    Look::TookTooLong => no_answer(strong.config.ping_timeout),
                };
                set(&strong, Health::Down(why(&strong, &reason).await));
                strong.config.ping_every_while_down
            }
        };
        let doubt = Arc::clone(&strong.doubt);
        let is_up = strong.health().is_up();
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // While it is known to be down, commands that fail say nothing new.
            () = soon(&doubt), if is_up => {}
        }
    }
}

/// Why it does not answer: what a server has said, else what its addresses say.
async fn why(store: &Store, error: &StoreError) -> String {
    if error.kind != StoreErrorKind::Unavailable || error.code.is_some() {
        return error.to_string();
    }
    match store.health() {
        // Asked once an outage.
        Health::Down(known) => known,
        Health::Starting | Health::Up => {
            let servers = store.servers.get().map_or(&[][..], Vec::as_slice);
            reach::explain(servers, &error.message).await
        }
    }
}

/// Waits until a command has failed; not more often than now and then.
async fn soon(doubt: &Notify) {
    tokio::time::sleep(LEAST_PAUSE).await;
    doubt.notified().await;
}

/// How a look at the server went wrong.
enum Look {
    Failed(StoreError),
    TookTooLong,
}

impl<E: Into<StoreError>> From<E> for Look {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn look(store: &Store, indexes_exist: &mut bool) -> Result<(), Look> {
    store.create_client().await?;
    // Not through `own_database`, which says no until this says yes.
    let database = store.client()?.database(&store.database);
    let hello = within(store, database.run_command(doc! { "hello": 1 })).await?;
    let numbers_writes =
        hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    store.replicated.store(numbers_writes, Ordering::Release);
    store
        .numbered
        .allow(numbers_writes && hello.contains_key("logicalSessionTimeoutMinutes"));
    if !*indexes_exist {
        // In this order: what is moved must not meet what a second gateway has written meanwhile
        // without the indexes that tell the two apart.
        let control = store.client()?.database(&store.control);
        indexes::create(&control, &store.declared).await?;
        migrate::run(&database, &control, &store.config.moved).await?;
        *indexes_exist = true;
    }
    Ok(())
}

async fn within<T>(
    store: &Store,
    action: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, Look> {
    match tokio::time::timeout(store.config.ping_timeout, action.into_future()).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Look::TookTooLong),
    }
}

pub(super) fn no_answer(limit: Duration) -> StoreError {
    StoreError::new(
        super::StoreErrorKind::Unavailable,
        format!(
            "the database did not answer within {} s",
            limit.as_secs_f64()
        ),
    )
}

fn set(store: &Store, health: Health) {
    store.health.send_if_modified(|current| {
        if *current == health {
            return false;
        }
        match (&*current, &health) {
            (Health::Down(_), Health::Down(_)) => {}
            (_, Health::Down(reason)) => {
                tracing::warn!(error = %reason, "the database does not answer");
            }
            (_, Health::Up) => tracing::info!(database = %store.database, "the database answers"),
            (_, Health::Starting) => {}
        }
        *current = health;
        true
    });
}
