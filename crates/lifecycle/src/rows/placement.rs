//! What a row says of where a plugin runs, what it may use, and whether its workers have died too often.

use mongodb::bson::{self, Bson, DateTime, Document, doc};
use mozaiks_plugins::{limits::ResourceLimits, manifest::Isolation, placement::OperatorWord};
use serde_json::{Map, Value};

use super::Rows;
use crate::error::LifeError;

/// The operator's word in a row.
///
/// # Errors
/// Which field makes no sense.
pub(super) fn word(row: &Document) -> Result<OperatorWord, &'static str> {
    let isolation = match row.get("isolation") {
        None | Some(Bson::Null) => None,
        Some(Bson::String(text)) => Some(isolation(text).ok_or("`isolation` is no mode")?),
        Some(_) => return Err("`isolation` is no text"),
    };
    let limits = match row.get("limits") {
        None | Some(Bson::Null) => ResourceLimits::default(),
        Some(Bson::Document(said)) => {
            let wrong = "`limits` holds what is no limit";
            let said: Map<String, Value> =
                bson::deserialize_from_document(said.clone()).map_err(|_| wrong)?;
            let (limits, _) = ResourceLimits::parse(&said).map_err(|_| wrong)?;
            limits
        }
        Some(_) => return Err("`limits` is no object"),
    };
    Ok(OperatorWord { isolation, limits })
}

/// Why a plugin may not run, where its workers have died too often.
pub(super) fn quarantine(row: &Document) -> Result<Option<String>, &'static str> {
    match row.get("quarantine") {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::Document(said)) => {
            let reason = said.get_str("reason").unwrap_or("no reason was written");
            Ok(Some(reason.to_owned()))
        }
        Some(_) => Err("`quarantine` is no object"),
    }
}

fn isolation(text: &str) -> Option<Isolation> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

impl Rows {
    /// Says where a plugin runs and what it may use: what is `None` stays, what is null is taken back;
    /// `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_placement(
        &self,
        name: &str,
        isolation: Option<Option<Isolation>>,
        limits: Option<Option<&Map<String, Value>>>,
    ) -> Result<bool, LifeError> {
        let mut set = doc! { "updated_at": DateTime::now() };
        if let Some(isolation) = isolation {
            let text = isolation.and_then(|mode| serde_json::to_value(mode).ok());
            let text = text.as_ref().and_then(Value::as_str).map(str::to_owned);
            set.insert("isolation", text.map_or(Bson::Null, Bson::String));
        }
        if let Some(limits) = limits {
            // Checked before: numbers and texts.
            let limits = limits.map(|limits| bson::serialize_to_bson(limits).unwrap_or(Bson::Null));
            set.insert("limits", limits.unwrap_or(Bson::Null));
        }
        self.update(name, doc! { "$set": set }).await
    }

    /// Says that a plugin may not run, and why; or that it may again. `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_quarantine(
        &self,
        name: &str,
        why: Option<(&str, usize)>,
    ) -> Result<bool, LifeError> {
        let quarantine = match why {
            None => Bson::Null,
            Some((reason, crashes)) => {
                let crashes = i64::try_from(crashes).unwrap_or(i64::MAX);
                doc! { "at": DateTime::now(), "reason": reason, "crashes": crashes }.into()
            }
        };
        let set = doc! { "quarantine": quarantine, "updated_at": DateTime::now() };
        self.update(name, doc! { "$set": set }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_makes_no_sense_is_named() {
        let good = doc! { "isolation": "container", "limits": { "memory": "1GB", "cpu": 20 } };
        let said = word(&good).unwrap();
        assert_eq!(said.isolation, Some(Isolation::Dedicated));
        assert_eq!(said.limits.memory, Some(1_000_000_000));
        assert_eq!(said.limits.cpu, Some(20.0));
        for (bad, named) in [
            (doc! { "isolation": "somewhere" }, "isolation"),
            (doc! { "isolation": 1 }, "isolation"),
            (doc! { "limits": { "memory": "lots" } }, "limits"),
            (doc! { "limits": [] }, "limits"),
        ] {
            assert!(word(&bad).unwrap_err().contains(named), "{bad}");
        }
        assert!(quarantine(&doc! { "quarantine": true }).is_err());
        let reason = quarantine(&doc! { "quarantine": { "reason": "signal 11" } });
        assert_eq!(reason.unwrap().as_deref(), Some("signal 11"));
    }
}
