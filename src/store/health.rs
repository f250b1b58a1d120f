//! Watches the server: what `/ready` follows, and what creates indexes once it answers.

use std::{sync::Weak, time::Duration};

use mongodb::bson::doc;

use super::{Store, StoreError, indexes};

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
        let outcome = look(&strong, &mut indexes_exist).await;
        strong.cursors.close_idle();
        let pause = match outcome {
            Ok(()) => {
                set(&strong, Health::Up);
                strong.config.ping_every
            }
            Err(error) => {
                // After an outage it may be another, empty server.
                indexes_exist = false;
                set(&strong, Health::Down(error.to_string()));
                strong.config.ping_every_while_down
            }
        };
        drop(strong);
        tokio::time::sleep(pause).await;
    }
}

async fn look(store: &Store, indexes_exist: &mut bool) -> Result<(), StoreError> {
    store.create_client().await?;
    // Not through `own_database`, which says no until this says yes.
    let database = store.client()?.database(&store.database);
    let hello = within(store, database.run_command(doc! { "hello": 1 })).await?;
    let numbers_writes =
        hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    store
        .numbered
        .allow(numbers_writes && hello.contains_key("logicalSessionTimeoutMinutes"));
    if !*indexes_exist {
        indexes::create(&database, &store.declared).await?;
        *indexes_exist = true;
    }
    Ok(())
}

/// A look never takes longer than finding a server and connecting to it may.
async fn within<T>(
    store: &Store,
    action: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, StoreError> {
    let limit = store.config.server_selection_timeout + store.config.connect_timeout;
    match tokio::time::timeout(limit, action.into_future()).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(no_answer(limit)),
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
