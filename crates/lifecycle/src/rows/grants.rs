//! What admins have granted to plugins, as it stands in their rows.

use mongodb::bson::{Bson, DateTime, Document, doc};

use mozaiks_plugins::permissions::{Declared, Permissions};

use super::Rows;
use crate::error::LifeError;

/// An admin's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// To what.
    pub permissions: Permissions,
    /// Whose.
    pub by: Option<String>,
    /// When.
    pub at: DateTime,
}

impl Rows {
    /// Writes down what an admin lets a plugin do; `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_granted(
        &self,
        name: &str,
        permissions: &Permissions,
        by: Option<&str>,
    ) -> Result<bool, LifeError> {
        let granted = mongodb::bson::serialize_to_bson(&permissions.to_value())
            .map_err(|error| LifeError::invalid(error.to_string()))?;
        let grant = doc! { "granted": granted, "by": by, "at": DateTime::now() };
        // As a value and not as an expression: what stands in it may begin with `$`.
        let update =
            doc! { "$set": { "permissions_granted": grant, "updated_at": DateTime::now() } };
        self.update(name, update).await
    }
}

/// A grant that makes no sense grants nothing, and neither does one with words that mean nothing here.
pub(super) fn read_grant(grant: &Document) -> Result<Grant, String> {
    let at = grant.get_datetime("at").copied();
    let written = grant.get("granted").cloned().unwrap_or(Bson::Null);
    let written = mongodb::bson::deserialize_from_bson(written)
        .map_err(|why| format!("`permissions_granted.granted`: {why}"))?;
    let declared =
        Declared::read(written).map_err(|why| format!("`permissions_granted.granted`: {why}"))?;
    if let Some(unknown) = declared.unknown.first() {
        return Err(format!(
            "`permissions_granted.granted`: {unknown} is no permission"
        ));
    }
    Ok(Grant {
        permissions: declared.permissions,
        by: grant.get_str("by").ok().map(str::to_owned),
        at: at.map_err(|_| "`permissions_granted.at` is no date".to_owned())?,
    })
}
