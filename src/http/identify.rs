//! Who asks: the bearer token of a request, verified.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};

use super::{error::ApiError, exchange::RequestContext, rates::Counting};
use crate::http::state::{App, AppState};
use mozaiks_auth::{AuthError, Principal};

/// The token of the one `Authorization` header.
///
/// # Errors
/// `AUTH_REQUIRED` without the header, `AUTH_INVALID` for two of them, another scheme or no token.
pub(super) fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(ApiError::AuthRequired)?;
    if values.next().is_some() {
        return Err(ApiError::AuthInvalid("there is more than one"));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .ok()
        .filter(|text| text.is_ascii())
        .ok_or(ApiError::AuthInvalid("it holds characters no token has"))?;
    let (scheme, token) = text
        .split_once(' ')
        .ok_or(ApiError::AuthInvalid("it must read: Bearer <token>"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::AuthInvalid("the scheme must be Bearer"));
    }
    let token = token.trim_matches(' ');
    // Without a branch for each byte: a token has hundreds, and the compiler compares many at once.
    let is_one = token
        .bytes()
        .fold(true, |is, byte| is & (byte > b' ') & (byte != b','));
    if token.is_empty() || !is_one {
        return Err(ApiError::AuthInvalid("it must read: Bearer <token>"));
    }
    Ok(token)
}

/// Verifies the request's token, without waiting where the key is known, and counts the request for whom
/// that has shown.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    counting: &Counting,
) -> Result<Arc<Principal>, ApiError> {
    let verified = verify(app, headers).await;
    counting.outcome(app, verified, |principal| Some(&**principal))
}

async fn verify(app: &App, headers: &HeaderMap) -> Result<Arc<Principal>, ApiError> {
    let token = bearer_token(headers)?;
    let verified: Result<_, AuthError> = match app.verifier.verify_now(token) {
        Some(verified) => verified,
        None => app.verifier.verify(token).await,
    };
    Ok(verified?)
}

/// A verified user, as an argument of a handler.
pub struct User(pub Arc<Principal>);

/// A verified user with the role `admin` or `superadmin`, as an argument of a handler.
pub struct Admin(pub Arc<Principal>);

impl FromRequestParts<AppState> for User {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        AppState(app): &AppState,
    ) -> Result<Self, ApiError> {
        let context = parts.extensions.get::<Arc<RequestContext>>();
        let principal = match context {
            Some(context) => authenticate(app, &parts.headers, &context.counting).await?,
            None => return Err(ApiError::Internal("a request without a context".into())),
        };
        app.notifications.directory().note(&principal);
        if let Some(context) = context {
            // Set already where a handler asks twice.
            let _ = context.principal.set(Arc::clone(&principal));
        }
        Ok(Self(principal))
    }
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let User(principal) = User::from_request_parts(parts, state).await?;
        if !principal.is_admin() {
            return Err(ApiError::Forbidden("this needs the role admin"));
        }
        Ok(Self(principal))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for value in ["Bearer t.o.k", "bearer t.o.k", "BEARER  t.o.k "] {
            assert_eq!(
                bearer_token(&headers(&[value])).unwrap(),
                "t.o.k",
                "{value}"
            );
        }
    }

    #[test]
    fn whatever_is_no_single_bearer_token_is_told_apart_from_none() {
        assert!(matches!(
            bearer_token(&headers(&[])),
            Err(ApiError::AuthRequired)
        ));
        let bad: [&[&str]; 7] = [
            &["Basic dTpw"],
            &["Bearer"],
            &["Bearer "],
            &["t.o.k"],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
            &["Bearer a", "Bearer a"],
        ];
        for values in bad {
            let headers = headers(values);
            let found = bearer_token(&headers);
            assert!(
                matches!(found, Err(ApiError::AuthInvalid(_))),
                "{values:?}: {found:?}"
            );
        }
    }
}
