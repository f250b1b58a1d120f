//! Changes of what the database says of plugins, as they happen: a change stream over the rows and the
//! configurations. It only says that there is something to read.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mongodb::{
    bson::{Document, doc},
    change_stream::{ChangeStream, event::ResumeToken},
};
use mozaiks_store::Store;

use crate::{configs, error::LifeError, rows};

/// `ChangeStreamHistoryLost`: what came after the token is not kept any more.
const HISTORY_LOST: i32 = 286;
/// How long the server may wait before it answers that nothing has happened.
const AWAIT: Duration = Duration::from_secs(1);

/// Follows changes; goes on where it was after an outage.
pub struct Changes {
    store: Arc<Store>,
    token: Option<ResumeToken>,
}

/// An open stream of changes.
pub struct OpenChanges(ChangeStream<Document>);

impl Changes {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, token: None }
    }

    /// Opens the stream, after the last change that was seen where the server still knows it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(&mut self) -> Result<OpenChanges, LifeError> {
        let database = self.store.own_database()?;
        let watched = [rows::COLLECTION.name, configs::COLLECTION.name];
        let pipeline = vec![doc! { "$match": {
            "ns.coll": { "$in": watched.to_vec() },
            // What gateways report of a load decides nothing.
            "updateDescription.updatedFields.loaded_at": { "$exists": false },
        } }];
        let mut watch = database.watch().pipeline(pipeline).max_await_time(AWAIT);
        if let Some(token) = &self.token {
            watch = watch.resume_after(token.clone());
        }
        match watch.await {
            // Its own documents are of no use here: whoever is told reads what there is.
            Ok(stream) => Ok(OpenChanges(stream.with_type())),
            Err(error) => {
                let error = self.store.failed(error);
                if error.code == Some(HISTORY_LOST) {
                    self.token = None;
                }
                Err(error.into())
            }
        }
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// What the database says; the stream is to be opened again.
    pub async fn next(&mut self, open: &mut OpenChanges) -> Result<(), LifeError> {
        let next = open.0.next().await;
        self.token = open.0.resume_token().or(self.token.take());
        match next {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.store.failed(error).into()),
            // The database was dropped: there is nothing after that to go on with.
            None => {
                self.token = None;
                Err(LifeError::invalid("the stream of changes has ended"))
            }
        }
    }
}
