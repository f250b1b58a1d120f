//! Requests to the routes of plugins, `/api/plugins/{name}/…`: who may, how often, with what; and the
//! answer, which may come in pieces.

mod request;
mod response;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};

use self::{
    request::{Names, Origin, arguments},
    response::respond,
};
use super::{
    body::{BodyLimits, GatewayBody, read_body},
    client_address::ClientAddress,
    error::ApiError,
    exchange::Exchange,
    execute::{refusal, starting_or_draining},
    identify::authenticate,
    rates::limited,
    request_body::RequestBody,
    state::App,
};
use mozaiks_auth::Principal;
use mozaiks_plugins::{
    CallKind, Input, Target,
    dispatch::Call,
    names::{RESERVED_NAMES, RESERVED_SEGMENTS},
    rates::Counted,
    registry::{Plugin, PluginState},
    routes::{Lookup, Matched, Route},
};

/// Where routes of plugins begin.
const PREFIX: &str = "/api/plugins/";

/// The plugin and the path below it, where a path is a plugin's route and not the gateway's own.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PREFIX)?;
    let slash = rest.find('/')?;
    let (name, below) = rest.split_at(slash);
    let first = below[1..].split('/').next().unwrap_or_default();
    let is_ours = RESERVED_NAMES.contains(&name) || RESERVED_SEGMENTS.contains(&first);
    (!is_ours).then_some((name, below))
}

/// Answers a request to a route of a plugin.
pub(super) async fn serve(
    app: &Arc<App>,
    exchange: &mut Exchange<'_>,
    request: Request<RequestBody>,
) -> Result<Response<GatewayBody>, ApiError> {
    let (head, body) = request.into_parts();
    let (name, below) = split(head.uri.path()).ok_or(ApiError::NotFound)?;
    starting_or_draining(app)?;
    let plugin = named(app, name).ok_or(ApiError::PluginNotFound)?;
    exchange.plugin = Some(Arc::clone(&plugin.name));
    let Matched { route, params } = find(app, exchange, &plugin, &head, below).await?;
    let principal = identify(app, exchange, &route, &head.headers).await?;
    if let Some(principal) = &principal {
        let _ = exchange.context().principal.set(Arc::clone(principal));
    }
    check_roles(&route, principal.as_deref())?;
    let app_id = match (&principal, &*app.public_app_id) {
        (Some(principal), _) => Arc::clone(&principal.app_id),
        // Nobody says which app a call without a token is for.
        (None, "*") => return Err(ApiError::AuthRequired),
        (None, _) => Arc::clone(&app.public_app_id),
    };
    if !plugin.apps().is_on_for(&app_id) {
        return Err(ApiError::PluginDisabled);
    }
    let trusted = &app.server.trusted_proxies;
    let client = ClientAddress::of(exchange.peer, &head.headers, trusted);
    let caller = match &principal {
        Some(principal) => Counted::User {
            app_id: &principal.app_id,
            user_id: &principal.user_id,
        },
        None => Counted::Address(client.counted()),
    };
    route.count(caller).map_err(limited)?;
    let counted = app.rates.count_plugin(&app_id, &plugin.name);
    counted.map_err(limited)?;
    let generation = Arc::clone(&route.function.generation);
    if let Err(error) = app.dispatcher.check_route(&generation) {
        return Err(refusal(app, error, principal.as_deref()));
    }
    let body = read_body(body, BodyLimits::of(&app.server), &app.bodies).await?;

    let names = Names {
        path: below,
        params,
    };
    let origin = Origin {
        principal: principal.as_deref(),
        app_id: &app_id,
        request_id: exchange.request_id(),
        client,
    };
    let max_depth = app.runtime.max_body_depth();
    let arguments = arguments(&route, &head, &names, &origin, &body, max_depth)?;
    let call = Call {
        kind: CallKind::Route,
        target: Target::Handler(route.function.handler),
        input: Input::Arguments(arguments),
        principal: principal.clone(),
        app_id: Some(app_id),
        request_id: Arc::clone(exchange.request_id()),
        timeout: route.timeout(),
    };
    let called = match app.dispatcher.invoke(generation, call) {
        Ok(pending) => pending.await,
        Err(error) => Err(error),
    };
    let reply = called.map_err(|error| of_body(refusal(app, error, principal.as_deref())))?;
    respond(app, exchange, &route, &head.method, &reply)
}

