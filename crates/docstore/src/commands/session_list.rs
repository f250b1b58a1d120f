//! The sessions that clients used of late, for `$listLocalSessions`.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype};
use parking_lot::Mutex;

use crate::{bail, error::Result};

/// Sessions end when they were not used for so long.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Sessions that are remembered at a time.
const MAX_SESSIONS: usize = 100_000;

/// Sessions by the bytes of their id.
#[derive(Debug, Default)]
pub struct SessionList {
    used: Mutex<HashMap<Vec<u8>, (Instant, DateTime)>>,
}

impl SessionList {
    /// Notes that a session is used now.
    pub fn touch(&self, id: &[u8]) -> Result<()> {
        let now = (Instant::now(), DateTime::now());
        let mut used = self.used.lock();
        if let Some(last) = used.get_mut(id) {
            *last = now;
            return Ok(());
        }
        if used.len() >= MAX_SESSIONS {
            used.retain(|_, (last, _)| last.elapsed() < LIFETIME);
            if used.len() >= MAX_SESSIONS {
                bail!(
                    TooManyLogicalSessions,
                    "Unable to add session into the cache: there are {MAX_SESSIONS}"
                );
            }
        }
        used.insert(id.to_vec(), now);
        Ok(())
    }

    /// Forgets a session.
    pub fn end(&self, id: &[u8]) {
        self.used.lock().remove(id);
    }

    /// What is told of each; `user` is the only user there is, if there is one.
    pub fn describe(&self, user: Option<&str>) -> Vec<Document> {
        let name = user.map_or_else(String::new, |user| format!("{user}@admin"));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
        let binary = |subtype, bytes: &[u8]| {
            Bson::Binary(Binary {
                subtype,
                bytes: bytes.to_vec(),
            })
        };
        let mut used = self.used.lock();
        used.retain(|_, (last, _)| last.elapsed() < LIFETIME);
        used.iter()
            .map(|(id, (_, last_use))| {
                doc! {
                    "_id": {
                        "id": binary(BinarySubtype::Uuid, id),
                        "uid": binary(BinarySubtype::Generic, digest.as_ref()),
                    },
                    "lastUse": *last_use,
                }
            })
            .collect()
    }
}
