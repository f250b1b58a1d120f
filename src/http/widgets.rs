//! Widgets of plugins by their ids: modules for pages, or HTML that the plugin renders.

use std::sync::Arc;

use axum::{Extension, extract::State, response::IntoResponse};
use http::{
    HeaderValue,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    arguments::PathId,
    error::ApiError,
    exchange::RequestContext,
    execute::refusal,
    hooks::identified,
    identify::User,
    json_body::{Body, FromObject},
    plugin_life::nothing_else,
    plugin_parts::{serving, tree_of, url_of},
    rates::limited,
    state::{App, AppState},
    typed::{Answer, Page},
};
use mozaiks_plugins::{
    CallError, CallKind, Input, LiveGeneration, Target,
    assets::AssetTree,
    dispatch::{Call, DispatchError},
    manifest::parts::WidgetPart,
    registry::Plugin,
};

/// HTML of a plugin's has no script, no form and no page of its own.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: https:";

/// A widget, for pages.
#[derive(Serialize, JsonSchema)]
pub(super) struct WidgetView {
    widget_id: String,
    plugin: String,
    widget_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    default_config: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<String>,
    /// Of one that is a module for pages: where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    module_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    integrity: Option<String>,
    /// Of one that the plugin renders: where to ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    render_url: Option<String>,
}

/// All widgets.
#[derive(Serialize, JsonSchema)]
pub(super) struct WidgetList {
    widgets: Vec<WidgetView>,
    count: usize,
}

/// The id of a widget: what its entry says, else plugin and file.
pub(super) fn id_of(plugin: &str, part: &WidgetPart) -> String {
    let stem = part
        .file
        .rsplit_once('.')
        .map_or(&*part.file, |(stem, _)| stem);
    (part.widget_id.clone()).unwrap_or_else(|| format!("{plugin}-{}", stem.replace('/', "-")))
}

/// The widgets of a load that serves.
pub(super) fn widgets_of(plugin: &Plugin, tree: &AssetTree) -> Vec<WidgetView> {
    let manifest = plugin.manifest();
    let parts = manifest.parts.widgets.iter().filter(|part| part.is_enabled);
    parts
        .map(|part| {
            let widget_id = id_of(&plugin.name, part);
            let asset = tree.find(&format!("widgets/{}", part.file));
            let renders = part.file.ends_with(".py");
            WidgetView {
                plugin: plugin.name.to_string(),
                widget_name: part
                    .widget_name
                    .clone()
                    .unwrap_or_else(|| widget_id.clone()),
                description: part.description.clone(),
                default_config: part.default_config.clone().unwrap_or_default(),
                category: part.category.clone(),
                icon: part.icon.clone(),
                module_url: asset.map(|asset| url_of(&plugin.name, tree, asset)),
                integrity: asset.map(|asset| asset.integrity.clone()),
                render_url: renders.then(|| format!("/api/plugins/widgets/{widget_id}/render")),
                widget_id,
            }
        })
        .collect()
}

/// The widget of an id in an app: of two the plugin's name decides.
pub(super) fn find(
    app: &App,
    app_id: &str,
    widget_id: &str,
) -> Option<(Arc<Plugin>, Arc<LiveGeneration>, WidgetPart)> {
    app.registry.list().into_iter().find_map(|plugin| {
        let load = serving(&plugin, app_id)?;
        let manifest = plugin.manifest();
        let mut parts = manifest.parts.widgets.iter().filter(|part| part.is_enabled);
        let part = parts
            .find(|part| id_of(&plugin.name, part) == widget_id)?
            .clone();
        Some((plugin, load, part))
    })
}

