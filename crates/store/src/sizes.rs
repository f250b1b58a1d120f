//! How much collections hold.

use mongodb::bson::{Bson, Document, doc};

use super::{Store, StoreError};

impl Store {
    /// Bytes of the documents in those collections of an app whose names begin with a text that stands for
    /// itself in a pattern, and that are meant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn collections_bytes(
        &self,
        app_id: &str,
        beginning: &str,
        others: &[String],
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<u64, StoreError> {
        let database = self.database(app_id)?;
        let named = doc! {
            "$or": [
                { "name": { "$regex": format!("^{beginning}") } },
                { "name": { "$in": others.to_vec() } },
            ],
            "type": { "$in": ["collection", "timeseries"] },
        };
        let names = database.list_collection_names().filter(named).await;
        let names = names.map_err(|error| self.failed(error))?;
        let mut bytes = 0_u64;
        for name in names.iter().filter(|name| is_meant(name)) {
            let stats = database.run_command(doc! { "collStats": name }).await;
            bytes += size_of(&stats.map_err(|error| self.failed(error))?);
        }
        Ok(bytes)
    }
}

fn size_of(stats: &Document) -> u64 {
    let size = match stats.get("size") {
        Some(Bson::Int32(size)) => i64::from(*size),
        Some(Bson::Int64(size)) => *size,
        Some(Bson::Double(size)) => *size as i64,
        _ => 0,
    };
    u64::try_from(size).unwrap_or(0)
}
