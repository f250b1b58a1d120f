//! Which widgets a page places where: one document a page of an app.

use std::sync::Arc;

use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::LifeError;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "slot_configurations",
    indexes: &[IndexSpec {
        name: "app_page",
        keys: &[("app_id", 1), ("page", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

/// Slots of one page.
const MAX_SLOTS: usize = 100;
/// Bytes of a page's or a slot's name.
const MAX_NAME_BYTES: usize = 128;
/// Bytes of one slot's configuration.
const MAX_CONFIG_BYTES: usize = 16 * 1024;
/// Columns and rows.
const MOST: u32 = 1000;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A widget of a plugin.
    PluginWidget,
}

/// Where on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotPosition {
    /// The column.
    #[schemars(range(max = 1000))]
    pub col: u32,
    /// The row.
    #[schemars(range(max = 1000))]
    pub row: u32,
}

/// One slot of a page.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Its name, of which a page has one each.
    pub id: String,
    /// What it holds.
    pub r#type: SlotKind,
    /// Which widget.
    #[serde(rename = "widgetId")]
    pub widget_id: String,
    /// Where.
    pub position: SlotPosition,
    /// Over the widget's `default_config`.
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// Reads and writes them.
pub struct Slots {
    store: Arc<Store>,
}

impl Slots {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store })
    }

    /// The slots of a page of an app; none where nobody has placed any.
    ///
    /// # Errors
    /// What the database says.
    pub async fn get(&self, app_id: &str, page: &str) -> Result<Vec<Slot>, LifeError> {
        let found = self
            .collection()?
            .find_one(doc! { "app_id": app_id, "page": page })
            .await
            .map_err(|error| self.store.failed(error))?;
        let text = found.as_ref().and_then(|found| found.get_str("slots").ok());
        let slots = text.and_then(|text| serde_json::from_str(text).ok());
        Ok(slots.unwrap_or_default())
    }

    /// Places these on a page, and no others.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` naming what is wrong, and what the database says.
    pub async fn put(
        &self,
        app_id: &str,
        page: &str,
        slots: &[Slot],
        by: &str,
    ) -> Result<(), LifeError> {
        check(page, slots)?;
        // As text: a configuration's keys may be any, and a document's not.
        let text = serde_json::to_string(slots)
            .map_err(|error| LifeError::invalid_at("slots", error.to_string()))?;
        let filter = doc! { "app_id": app_id, "page": page };
        let update = doc! { "$set": {
            "slots": text,
            "updated_by": by,
            "updated_at": DateTime::now(),
        } };
        self.collection()?
            .update_one(filter, update)
            .upsert(true)
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

/// Whether a text names a page or a slot.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

fn check(page: &str, slots: &[Slot]) -> Result<(), LifeError> {
    let wanted = "1 to 128 letters, digits, '_', '-', '.' and ':' are wanted";
    if !is_name(page) {
        return Err(LifeError::invalid_at("page", format!("page: {wanted}")));
    }
    if slots.len() > MAX_SLOTS {
        let reason = format!("a page has at most {MAX_SLOTS} slots");
        return Err(LifeError::invalid_at("slots", reason));
    }
    for (at, slot) in slots.iter().enumerate() {
        let wrong = |key: &str, reason: String| {
            Err(LifeError::invalid_at(&format!("slots/{at}/{key}"), reason))
        };
        if !is_name(&slot.id) {
            return wrong("id", format!("id: {wanted}"));
        }
        if slots[..at].iter().any(|other| other.id == slot.id) {
            return wrong("id", format!("the slot {:?} is there twice", slot.id));
        }
        if slot.position.col > MOST || slot.position.row > MOST {
            return wrong("position", format!("columns and rows are at most {MOST}"));
        }
        let bytes = serde_json::to_string(&slot.config).map_or(0, |text| text.len());
        if bytes > MAX_CONFIG_BYTES {
            return wrong(
                "config",
                format!("it has more than {MAX_CONFIG_BYTES} bytes"),
            );
        }
    }
    Ok(())
}
