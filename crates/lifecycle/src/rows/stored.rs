//! What a row says of a plugin whose files are rows too: whose it is, and which revision serves.

use std::collections::BTreeSet;

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::Rows;
use crate::error::LifeError;

/// A stored plugin's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its app: to others it is not there.
    pub app_id: String,
    /// The revision that serves; none where it was never activated.
    pub digest: Option<String>,
}

impl Stored {
    /// Of the apps in which it is to be on, its own.
    pub(super) fn only_its_own(&self, only: Option<BTreeSet<String>>) -> BTreeSet<String> {
        let own = BTreeSet::from([self.app_id.clone()]);
        only.map_or_else(|| own.clone(), |only| &only & &own)
    }
}

/// The source of a row, where that is the database.
///
/// # Errors
/// Which field makes no sense.
pub(super) fn read(row: &Document) -> Result<Option<Stored>, &'static str> {
    let kind = row
        .get_document("source")
        .and_then(|source| source.get_str("kind"));
    if kind.ok() != Some("database") {
        return Ok(None);
    }
    let app_id = row
        .get_str("owner_app")
        .map_err(|_| "`owner_app` is no text")?;
    let digest = match row.get("artifact") {
        None | Some(Bson::Null) => None,
        Some(Bson::Document(artifact)) => match artifact.get_str("digest") {
            Ok(digest) if is_digest(digest) => Some(digest.to_owned()),
            _ => return Err("`artifact.digest` is no digest"),
        },
        Some(_) => return Err("`artifact` is no document"),
    };
    Ok(Some(Stored {
        app_id: app_id.to_owned(),
        digest,
    }))
}

/// A digest is a part of a path.
fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Rows {
    /// From now on this revision of a stored plugin serves, on every gateway; `enabled` where it is
    /// switched on with that. `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_artifact(
        &self,
        name: &str,
        digest: &str,
        enabled: bool,
        by: Option<&str>,
    ) -> Result<bool, LifeError> {
        let artifact = doc! { "digest": digest, "at": DateTime::now(), "by": by };
        let mut set = doc! { "artifact": artifact, "updated_at": DateTime::now() };
        if enabled {
            set.insert("enabled", true);
            // An admin has seen what authors have saved.
            set.insert("waiting", false);
            set.insert("enabled_apps", Bson::Null);
            set.insert("disabled_apps", Vec::<Bson>::new());
            set.insert("removed_at", Bson::Null);
        }
        self.update(name, doc! { "$set": set }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_makes_no_sense_is_named() {
        let digest = "0a".repeat(32);
        let good = doc! {
            "source": { "kind": "database" }, "owner_app": "a", "artifact": { "digest": &digest },
        };
        let stored = read(&good).unwrap().unwrap();
        assert_eq!((&*stored.app_id, stored.digest), ("a", Some(digest)));
        assert_eq!(read(&doc! { "source": { "kind": "directory" } }), Ok(None));
        assert_eq!(read(&doc! {}), Ok(None));
        for (field, value) in [
            ("owner_app", Bson::Null),
            ("artifact", Bson::from("x")),
            ("artifact", Bson::from(doc! { "digest": "../../etc" })),
            ("artifact", Bson::from(doc! { "digest": "0A".repeat(32) })),
        ] {
            let mut bad = good.clone();
            bad.insert(field, value);
            assert!(read(&bad).unwrap_err().contains(field), "{bad}");
        }
    }

    #[test]
    fn what_an_app_stores_is_on_in_no_other() {
        let stored = Stored {
            app_id: "a".into(),
            digest: None,
        };
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(stored.only_its_own(None), set(&["a"]));
        assert_eq!(stored.only_its_own(Some(set(&["a", "b"]))), set(&["a"]));
        assert_eq!(stored.only_its_own(Some(set(&["b"]))), set(&[]));
    }
}
