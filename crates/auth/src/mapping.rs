//! Where in the claims users, roles, apps and scopes stand: as the configuration says, else as most
//! issuers write them.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::{AuthError, claims::present};
use mozaiks_config::{ClaimPath, ClaimsConfig};

/// Claims of the user's id where none are configured.
const USER_ID: [&str; 3] = ["user_id", "sub", "uid"];
/// The claim of the app where none is configured.
const APP_ID: &str = "app_id";

/// Which claims are read.
#[derive(Debug)]
pub(super) struct ClaimMapping {
    user_id: Vec<ClaimPath>,
    app_id: Vec<ClaimPath>,
    /// Empty: `roles`, else `realm_access.roles`.
    roles: Vec<ClaimPath>,
    required_scopes: Vec<Arc<str>>,
}

impl ClaimMapping {
    pub(super) fn new(config: &ClaimsConfig) -> Self {
        Self {
            user_id: or_names(&config.user_id, &USER_ID),
            app_id: or_names(&config.app_id, &[APP_ID]),
            roles: config.roles.clone(),
            required_scopes: config
                .required_scopes
                .iter()
                .map(|scope| Arc::from(scope.as_str()))
                .collect(),
        }
    }

    /// The user's id: the first claim that is there. One that is there and is no id is refused, not
    /// passed over: another claim may name somebody else.
    pub(super) fn user_id(&self, claims: &Map<String, Value>) -> Result<Arc<str>, AuthError> {
        for path in &self.user_id {
            match find(claims, path) {
                None => {}
                Some(Value::String(id)) if !id.is_empty() => return Ok(Arc::from(id.as_str())),
                Some(Value::Number(id)) if is_integer(id) => return Ok(Arc::from(id.to_string())),
                Some(_) => {
                    return Err(invalid(format!(
                        "the claim {path} must be a non-empty string or an integer"
                    )));
                }
            }
        }
        Err(invalid(format!(
            "it names no user ({})",
            listed(&self.user_id)
        )))
    }

    /// The app's id: the first claim that is there.
    pub(super) fn app_id<'a>(
        &self,
        claims: &'a Map<String, Value>,
    ) -> Result<Option<&'a str>, AuthError> {
        for path in &self.app_id {
            match find(claims, path) {
                None => {}
                Some(Value::String(id)) if !id.is_empty() => return Ok(Some(id)),
                Some(_) => {
                    return Err(invalid(format!(
                        "the claim {path} must be a non-empty string"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// What to say of a token without an app where it must name one.
    pub(super) fn no_app(&self) -> AuthError {
        invalid(format!("the claim {} is missing", listed(&self.app_id)))
    }

    /// The roles of all configured claims, each once; a text is a list with spaces between.
    pub(super) fn roles(&self, claims: &Map<String, Value>) -> Result<Vec<Arc<str>>, AuthError> {
        if self.roles.is_empty() {
            return usual_roles(claims);
        }
        let mut roles: Vec<Arc<str>> = Vec::new();
        for path in &self.roles {
            let Some(value) = find(claims, path) else {
                continue;
            };
            let found = words(value).ok_or_else(|| {
                invalid(format!(
                    "the claim {path} must be a string or a list of strings"
                ))
            })?;
            for role in found {
                if !roles.iter().any(|known| **known == *role) {
                    roles.push(Arc::from(role));
                }
            }
        }
        Ok(roles)
    }

    /// Whether the token has every scope that is required, in `scope` or in `scp`.
    pub(super) fn check_scopes(&self, claims: &Map<String, Value>) -> Result<(), AuthError> {
        if self.required_scopes.is_empty() {
            return Ok(());
        }
        let mut held = Vec::new();
        for name in ["scope", "scp"] {
            let Some(value) = present(claims, name) else {
                continue;
            };
            held.extend(words(value).ok_or_else(|| {
                invalid(format!(
                    "the claim {name} must be a string or a list of strings"
                ))
            })?);
        }
        let missing = self
            .required_scopes
            .iter()
            .find(|one| !held.contains(&&***one));
        match missing {
            None => Ok(()),
            Some(scope) => Err(AuthError::ScopeMissing(Arc::clone(scope))),
        }
    }
}

/// The claim at the path. One whose name is the whole path comes first: issuers name claims by
/// addresses, which have dots. Null counts as absent, and so does what is behind something else than
/// an object.
fn find<'a>(claims: &'a Map<String, Value>, path: &ClaimPath) -> Option<&'a Value> {
    if let Some(value) = present(claims, path.as_str()) {
        return Some(value);
    }
    let (last, way) = path.names().split_last()?;
    let mut inside = claims;
    for name in way {
        inside = inside.get(name)?.as_object()?;
    }
    present(inside, last)
}

/// Puts a claim where [`find`] looks for it. What is in its way, which only an odd configuration puts
/// there, stays.
pub(super) fn put(claims: &mut Map<String, Value>, path: &ClaimPath, value: Value) {
    let Some((last, way)) = path.names().split_last() else {
        return;
    };
    let mut inside = claims;
    for name in way {
        let next = inside
            .entry(name)
            .or_insert_with(|| Value::Object(Map::new()));
        match next.as_object_mut() {
            Some(next) => inside = next,
            None => return,
        }
    }
    inside.insert(last.clone(), value);
}

/// The words of a text, or a list's texts as they are; `None` for anything else.
fn words(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(text.split_ascii_whitespace().collect()),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// `roles`, else `realm_access.roles`: here a text is one role.
fn usual_roles(claims: &Map<String, Value>) -> Result<Vec<Arc<str>>, AuthError> {
    if let Some(value) = present(claims, "roles") {
        return role_list(value).ok_or(AuthError::Invalid(
            "the claim roles must be a string or a list of strings",
        ));
    }
    let wrong = AuthError::Invalid("the claim realm_access must hold a list of strings as roles");
    match present(claims, "realm_access") {
        None => Ok(Vec::new()),
        Some(Value::Object(access)) => match present(access, "roles") {
            None => Ok(Vec::new()),
            Some(value) => role_list(value).ok_or(wrong),
        },
        Some(_) => Err(wrong),
    }
}

fn role_list(value: &Value) -> Option<Vec<Arc<str>>> {
    match value {
        Value::String(role) if role.is_empty() => Some(Vec::new()),
        Value::String(role) => Some(vec![Arc::from(role.as_str())]),
        Value::Array(roles) => roles
            .iter()
            .map(|role| role.as_str().map(Arc::from))
            .collect(),
        _ => None,
    }
}

/// The configured paths, or those of single names.
fn or_names(configured: &[ClaimPath], names: &[&str]) -> Vec<ClaimPath> {
    if configured.is_empty() {
        return names
            .iter()
            .filter_map(|name| ClaimPath::parse(name))
            .collect();
    }
    configured.to_vec()
}

fn listed(paths: &[ClaimPath]) -> String {
    let paths: Vec<&str> = paths.iter().map(ClaimPath::as_str).collect();
    paths.join(" or ")
}

fn is_integer(number: &Number) -> bool {
    number.is_u64() || number.is_i64()
}

fn invalid(sentence: String) -> AuthError {
    AuthError::InvalidClaim(sentence.into())
}
