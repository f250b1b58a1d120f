//! The routes that one load of a plugin has registered: what each wants, and which one a path means.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use jsonschema::Validator;
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    generation::{Generation, PluginFunction},
    names::RESERVED_SEGMENTS,
    rates::{Counted, Rate, RateLimits},
    schema::{Misfit, cheap_to_refuse, first_misfit},
};

/// Methods that a route may have; `HEAD` follows `GET`.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/// Bytes of a path.
const MAX_PATH_BYTES: usize = 500;
/// Routes of one plugin.
const MAX_ROUTES: usize = 1000;

/// What a plugin says of a route.
#[derive(Debug, Clone, Deserialize)]
pub struct RouteSpec {
    /// One of [`METHODS`].
    pub method: String,
    /// Below `/api/plugins/{name}`; parameters as `{id}` or `:id`.
    pub path: String,
    /// Whether a token is wanted.
    #[serde(default = "yes")]
    pub requires_auth: bool,
    /// Roles of which the caller must have one; none asks for none.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Calls a minute of one user, or of one address; where it says none, what all routes have counts.
    pub rate_limit: Option<NonZeroU32>,
    /// JSON Schema (2020-12) over `{body, query, params}`.
    pub request_schema: Option<Value>,
    /// JSON Schema of the answer.
    pub response_schema: Option<Value>,
    /// One call, in seconds.
    pub timeout_seconds: Option<f64>,
    /// Whether the handler is given the body byte for byte too.
    #[serde(default)]
    pub raw_body: bool,
}

fn yes() -> bool {
    true
}

/// Why a route was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It is none.
    #[error("{0}")]
    Invalid(String),
    /// There is one already.
    #[error("the route {method} {path} is registered already, as {method} {other}")]
    Taken {
        /// The method.
        method: String,
        /// The path of the new one.
        path: String,
        /// The path of the one there is.
        other: String,
    },
}

/// One route.
pub struct Route {
    /// What the plugin says of it.
    pub spec: RouteSpec,
    /// What answers.
    pub function: PluginFunction,
    /// Names of the path's parameters, in their order.
    names: Vec<String>,
    request: Option<Validator>,
    response: Option<Validator>,
    rate: Option<Rate>,
    limits: Arc<RateLimits>,
}

impl Route {
    /// How long a call may take, where the route says so.
    pub fn timeout(&self) -> Option<Duration> {
        self.spec.timeout_seconds.map(Duration::from_secs_f64)
    }

    /// Whether a request needs to be looked at as JSON here.
    pub fn checks_requests(&self) -> bool {
        self.request.is_some()
    }

    /// What of `{body, query, params}` does not fit.
    pub fn check_request(&self, request: &Value) -> Option<Misfit> {
        first_misfit(self.request.as_ref()?, request)
    }

    /// What of an answer does not fit.
    pub fn check_response(&self, response: impl FnOnce() -> Value) -> Option<Misfit> {
        first_misfit(self.response.as_ref()?, &response())
    }

    /// Calls a minute of one caller: what it says, else what all routes have.
    pub fn rate_limit(&self) -> Option<NonZeroU32> {
        self.rate.as_ref().map(|rate| rate.per_minute)
    }

    /// Counts a call of somebody.
    ///
    /// # Errors
    /// How long to wait, where there were too many.
    pub fn count(&self, caller: Counted<'_>) -> Result<(), Duration> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        self.limits.count_route(rate, caller)
    }
}

/// A route that was found, with its parameters.
pub struct Matched {
    /// The route.
    pub route: Arc<Route>,
    /// Its parameters by name, decoded.
    pub params: Vec<(String, String)>,
}

/// What a path means.
pub enum Lookup {
    /// A route.
    Found(Matched),
    /// The path fits, the method does not; these would.
    OtherMethods(Vec<String>),
    /// Nothing.
    Unknown,
}

/// The routes of one load of a plugin.
pub struct RouteTable {
    limits: Arc<RateLimits>,
    // Written while the plugin loads, read for every request; never held across an await.
    routes: RwLock<Routes>,
}

#[derive(Default)]
struct Routes {
    paths: matchit::Router<usize>,
    by_path: HashMap<String, usize>,
    methods: Vec<Vec<Arc<Route>>>,
}

