//! What development mode says to try first, each with a token that works: a command, and the pages that
//! plugins have. Only what is there is named.

use std::{io::Read as _, net::SocketAddr, path::Path};

use crate::http::{App, page_of};
use mozaiks_auth::signer::{DevRequest, dev_curl_line, dev_page_url};
use mozaiks_config::AuthConfig;
use mozaiks_plugins::{
    actions::Action,
    registry::{Plugin, PluginState},
};

/// The plugin that is shown first, where there is one of that name.
const FIRST: &str = "hello";
/// The action that new plugins begin with.
const GREETING: &str = "greet";
/// Of a plugin's file, how much is looked at.
const LOOKED_AT_BYTES: u64 = 64 << 10;

/// Says it, on stderr. With public keys there is nothing to sign with, and nothing to show.
pub(super) fn invite(app: &App, auth: &AuthConfig, address: SocketAddr) {
    let scheme = app.server.tls.scheme();
    if let Some(request) = first_request(app)
        && let Ok(line) = dev_curl_line(auth, scheme, address, &request)
    {
        eprintln!("try it: {line}");
    }
    for plugin in app.registry.list() {
        if let Some(path) = page_of(app, &plugin.name)
            && let Ok(url) = dev_page_url(auth, scheme, address, &path)
        {
            eprintln!("open it: {url}");
        }
    }
}

/// A call of a plugin; where none answers calls, a route that needs nothing.
fn first_request(app: &App) -> Option<DevRequest> {
    let plugins = app.registry.list();
    let called = |plugin: &&std::sync::Arc<Plugin>| match plugin.state() {
        PluginState::Active(load) => load.execute().is_some(),
        PluginState::Loading | PluginState::Disabled | PluginState::Failed(_) => false,
    };
    let first = plugins.iter().filter(|plugin| &*plugin.name == FIRST);
    if let Some(plugin) = first.chain(&plugins).find(called) {
        let action = if &*plugin.name == FIRST || knows_the_greeting(&plugin.dir()) {
            Some(GREETING.to_owned())
        } else {
            easiest_action(plugin)
        };
        let body = match action {
            Some(name) => format!("{{\"action\": \"{name}\"}}"),
            None => "{}".to_owned(),
        };
        return Some(DevRequest {
            path: format!("/api/execute/{}", plugin.name),
            body: Some(body),
        });
    }
    plugins.iter().find_map(|plugin| {
        let PluginState::Active(load) = plugin.state() else {
            return None;
        };
        let routes = app.plugin_routes.of(load.id())?.list();
        let route = routes.iter().find(|route| {
            route.spec.method == "GET"
                && route.spec.request_schema.is_none()
                && is_plain(&route.spec.path)
        })?;
        Some(DevRequest {
            path: format!("/api/plugins/{}{}", plugin.name, route.spec.path),
            body: None,
        })
    })
}

/// Of a plugin whose calls name an action the one that wants the least; names of actions are letters, digits
/// and `_ . : -`.
fn easiest_action(plugin: &Plugin) -> Option<String> {
    let PluginState::Active(load) = plugin.state() else {
        return None;
    };
    let actions = load.actions().filter(|actions| !actions.has_execute())?;
    let wanted = |action: &&Action| action.input["required"].as_array().map_or(0, Vec::len);
    let easiest = actions.list().iter().min_by_key(wanted)?;
    Some(easiest.name.to_string())
}

/// Whether a path has no parameters, whose values would have to be known, and nothing that a shell would take
/// for its own.
fn is_plain(path: &str) -> bool {
    path.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
}

/// Whether a plugin was begun with the action of a new one, and still has it.
fn knows_the_greeting(dir: &Path) -> bool {
    let file = ["logic.py", "backend/logic.py"]
        .iter()
        .find_map(|name| std::fs::File::open(dir.join(name)).ok());
    let mut text = Vec::new();
    // What cannot be read says nothing.
    let read = file.map(|file| file.take(LOOKED_AT_BYTES).read_to_end(&mut text));
    read.is_some() && String::from_utf8_lossy(&text).contains(&format!("\"{GREETING}\""))
}
