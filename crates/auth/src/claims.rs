//! The claims of a token whose signature is checked: are they acceptable now and here, and who do
//! they speak for.

use std::{fmt, sync::Arc, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{AuthError, Principal, VerifiedContacts, mapping::ClaimMapping};
use mozaiks_config::{AuthConfig, KeySource};

/// The app id that stands for "many apps" in the configuration.
const ANY_APP: &str = "*";

/// What claims must fulfil.
#[derive(Debug)]
pub(super) struct ClaimRules {
    /// `None` where the gateway serves many apps.
    app_id: Option<Arc<str>>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway_seconds: u64,
    mapping: ClaimMapping,
}

impl ClaimRules {
    pub(super) fn new(config: &AuthConfig) -> Self {
        Self {
            app_id: (config.app_id != ANY_APP).then(|| Arc::from(config.app_id.as_str())),
            issuer: match &config.keys {
                Some(KeySource::Oidc(issuer)) => Some(issuer.clone()),
                _ => config.issuer.clone(),
            },
            audience: config.audience.clone(),
            leeway_seconds: whole_seconds_up(config.leeway),
            mapping: ClaimMapping::new(&config.claims),
        }
    }

    /// Whether a token with this `exp` is over.
    pub(super) fn is_expired(&self, expires_at_unix: u64, now_unix: u64) -> bool {
        now_unix >= expires_at_unix.saturating_add(self.leeway_seconds)
    }

    /// Reads the payload and checks it.
    pub(super) fn principal(&self, payload: &[u8], now_unix: u64) -> Result<Principal, AuthError> {
        let Claims(claims) = serde_json::from_slice(payload)
            .map_err(|_| AuthError::Invalid("its payload is not a JSON object of claims"))?;

        let expires_at_unix = match claims.get("exp") {
            None => return Err(AuthError::Invalid("the claim exp is missing")),
            Some(value) => seconds(value).ok_or(AuthError::Invalid(
                "the claim exp must be a number of seconds",
            ))?,
        };
        if self.is_expired(expires_at_unix, now_unix) {
            return Err(AuthError::Expired);
        }
        if let Some(value) = present(&claims, "nbf") {
            let not_before = seconds(value).ok_or(AuthError::Invalid(
                "the claim nbf must be a number of seconds",
            ))?;
            if not_before > now_unix.saturating_add(self.leeway_seconds) {
                return Err(AuthError::NotYetValid);
            }
        }
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let app_id = self.app_id(&claims)?;
        let user_id = self.mapping.user_id(&claims)?;
        let username = username(&claims)?;
        let roles = self.mapping.roles(&claims)?;
        let is_superadmin = match present(&claims, "is_superadmin") {
            None => false,
            Some(Value::Bool(claim)) => *claim,
            Some(_) => {
                return Err(AuthError::Invalid(
                    "the claim is_superadmin must be true or false",
                ));
            }
        };
        self.mapping.check_scopes(&claims)?;
        Ok(Principal {
            app_id,
            user_id,
            username,
            is_superadmin: is_superadmin || roles.iter().any(|role| &**role == "superadmin"),
            roles,
            expires_at_unix,
            verified: VerifiedContacts {
                email: verified(&claims, "email", "email_verified"),
                phone: verified(&claims, "phone_number", "phone_number_verified"),
            },
        })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), AuthError> {
        let Some(expected) = &self.issuer else {
            return Ok(());
        };
        match present(claims, "iss") {
            Some(Value::String(issuer)) if issuer == expected => Ok(()),
            _ => Err(AuthError::Invalid(
                "the claim iss is not the expected issuer",
            )),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), AuthError> {
        let Some(expected) = &self.audience else {
            return Ok(());
        };
        let is_meant = match present(claims, "aud") {
            Some(Value::String(audience)) => audience == expected,
            Some(Value::Array(audiences)) => {
                audiences.iter().all(Value::is_string)
                    && audiences.iter().any(|one| one.as_str() == Some(expected))
            }
            _ => false,
        };
        if is_meant {
            Ok(())
        } else {
            Err(AuthError::Invalid(
                "the claim aud does not name this audience",
            ))
        }
    }

    fn app_id(&self, claims: &Map<String, Value>) -> Result<Arc<str>, AuthError> {
        match (&self.app_id, self.mapping.app_id(claims)?) {
            (Some(own), None) => Ok(Arc::clone(own)),
            (Some(own), Some(claim)) if **own == *claim => Ok(Arc::clone(own)),
            (Some(_), Some(_)) => Err(AuthError::AppMismatch),
            (None, Some(ANY_APP)) => Err(AuthError::Invalid("it must name one app")),
            (None, Some(claim)) => Ok(Arc::from(claim)),
            (None, None) => Err(self.mapping.no_app()),
        }
    }
}

/// A claim that is there; null counts as absent.
pub(super) fn present<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

/// A point in time, in whole seconds since 1970; before that counts as 0, far ahead as the end.
fn seconds(value: &Value) -> Option<u64> {
    let Value::Number(number) = value else {
        return None;
    };
    if let Some(seconds) = number.as_u64() {
        return Some(seconds);
    }
    let seconds = number.as_f64().filter(|seconds| seconds.is_finite())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates at both ends, which is what is meant"
    )]
    Some(seconds as u64)
}

fn whole_seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn username(claims: &Map<String, Value>) -> Result<Option<Arc<str>>, AuthError> {
    let sentences = [
        ("username", "the claim username must be a string"),
        (
            "preferred_username",
            "the claim preferred_username must be a string",
        ),
        ("email", "the claim email must be a string"),
    ];
    for (name, sentence) in sentences {
        match present(claims, name) {
            None => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => return Ok(Some(Arc::from(text.as_str()))),
            Some(_) => return Err(AuthError::Invalid(sentence)),
        }
    }
    Ok(None)
}

/// An address whose companion claim says that it was verified: `true`, or as some issuers write it the
/// text `"true"`. Of any other shape it is none; the token is as good without.
fn verified(claims: &Map<String, Value>, address: &str, is_verified: &str) -> Option<Arc<str>> {
    let said = match claims.get(is_verified)? {
        Value::Bool(said) => *said,
        Value::String(text) => text == "true",
        _ => false,
    };
    let address = claims.get(address)?.as_str()?;
    (said && !address.is_empty()).then(|| Arc::from(address))
}

/// Claims by name. A name that stands twice is refused: which one counts would be a guess.
struct Claims(Map<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClaimsVisitor;

        impl<'de> Visitor<'de> for ClaimsVisitor {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Claims, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim stands twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }

        deserializer.deserialize_map(ClaimsVisitor)
    }
}