impl RouteTable {
    fn new(limits: &Arc<RateLimits>) -> Self {
        Self {
            limits: Arc::clone(limits),
            routes: RwLock::default(),
        }
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`RouteError`] with what is wrong; then nothing was added.
    pub fn add(&self, mut spec: RouteSpec, function: PluginFunction) -> Result<(), RouteError> {
        let invalid = |reason: String| Err(RouteError::Invalid(reason));
        spec.method.make_ascii_uppercase();
        if !METHODS.contains(&&*spec.method) {
            return invalid(format!(
                "{:?} is no method of a route: one of {} is wanted",
                spec.method,
                METHODS.join(", ")
            ));
        }
        if let Some(seconds) = spec.timeout_seconds
            && !(seconds > 0.0 && seconds <= 3600.0)
        {
            return invalid(format!(
                "timeout_seconds must be more than 0 and at most 3600, not {seconds}"
            ));
        }
        let (pattern, names) = pattern(&spec.path)?;
        let route = Arc::new(Route {
            request: validator("request_schema", spec.request_schema.as_ref())?,
            response: validator("response_schema", spec.response_schema.as_ref())?,
            rate: self.limits.of_route(
                (function.generation.plugin(), &spec.method, &pattern),
                spec.rate_limit,
            ),
            limits: Arc::clone(&self.limits),
            names,
            function,
            spec,
        });
        let mut routes = self.routes.write();
        if routes.methods.iter().map(Vec::len).sum::<usize>() >= MAX_ROUTES {
            return invalid(format!("a plugin has at most {MAX_ROUTES} routes"));
        }
        let place = match routes.by_path.get(&pattern) {
            Some(place) => *place,
            None => {
                let place = routes.methods.len();
                if let Err(error) = routes.paths.insert(pattern.clone(), place) {
                    return invalid(format!("{:?} cannot be served: {error}", route.spec.path));
                }
                routes.by_path.insert(pattern, place);
                routes.methods.push(Vec::new());
                place
            }
        };
        let same = &mut routes.methods[place];
        if let Some(other) = same
            .iter()
            .find(|other| other.spec.method == route.spec.method)
        {
            return Err(RouteError::Taken {
                method: route.spec.method.clone(),
                path: route.spec.path.clone(),
                other: other.spec.path.clone(),
            });
        }
        same.push(route);
        Ok(())
    }

