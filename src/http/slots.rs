//! `/api/slots/{page}`: which widgets a page places where.

use std::sync::Arc;

use axum::{Extension, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    arguments::PathId,
    error::ApiError,
    exchange::RequestContext,
    identify::{Admin, User},
    json_body::{Body, FromObject, read},
    state::{App, AppState},
    typed::Answer,
    widgets,
};
use mozaiks_lifecycle::{
    audit::Actor,
    slots::{Slot, is_name},
};

/// A slot, and whether there is something to show.
#[derive(Serialize, JsonSchema)]
pub(super) struct SlotView {
    #[serde(flatten)]
    slot: Slot,
    /// Whether its widget is there; one that is not renders nothing.
    available: bool,
}

/// The slots of a page.
#[derive(Serialize, JsonSchema)]
pub(super) struct PageSlots {
    page: String,
    slots: Vec<SlotView>,
    count: usize,
}

/// What is placed on a page, and nothing else.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSlots {
    #[schemars(length(max = 100))]
    slots: Vec<Slot>,
}

impl FromObject for NewSlots {
    fn from_object(object: Map<String, Value>) -> Result<Self, ApiError> {
        read(object, |reason| ApiError::invalid(&reason, "/slots"))
    }
}

fn shown(app: &App, app_id: &str, page: String, slots: Vec<Slot>) -> PageSlots {
    let slots: Vec<_> = slots
        .into_iter()
        .map(|slot| SlotView {
            available: widgets::find(app, app_id, &slot.widget_id).is_some(),
            slot,
        })
        .collect();
    PageSlots {
        page,
        count: slots.len(),
        slots,
    }
}

/// `GET /api/slots/{page}`.
pub(super) async fn get_slots(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    PathId(page): PathId<String>,
) -> Result<Answer<PageSlots>, ApiError> {
    if !is_name(&page) {
        return Err(ApiError::NotFound);
    }
    let slots = app.plugin_slots.get(&principal.app_id, &page).await?;
    Ok(Answer(shown(&app, &principal.app_id, page, slots)))
}

/// `PUT /api/slots/{page}` with `{slots}`.
pub(super) async fn put_slots(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(page): PathId<String>,
    Body(NewSlots { slots }): Body<NewSlots>,
) -> Result<Answer<PageSlots>, ApiError> {
    let app_id = &*principal.app_id;
    for (at, slot) in slots.iter().enumerate() {
        if widgets::find(&app, app_id, &slot.widget_id).is_none() {
            let shown: String = slot.widget_id.chars().take(128).collect();
            let reason = format!("there is no widget {shown:?}");
            return Err(ApiError::invalid(&reason, &format!("/slots/{at}/widgetId")));
        }
    }
    let before = app.plugin_slots.get(app_id, &page).await?;
    let by = &*principal.user_id;
    app.plugin_slots.put(app_id, &page, &slots, by).await?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    let side = |slots: &[Slot]| json!({ "page": &page, "slots": slots });
    let (before, after) = (side(&before), side(&slots));
    // Slots belong to no plugin.
    (app.plugin_audit)
        .write(&actor, "", "slots", Some(&before), Some(&after))
        .await;
    Ok(Answer(shown(&app, app_id, page, slots)))
}
