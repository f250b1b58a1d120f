//! The routes and actions of plugins in `/openapi.json`: those of the loads that serve, and no others.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::plugin_actions::add_actions;
use crate::http::state::App;
use mozaiks_plugins::{
    LiveGeneration,
    registry::PluginState,
    routes::{Route, RouteTable},
};

/// The document with the routes and actions of plugins, made anew when those have changed.
#[derive(Default)]
pub struct PluginDocument {
    // Held while the document is made: who asks meanwhile wants the same.
    made: Mutex<Option<(Fingerprint, Bytes)>>,
}

/// Which loads serve, and how many routes each has: their actions do not change.
type Fingerprint = Vec<(u64, usize)>;

impl PluginDocument {
    /// The gateway's own document with those of plugins added.
    pub(super) fn of(&self, app: &App, own: &Bytes) -> Bytes {
        let serving = serving(app);
        let fingerprint: Fingerprint = serving
            .iter()
            .map(|(generation, routes)| {
                (
                    generation.id().0,
                    routes.as_ref().map_or(0, |routes| routes.len()),
                )
            })
            .collect();
        let mut made = self.made.lock();
        if let Some((of, document)) = &*made
            && *of == fingerprint
        {
            return document.clone();
        }
        let mut document: Value =
            serde_json::from_slice(own).expect("invariant: the gateway's own document is JSON");
        for (generation, routes) in &serving {
            let plugin = generation.plugin();
            if let Some(actions) = generation.actions() {
                add_actions(&mut document, plugin, actions);
            }
            if let (Some(routes), Some(paths)) = (routes, document["paths"].as_object_mut()) {
                add_routes(paths, plugin, &routes.list());
            }
        }
        let document = Bytes::from(document.to_string());
        *made = Some((fingerprint, document.clone()));
        document
    }
}

/// A load that serves, with its routes where it has any.
type Serving = (Arc<LiveGeneration>, Option<Arc<RouteTable>>);

fn serving(app: &App) -> Vec<Serving> {
    let plugins = app.registry.list();
    // What an app has stored is nobody else's business.
    let open = plugins
        .iter()
        .filter(|plugin| plugin.is_of(&app.public_app_id));
    let served = open.filter_map(|plugin| {
        let PluginState::Active(generation) = plugin.state() else {
            return None;
        };
        let routes = app.plugin_routes.of(generation.id());
        (routes.is_some() || generation.actions().is_some()).then_some((generation, routes))
    });
    served.collect()
}

fn add_routes(paths: &mut Map<String, Value>, plugin: &str, routes: &[Arc<Route>]) {
    for route in routes {
        let (below, parameters) = path_of(&route.spec.path);
        let path = format!("/api/plugins/{plugin}{below}");
        let described = describe(plugin, route, &parameters);
        let method = route.spec.method.to_ascii_lowercase();
        paths.entry(path).or_insert_with(|| json!({}))[method] = described;
    }
}

/// A path as OpenAPI writes it, and the names of its parameters.
fn path_of(path: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let segments = path.split('/').map(|segment| {
        let name = segment.strip_prefix(':').or_else(|| {
            let inner = segment.strip_prefix('{')?.strip_suffix('}')?;
            Some(inner.trim_start_matches('*'))
        });
        match name {
            None => segment.to_owned(),
            Some(name) => {
                names.push(name.to_owned());
                format!("{{{name}}}")
            }
        }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    (path, names)
}

fn describe(plugin: &str, route: &Route, names: &[String]) -> Value {
    let spec = &route.spec;
    let method = spec.method.to_ascii_lowercase();
    let part = |part: &str| {
        let schema = spec.request_schema.as_ref();
        schema.and_then(|schema| schema.get("properties")?.get(part))
    };
    let mut parameters: Vec<Value> = names
        .iter()
        .map(|name| {
            let schema = property(part("params"), name);
            let schema = schema.unwrap_or_else(|| json!({ "type": "string" }));
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    let query = part("query");
    let queried = query.and_then(|query| query.get("properties")?.as_object());
    for (name, schema) in queried.into_iter().flatten() {
        let wanted = query.is_some_and(|query| is_required(query, name));
        parameters
            .push(json!({ "name": name, "in": "query", "required": wanted, "schema": schema }));
    }
    let words = spec.path.split(|sign: char| !sign.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let mut described = json!({
        "operationId": format!("plugin_{plugin}_{method}_{}", words.join("_")),
        "tags": [plugin],
        "summary": format!("A route of the plugin {plugin}."),
        "responses": responses(route),
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if spec.requires_auth {
        described["security"] = json!([{ "bearer": [] }]);
    }
    if !spec.roles.is_empty() {
        described["x-roles"] = json!(spec.roles);
    }
    if method != "get" && method != "delete" || part("body").is_some() {
        let schema = part("body").cloned().unwrap_or_else(|| json!({}));
        let whole = spec.request_schema.as_ref();
        described["requestBody"] = json!({
            "required": whole.is_some_and(|schema| is_required(schema, "body")),
            "content": { "application/json": { "schema": schema } },
        });
    }
    described
}

/// An answer that is a refusal.
pub(super) fn error(meaning: &str) -> Value {
    json!({
        "description": meaning,
        "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/Error" },
        } },
    })
}

fn responses(route: &Route) -> Value {
    let spec = &route.spec;
    let mut good = json!({ "description": "What the plugin answers." });
    if let Some(schema) = &spec.response_schema {
        good["content"] = json!({ "application/json": { "schema": schema } });
    }
    let mut responses = Map::new();
    responses.insert("200".into(), good);
    let mut add = |status: &str, meaning: &str| {
        responses.insert(status.into(), error(meaning));
    };
    if spec.requires_auth {
        add("401", "Not authenticated.");
    }
    if !spec.roles.is_empty() {
        add("403", "FORBIDDEN: none of the roles.");
    }
    if spec.request_schema.is_some() {
        add(
            "422",
            "VALIDATION_ERROR: the request does not fit; `details.path`.",
        );
    }
    if spec.rate_limit.is_some() {
        add("429", "RATE_LIMITED, with Retry-After.");
    }
    add("default", "Any other failure.");
    Value::Object(responses)
}

fn property(schema: Option<&Value>, name: &str) -> Option<Value> {
    schema?.get("properties")?.get(name).cloned()
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|wanted| wanted == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_openapi_wants_them() {
        for (path, wanted, names) in [
            ("/", "/", &[][..]),
            ("/a/{id}", "/a/{id}", &["id"]),
            ("/a/:id/b/{*rest}", "/a/{id}/b/{rest}", &["id", "rest"]),
        ] {
            let (written, found) = path_of(path);
            assert_eq!(
                (&*written, found),
                (wanted, names.iter().map(|name| name.to_string()).collect())
            );
        }
    }
}