    /// The route for a method and a path below the plugin's own.
    pub fn find(&self, method: &str, path: &str) -> Lookup {
        let routes = self.routes.read();
        let path = if path.is_empty() { "/" } else { path };
        let Ok(matched) = routes.paths.at(path) else {
            return Lookup::Unknown;
        };
        let candidates = &routes.methods[*matched.value];
        let wanted = if method == "HEAD" { "GET" } else { method };
        let Some(route) = candidates.iter().find(|route| route.spec.method == wanted) else {
            let mut methods: Vec<_> = candidates
                .iter()
                .map(|route| route.spec.method.clone())
                .collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".into());
            }
            methods.sort_unstable();
            return Lookup::OtherMethods(methods);
        };
        let params = route
            .names
            .iter()
            .zip(matched.params.iter())
            .map(|(name, (_, value))| (name.clone(), decoded(value)))
            .collect();
        Lookup::Found(Matched {
            route: Arc::clone(route),
            params,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.routes.read().methods.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All routes, by path and method.
    pub fn list(&self) -> Vec<Arc<Route>> {
        let routes = self.routes.read();
        let mut all: Vec<_> = routes.methods.iter().flatten().cloned().collect();
        all.sort_by(|one, other| {
            (&one.spec.path, &one.spec.method).cmp(&(&other.spec.path, &other.spec.method))
        });
        all
    }

    /// Takes every route away.
    pub fn clear(&self) {
        let ended = std::mem::take(&mut *self.routes.write());
        // After the lock: with the last route a load may end, which comes back here.
        drop(ended);
    }
}

/// The routes of each load of each plugin.
pub struct PluginRoutes {
    limits: Arc<RateLimits>,
    // Written at load and unload, read for every request; never held across an await.
    loads: RwLock<HashMap<Generation, Arc<RouteTable>>>,
}

impl PluginRoutes {
    /// None yet; those that come are called as often as `limits` say.
    pub fn new(limits: &Arc<RateLimits>) -> Self {
        Self {
            limits: Arc::clone(limits),
            loads: RwLock::default(),
        }
    }

    /// The routes of a load, if it has registered any.
    pub fn of(&self, generation: Generation) -> Option<Arc<RouteTable>> {
        self.loads.read().get(&generation).cloned()
    }

    /// As [`Self::of`], made where there is none yet.
    pub fn entry(&self, generation: Generation) -> Arc<RouteTable> {
        let mut loads = self.loads.write();
        let made = || Arc::new(RouteTable::new(&self.limits));
        Arc::clone(loads.entry(generation).or_insert_with(made))
    }

    /// A load is gone: nothing of it is served.
    pub fn forget_generation(&self, generation: Generation) {
        let ended = self.loads.write().remove(&generation);
        if let Some(routes) = ended {
            routes.clear();
        }
    }
}

fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
}

pub(crate) fn validator(
    key: &str,
    schema: Option<&Value>,
) -> Result<Option<Validator>, RouteError> {
    let Some(schema) = schema else {
        return Ok(None);
    };
    jsonschema::draft202012::new(&cheap_to_refuse(schema))
        .map(Some)
        .map_err(|error| RouteError::Invalid(format!("{key} is no JSON Schema: {error}")))
}

/// A path as it is looked up, with its parameters numbered, and their names.
pub(crate) fn pattern(path: &str) -> Result<(String, Vec<String>), RouteError> {
    let invalid = |reason: &str| RouteError::Invalid(format!("the path {path:?} {reason}"));
    if !path.starts_with('/') {
        return Err(invalid("must begin with '/'"));
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(invalid("is longer than 500 bytes"));
    }
    if path == "/" {
        return Ok((path.into(), Vec::new()));
    }
    let mut pattern = String::with_capacity(path.len() + 8);
    let mut names: Vec<String> = Vec::new();
    let segments: Vec<&str> = path[1..].split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        pattern.push('/');
        let name = segment.strip_prefix(':').or_else(|| {
            segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
        });
        let Some(name) = name else {
            let plain = segment.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@')
            });
            if segment.is_empty() || *segment == "." || *segment == ".." || !plain {
                return Err(invalid(
                    "has a segment that is empty or has other signs than \
                                    letters, digits and - _ . ~ @",
                ));
            }
            if at == 0 && RESERVED_SEGMENTS.contains(segment) {
                return Err(invalid("begins with a segment that is the gateway's own"));
            }
            pattern.push_str(segment);
            continue;
        };
        let rest = name.strip_prefix('*');
        if rest.is_some() && at + 1 < segments.len() {
            return Err(invalid("has a parameter for the rest before its end"));
        }
        let name = rest.unwrap_or(name);
        let is_name = !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || names.iter().any(|other| other == name) {
            return Err(invalid("has a parameter without a name of its own"));
        }
        let star = if rest.is_some() { "*" } else { "" };
        pattern.push_str(&format!("{{{star}p{}}}", names.len()));
        names.push(name.to_owned());
    }
    Ok((pattern, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_that_hold_themselves_cost_no_more_than_what_they_are_held_against() {
        let side = |kind: &str| {
            serde_json::json!({"required": ["child"], "properties": {
                "child": {"anyOf": [
                    {"$ref": "#/$defs/Left"}, {"$ref": "#/$defs/Right"}, {"type": "null"},
                ]},
                "kind": {"const": kind},
            }, "type": "object"})
        };
        let schema = serde_json::json!({
            "properties": {"body": {"$ref": "#/$defs/Left"}},
            "$defs": {"Left": side("left"), "Right": side("right")},
        });
        let validator = validator("request_schema", Some(&schema)).unwrap().unwrap();
        let tree = (0..60).fold(
            7.into(),
            |child: Value, _| serde_json::json!({"child": child}),
        );
        let misfit = first_misfit(&validator, &serde_json::json!({"body": tree})).unwrap();
        assert_eq!(misfit.path, "/body/child");
    }

    #[test]
    fn paths_are_written_in_two_ways() {
        for path in ["/a/{id}/b/{name}", "/a/:id/b/:name"] {
            let (pattern, names) = pattern(path).unwrap();
            assert_eq!(pattern, "/a/{p0}/b/{p1}");
            assert_eq!(names, ["id", "name"]);
        }
        assert_eq!(pattern("/files/{*rest}").unwrap().0, "/files/{*p0}");
        assert_eq!(pattern("/").unwrap(), ("/".into(), Vec::new()));
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "/a/",
            "/..",
            "/a/../b",
            "/a b",
            "/a?b",
            "/{}",
            "/:",
            "/{1}",
            "/{a}/{a}",
            "/{*a}/b",
            "/enable",
            "/config/x",
            "/reload",
            "/a%2e",
            "/ä",
            &format!("/{}", "a".repeat(500)),
        ] {
            assert!(pattern(path).is_err(), "{path}");
        }
    }
}
