//! Holding a command against what may be said, without sending it.

use mongodb::bson::{Document, RawDocumentBuf};

use super::{Store, StoreError, access::DatabaseAccess, policy, query::malformed};

impl Store {
    /// Whether [`Store::run_command`] would send a command of somebody of this access, in an app.
    ///
    /// # Errors
    /// As there, without what the server says.
    pub fn check_command(
        &self,
        app_id: &str,
        access: &dyn DatabaseAccess,
        command: &Document,
    ) -> Result<(), StoreError> {
        let raw = RawDocumentBuf::try_from(command).map_err(malformed)?;
        policy::check(&raw, &self.database_name(app_id)?, access).map(drop)
    }
}
