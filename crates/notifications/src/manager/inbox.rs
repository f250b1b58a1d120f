//! A user's list of notifications: pages of it, read and unread, deleted.

use bson::{DateTime, oid::ObjectId};

use super::{MAX_PAGE, NotificationsManager};
use crate::{
    model::{Notification, NotificationError},
    repository::Cursor,
};

/// Which notifications to list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Only unread ones.
    pub unread_only: bool,
    /// How many; 0 stands for the default of 20.
    pub limit: u64,
    /// How many of the newest to pass over.
    pub offset: u64,
    /// Where the last page ended: stays right while new ones arrive.
    pub cursor: Option<String>,
}

/// A page of notifications.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// How many are unread altogether.
    pub unread_count: u64,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<String>,
}

impl NotificationsManager {
    /// A page of a user's notifications.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for a cursor that is none.
    pub async fn list(
        &self,
        app_id: &str,
        user_id: &str,
        request: &PageRequest,
    ) -> Result<Page, NotificationError> {
        if i64::try_from(request.offset).is_err() {
            return Err(NotificationError::invalid(
                "offset",
                "is larger than any list",
            ));
        }
        let limit = match request.limit {
            0 => 20,
            limit => limit.min(MAX_PAGE),
        };
        let after = request.cursor.as_deref().map(parse_cursor).transpose()?;
        let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut notifications = self
            .repository
            .list(
                app_id,
                user_id,
                request.unread_only,
                after,
                wanted,
                request.offset,
            )
            .await?;
        let has_more = notifications.len() as u64 > limit;
        notifications.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = notifications.last().filter(|_| has_more).map(|last| {
            format!(
                "{}-{}",
                last.created_at.timestamp_millis(),
                last.id.to_hex()
            )
        });
        let unread_count = self.unread_count(app_id, user_id).await?;
        Ok(Page {
            notifications,
            unread_count,
            next_cursor,
        })
    }

    /// How many of a user's notifications are unread.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unread_count(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<u64, NotificationError> {
        self.repository.count_unread(app_id, user_id).await
    }

    /// Marks one as read or unread.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where the user has none of that id.
    pub async fn mark(
        &self,
        app_id: &str,
        user_id: &str,
        id: &str,
        read: bool,
    ) -> Result<(), NotificationError> {
        let id = parse_id(id)?;
        if self.repository.mark(app_id, user_id, id, read).await? {
            Ok(())
        } else {
            Err(NotificationError::NotFound("notification"))
        }
    }

    /// Marks all as read; how many were not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn mark_all(&self, app_id: &str, user_id: &str) -> Result<u64, NotificationError> {
        self.repository.mark_all(app_id, user_id).await
    }

    /// Deletes one.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where the user has none of that id.
    pub async fn delete(
        &self,
        app_id: &str,
        user_id: &str,
        id: &str,
    ) -> Result<(), NotificationError> {
        let id = parse_id(id)?;
        if self.repository.delete(app_id, user_id, id).await? {
            Ok(())
        } else {
            Err(NotificationError::NotFound("notification"))
        }
    }
}

fn parse_id(text: &str) -> Result<ObjectId, NotificationError> {
    // An id that none can have belongs to no notification.
    ObjectId::parse_str(text).map_err(|_| NotificationError::NotFound("notification"))
}

fn parse_cursor(text: &str) -> Result<Cursor, NotificationError> {
    text.split_once('-')
        .and_then(|(millis, id)| {
            Some(Cursor {
                created_at: DateTime::from_millis(millis.parse().ok()?),
                id: ObjectId::parse_str(id).ok()?,
            })
        })
        .ok_or_else(|| NotificationError::invalid("cursor", "is not one that a page has given"))
}
