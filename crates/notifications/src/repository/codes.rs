//! Codes that confirm addresses, and how many were asked for.

use std::time::Duration;

use bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype};
use mongodb::options::ReturnDocument;

use super::{CODES, PREFERENCES, Repository, people::key};
use crate::{model::NotificationError, preferences::Contact};
use mozaiks_store::StoreErrorKind;

const HOUR_MS: i64 = 3_600_000;
/// How often a code is counted while others count theirs.
const MAX_ROUNDS: usize = 8;

/// How long a counter is kept beside its hour.
pub(super) const COUNTER_KEPT: Duration = Duration::from_secs(3600);

/// A code that was sent and not yet given back.
#[derive(Debug, Clone)]
pub(crate) struct PendingCode {
    pub(crate) address: String,
    pub(crate) salt: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) expires_at: DateTime,
}

fn field(contact: Contact, name: &str) -> String {
    format!("contacts.{}.{name}", contact.as_str())
}

fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    })
}

impl Repository {
    /// Counts a code for somebody; how many there have been in the hour that the first of them began.
    /// In the database, so that two gateways do not allow twice as many.
    pub(crate) async fn count_code(&self, who: &str) -> Result<i32, NotificationError> {
        let collection = self.collection(CODES)?;
        for _ in 0..MAX_ROUNDS {
            let now = DateTime::now();
            let ends_at = DateTime::from_millis(now.timestamp_millis() + HOUR_MS);
            let running = doc! { "_id": who, "ends_at": { "$gt": now } };
            let counting = collection
                .find_one_and_update(running, doc! { "$inc": { "count": 1 } })
                .return_document(ReturnDocument::After);
            if let Some(counted) = self.ask(counting).await? {
                return Ok(counted.get_i32("count").unwrap_or(i32::MAX));
            }
            let over = doc! { "_id": who, "ends_at": { "$lte": now } };
            let anew = doc! { "$set": { "count": 1, "ends_at": ends_at } };
            let renewed = self.ask(collection.update_one(over, anew)).await?;
            if renewed.matched_count == 1 {
                return Ok(1);
            }
            let first = doc! { "_id": who, "count": 1, "ends_at": ends_at };
            match self.ask(collection.insert_one(first)).await {
                Ok(_) => return Ok(1),
                // Somebody else has begun the hour.
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(i32::MAX)
    }

    /// Keeps a code in the place of an earlier one.
    pub(crate) async fn put_code(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
        code: &PendingCode,
    ) -> Result<(), NotificationError> {
        let pending = doc! {
            "address": &code.address,
            "salt": binary(&code.salt),
            "hash": binary(&code.hash),
            "expires_at": code.expires_at,
            "attempts": 0,
        };
        let change = doc! { "$set": { field(contact, "pending"): pending } };
        let collection = self.collection(PREFERENCES)?;
        self.ask(collection.update_one(key(app_id, user_id), change))
            .await?;
        Ok(())
    }

    /// The code that a guess is at, where one may still be made; the guess is counted.
    pub(crate) async fn try_code(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
        attempts: i32,
    ) -> Result<Option<PendingCode>, NotificationError> {
        let mut open = key(app_id, user_id);
        open.insert(field(contact, "pending.attempts"), doc! { "$lt": attempts });
        open.insert(
            field(contact, "pending.expires_at"),
            doc! { "$gt": DateTime::now() },
        );
        let count = doc! { "$inc": { field(contact, "pending.attempts"): 1 } };
        let collection = self.collection(PREFERENCES)?;
        let found = self
            .ask(collection.find_one_and_update(open, count))
            .await?;
        Ok(found.as_ref().and_then(|found| read(found, contact)))
    }

    /// Confirms the address of a code, unless it has been replaced or used meanwhile; whether it was.
    pub(crate) async fn confirm_address(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
        code: &PendingCode,
    ) -> Result<bool, NotificationError> {
        let mut same = key(app_id, user_id);
        same.insert(field(contact, "pending.hash"), binary(&code.hash));
        let mut set = Document::new();
        set.insert(field(contact, "confirmed"), &code.address);
        set.insert(field(contact, "confirmed_at"), DateTime::now());
        let change = doc! { "$set": set, "$unset": { field(contact, "pending"): "" } };
        let collection = self.collection(PREFERENCES)?;
        let result = self.ask(collection.update_one(same, change)).await?;
        Ok(result.matched_count == 1)
    }
}

fn read(found: &Document, contact: Contact) -> Option<PendingCode> {
    let contacts = found.get_document("contacts").ok()?;
    let contact = contacts.get_document(contact.as_str()).ok()?;
    let pending = contact.get_document("pending").ok()?;
    Some(PendingCode {
        address: pending.get_str("address").ok()?.to_owned(),
        salt: pending.get_binary_generic("salt").ok()?.clone(),
        hash: pending.get_binary_generic("hash").ok()?.clone(),
        expires_at: *pending.get_datetime("expires_at").ok()?,
    })
}