/// The plugin of a name. In addresses `-` may stand for `_`: a Python package cannot have it in its name,
/// and addresses usually have nothing else.
fn named(app: &App, name: &str) -> Option<Arc<Plugin>> {
    let exact = app.registry.find(name);
    exact.or_else(|| app.registry.find(&name.replace('-', "_")))
}

/// The route that a path means in the load that serves.
async fn find(
    app: &App,
    exchange: &Exchange<'_>,
    plugin: &Plugin,
    head: &Parts,
    below: &str,
) -> Result<Matched, ApiError> {
    let matched = match plugin.state() {
        PluginState::Active(generation) => {
            let find = || {
                let routes = app.plugin_routes.of(generation.id());
                routes.map(|routes| routes.find(head.method.as_str(), below))
            };
            match find() {
                // With many apps it may be registered when the plugin is enabled in the first of them.
                Some(Lookup::Unknown) | None if generation.gate().is_some() => {
                    let counting = &exchange.context().counting;
                    let Ok(principal) = authenticate(app, &head.headers, counting).await else {
                        return Err(ApiError::NotFound);
                    };
                    let enabled = app.dispatcher.enabled_in(&generation, &principal.app_id);
                    match enabled.await {
                        Ok(true) => find(),
                        Ok(false) => None,
                        Err(error) => {
                            return Err(refusal(app, error, Some(&principal)));
                        }
                    }
                }
                found => found,
            }
        }
        PluginState::Disabled => return Err(ApiError::PluginDisabled),
        PluginState::Loading | PluginState::Failed(_) => {
            let counting = &exchange.context().counting;
            let principal = authenticate(app, &head.headers, counting).await?;
            let error = app.dispatcher.check(plugin, &principal.app_id);
            let error = error.map_err(|error| refusal(app, error, Some(&principal)));
            return Err(error.err().unwrap_or(ApiError::NotFound));
        }
    };
    match matched {
        Some(Lookup::Found(matched)) => Ok(matched),
        Some(Lookup::OtherMethods(methods)) => {
            // Names of methods are letters.
            let allow = HeaderValue::from_str(&methods.join(", "));
            Err(ApiError::MethodNotAllowed {
                allow: allow.unwrap_or(HeaderValue::from_static("")),
            })
        }
        Some(Lookup::Unknown) | None => Err(ApiError::NotFound),
    }
}

/// A handler's answer is the fourth of what travels: paths begin there for who reads them.
fn of_body(mut error: ApiError) -> ApiError {
    if let ApiError::OutputNotSerializable { path, .. } = &mut error
        && let Some(rest) = path.strip_prefix("$[3]")
    {
        *path = format!("${rest}");
    }
    error
}

/// Whose call it is; `None` for a public route without a token.
async fn identify(
    app: &App,
    exchange: &Exchange<'_>,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Option<Arc<Principal>>, ApiError> {
    let counting = &exchange.context().counting;
    if !route.spec.requires_auth && !headers.contains_key(header::AUTHORIZATION) {
        counting.address(app)?;
        return Ok(None);
    }
    authenticate(app, headers, counting).await.map(Some)
}

fn check_roles(route: &Route, principal: Option<&Principal>) -> Result<(), ApiError> {
    let wanted = &route.spec.roles;
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(principal) = principal else {
        return Err(ApiError::AuthRequired);
    };
    let has_one = principal.is_superadmin
        || (principal.roles.iter()).any(|role| wanted.iter().any(|wanted| **wanted == **role));
    if has_one {
        Ok(())
    } else {
        Err(ApiError::Forbidden("this needs another role"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_gateways_own_is_no_route_of_a_plugin() {
        assert_eq!(split("/api/plugins/tasks/a/b"), Some(("tasks", "/a/b")));
        assert_eq!(split("/api/plugins/tasks/"), Some(("tasks", "/")));
        for own in [
            "/api/plugins",
            "/api/plugins/tasks",
            "/api/plugins/tasks/enable",
            "/api/plugins/tasks/config/x",
            "/api/plugins/registry/tasks/audit",
            "/api/execute/tasks",
        ] {
            assert_eq!(split(own), None, "{own}");
        }
    }
}