/// `GET /api/plugins/widgets`.
pub(super) async fn list_widgets(
    State(AppState(app)): State<AppState>,
    User(principal): User,
) -> Result<Answer<WidgetList>, ApiError> {
    let mut widgets: Vec<WidgetView> = Vec::new();
    for plugin in app.registry.list() {
        let Some(load) = serving(&plugin, &principal.app_id) else {
            continue;
        };
        if plugin.manifest().parts.widgets.is_empty() {
            continue;
        }
        let tree = tree_of(&app, &plugin, &load).await?;
        for widget in widgets_of(&plugin, &tree) {
            if !widgets
                .iter()
                .any(|known| known.widget_id == widget.widget_id)
            {
                widgets.push(widget);
            }
        }
    }
    Ok(Answer(WidgetList {
        count: widgets.len(),
        widgets,
    }))
}

/// `GET /api/plugins/widgets/{widget_id}`.
pub(super) async fn get_widget(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    PathId(widget_id): PathId<String>,
) -> Result<Answer<WidgetView>, ApiError> {
    let found = find(&app, &principal.app_id, &widget_id);
    let (plugin, load, _) = found.ok_or_else(unknown)?;
    let tree = tree_of(&app, &plugin, &load).await?;
    let mut widgets = widgets_of(&plugin, &tree).into_iter();
    let widget = widgets.find(|widget| widget.widget_id == widget_id);
    widget.map(Answer).ok_or_else(unknown)
}

fn unknown() -> ApiError {
    ApiError::Host(crate::refusals::host_error(
        "WIDGET_NOT_FOUND",
        "there is no widget of this id",
    ))
}

/// What a widget is rendered with.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Rendering {
    /// Over its `default_config`.
    #[serde(default)]
    config: Map<String, Value>,
    /// What it shows; who asks is what the token says.
    #[serde(default)]
    data: Map<String, Value>,
}

impl FromObject for Rendering {
    fn from_object(mut object: Map<String, Value>) -> Result<Self, ApiError> {
        let mut take = |key: &str| match object.remove(key) {
            None => Ok(Map::new()),
            Some(Value::Object(value)) => Ok(value),
            Some(_) => {
                let reason = format!("{key} must be an object");
                Err(ApiError::invalid(&reason, &format!("/{key}")))
            }
        };
        let (config, data) = (take("config")?, take("data")?);
        nothing_else(&object)?;
        Ok(Self { config, data })
    }
}

/// `POST /api/plugins/widgets/{widget_id}/render` with `{config, data}`: HTML, which may do nothing but be
/// looked at.
pub(super) async fn render_widget(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(widget_id): PathId<String>,
    Body(Rendering { config, data }): Body<Rendering>,
) -> Result<Page, ApiError> {
    let found = find(&app, &principal.app_id, &widget_id);
    let (plugin, load, part) = found.ok_or_else(unknown)?;
    let counted = app.rates.count_plugin(&principal.app_id, &plugin.name);
    counted.map_err(limited)?;
    let function = app.plugin_renders.find(load.id(), &part.file);
    let function = function.ok_or_else(unknown)?;
    let mut whole = part.default_config.unwrap_or_default();
    whole.extend(config);
    let data = identified(Value::Object(data), &principal, &context.request_id);
    let call = Call {
        kind: CallKind::Route,
        target: Target::Handler(function.handler),
        input: Input::Arguments(json!([whole, data]).to_string().into()),
        app_id: Some(Arc::clone(&principal.app_id)),
        principal: Some(Arc::clone(&principal)),
        request_id: Arc::clone(&context.request_id),
        timeout: None,
    };
    let called = match app.dispatcher.invoke(load, call) {
        Ok(pending) => pending.await,
        Err(error) => Err(error),
    };
    let reply = called.map_err(|error| refusal(&app, error, Some(&principal)))?;
    let Ok(html) = serde_json::from_slice::<String>(&reply.body) else {
        let odd = CallError::BadResult("something other than the text of a widget".into());
        return Err(refusal(&app, DispatchError::Call(odd), Some(&principal)));
    };
    let content_type = HeaderValue::from_static("text/html; charset=utf-8");
    let policy = HeaderValue::from_static(POLICY);
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    Ok(Page((headers, html).into_response()))
}
