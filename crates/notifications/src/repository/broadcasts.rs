//! The records of broadcasts.

use bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::{BROADCASTS, Repository};
use crate::model::NotificationError;

impl Repository {
    /// Stores the record of a broadcast.
    pub(crate) async fn add_broadcast(&self, record: Document) -> Result<(), NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        self.ask(collection.insert_one(record)).await?;
        Ok(())
    }

    /// Changes the record of a broadcast; `None` where there is none of that id.
    pub(crate) async fn update_broadcast(
        &self,
        app_id: &str,
        id: &str,
        change: Document,
    ) -> Result<Option<Document>, NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        let changing = collection
            .find_one_and_update(doc! { "_id": id, "app_id": app_id }, change)
            .return_document(ReturnDocument::After);
        Ok(self.ask(changing).await?)
    }

    /// The record of a broadcast.
    pub(crate) async fn find_broadcast(
        &self,
        app_id: &str,
        id: &str,
    ) -> Result<Option<Document>, NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        let filter = doc! { "_id": id, "app_id": app_id };
        Ok(self.ask(collection.find_one(filter)).await?)
    }

    /// The broadcasts of an app, newest first.
    pub(crate) async fn list_broadcasts(
        &self,
        app_id: &str,
        limit: i64,
    ) -> Result<Vec<Document>, NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        let found = collection
            .find(doc! { "app_id": app_id })
            .sort(doc! { "created_at": -1 })
            .limit(limit);
        Ok(self.ask_all(found).await?)
    }
}
