//! Whose tokens are taken, and where in them users, roles, apps and scopes stand.

use std::{collections::BTreeMap, fmt};

use crate::{Origin, Problem};

/// The longest path to a claim, in bytes, and the most names in one.
const MAX_PATH_BYTES: usize = 256;
const MAX_PATH_NAMES: usize = 8;
/// Paths or scopes in one list.
const MAX_LISTED: usize = 16;

/// Where in a token users, roles, apps and scopes stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsConfig {
    /// Claims of the user's id: the first that is there. Empty: `user_id`, else `sub`, else `uid`.
    /// `MOZAIKS_USER_ID_CLAIM`
    pub user_id: Vec<ClaimPath>,
    /// Claims of roles, joined. Empty: `roles`, else `realm_access.roles`. `MOZAIKS_ROLES_CLAIM`
    pub roles: Vec<ClaimPath>,
    /// Claims of the app: the first that is there. Empty: `app_id`. `MOZAIKS_APP_ID_CLAIM`
    pub app_id: Vec<ClaimPath>,
    /// Scopes that every token must have. `MOZAIKS_REQUIRED_SCOPES`
    pub required_scopes: Vec<String>,
}

/// The way to a claim: names joined by dots, where `\.` is a dot in a name.
///
/// A claim whose name is the whole text goes before the path, so that `https://example.com/roles` is
/// one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath {
    text: String,
    names: Vec<String>,
}

impl ClaimPath {
    /// `None` for what is empty, too long or too deep, has an empty name in it, white space or a
    /// backslash before anything but a dot or a backslash.
    pub fn parse(text: &str) -> Option<Self> {
        let is_odd = |letter: char| letter.is_whitespace() || letter.is_control();
        if text.len() > MAX_PATH_BYTES || text.contains(is_odd) {
            return None;
        }
        let mut names = vec![String::new()];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '.' => names.push(String::new()),
                '\\' => {
                    let escaped = letters.next().filter(|next| matches!(next, '.' | '\\'))?;
                    names.last_mut()?.push(escaped);
                }
                other => names.last_mut()?.push(other),
            }
        }
        let fits = names.len() <= MAX_PATH_NAMES && names.iter().all(|name| !name.is_empty());
        fits.then(|| Self {
            text: text.to_owned(),
            names,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names on the way, from the outside.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Paths by comma.
pub(super) fn claim_paths(text: &str) -> Option<Vec<ClaimPath>> {
    let parts = text.split(',').map(str::trim);
    let paths = parts.map(ClaimPath::parse).collect::<Option<Vec<_>>>()?;
    (paths.len() <= MAX_LISTED).then_some(paths)
}

/// Scopes by space or comma, each of the characters that RFC 6749 has for them.
pub(super) fn scopes(text: &str) -> Option<Vec<String>> {
    let is_scope = |part: &&str| {
        part.bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
    let scopes: Vec<String> = parts
        .map(|part| is_scope(&part).then(|| part.to_owned()))
        .collect::<Option<_>>()?;
    (1..=MAX_LISTED).contains(&scopes.len()).then_some(scopes)
}

/// `issuer` beside `oidc_issuer` may say the same, nothing else.
pub(super) fn check_issuer(
    oidc_issuer: Option<&str>,
    issuer: Option<&str>,
    origins: &BTreeMap<&'static str, Origin>,
    problems: &mut Vec<Problem>,
) {
    let (Some(oidc), Some(issuer)) = (oidc_issuer, issuer) else {
        return;
    };
    if oidc == issuer {
        return;
    }
    let origin = |key| {
        origins
            .get(key)
            .map_or_else(String::new, ToString::to_string)
    };
    problems.push(Problem {
        key: "issuer".into(),
        origin: origin("issuer"),
        found: format!(
            "\"{issuer}\", beside the oidc_issuer \"{oidc}\" (from {})",
            origin("oidc_issuer")
        ),
        allowed: "unset, as oidc_issuer says it; or exactly the same".into(),
    });
}
