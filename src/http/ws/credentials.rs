//! How a live connection says who it is: the first of five ways wins.

use std::{borrow::Cow, sync::Arc};

use http::{Extensions, HeaderMap, header};

use super::BEARER;
use crate::http::{error::ApiError, exchange::RequestContext, identify::bearer_token, state::App};
use mozaiks_auth::{AuthError, Principal};
use mozaiks_realtime::Identity;

/// What a request brought along.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum Presented<'a> {
    /// A token from the header, the subprotocols or the query.
    Token(Cow<'a, str>),
    /// A ticket from the query.
    Ticket(Cow<'a, str>),
    /// Nothing; a socket may still say it in its first message.
    Nothing,
}

impl<'a> Presented<'a> {
    /// The first of: `Authorization`, subprotocols `bearer, <jwt>`, `?ticket=`, and where they are
    /// switched on `?token=` and `?access_token=`.
    ///
    /// # Errors
    /// `AUTH_INVALID` for a header that is there and is no bearer token.
    pub(in crate::http) fn find(
        headers: &'a HeaderMap,
        query: &QueryParameters<'a>,
        query_tokens: bool,
    ) -> Result<Self, ApiError> {
        if headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self::Token(bearer_token(headers)?.into()));
        }
        if let Some(token) = subprotocols(headers)
            .skip_while(|name| !name.eq_ignore_ascii_case(BEARER))
            .nth(1)
        {
            return Ok(Self::Token(token.into()));
        }
        if let Some(ticket) = query.get("ticket") {
            return Ok(Self::Ticket(ticket));
        }
        if query_tokens
            && let Some(token) = query.get("token").or_else(|| query.get("access_token"))
        {
            return Ok(Self::Token(token));
        }
        Ok(Self::Nothing)
    }

    /// Who that is, for whom the request is counted; `None` where nothing was presented.
    ///
    /// # Errors
    /// Those of the token; `TOKEN_INVALID` for a ticket that is unknown, used or too old.
    pub(in crate::http) async fn identify(
        self,
        app: &App,
        request: &Extensions,
    ) -> Result<Option<Identity>, ApiError> {
        let identified = self.verify(app).await;
        let Some(context) = request.get::<Arc<RequestContext>>() else {
            return Err(ApiError::Internal("a request without a context".into()));
        };
        context.counting.outcome(app, identified, user_of)
    }

    async fn verify(self, app: &App) -> Result<Option<Identity>, ApiError> {
        let principal = match self {
            Self::Nothing => return Ok(None),
            Self::Ticket(ticket) => {
                let identity = app.realtime.tickets.redeem(&ticket);
                return identity.map(Some).ok_or(ApiError::Token(AuthError::Invalid(
                    "the ticket is unknown, used or too old",
                )));
            }
            Self::Token(token) => match app.verifier.verify_now(&token) {
                Some(verified) => verified?,
                None => app.verifier.verify(&token).await?,
            },
        };
        Ok(Some(app.realtime.identity_of(&Arc::clone(&principal))))
    }
}

fn user_of(identity: &Option<Identity>) -> Option<&Principal> {
    Some(&*identity.as_ref()?.principal)
}

/// Whether a subprotocol has to be chosen: browsers hang up where they offered some and none is.
pub(super) fn offers_bearer(headers: &HeaderMap) -> bool {
    subprotocols(headers).any(|name| name.eq_ignore_ascii_case(BEARER))
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// A query's parameters, decoded when they are asked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct QueryParameters<'a>(&'a str);

impl<'a> QueryParameters<'a> {
    pub(in crate::http) fn parse(query: &'a str) -> Self {
        Self(query)
    }

    /// The first value of that name.
    pub(in crate::http) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| decode(value))
        })
    }

    /// Whether a parameter says yes.
    pub(in crate::http) fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(&*value, "true" | "1"))
    }
}

/// Percent-decodes a value. One that is not UTF-8 then, or whose escapes are broken, stays as it is:
/// it will not be a token or a position.
fn decode(value: &str) -> Cow<'_, str> {
    if !value.contains(['%', '+']) {
        return value.into();
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return value.into(),
            },
            other => other,
        });
    }
    match String::from_utf8(decoded) {
        Ok(decoded) => decoded.into(),
        Err(_) => value.into(),
    }
}

fn digit(byte: Option<u8>) -> Option<u8> {
    char::from(byte?)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn find(pairs: &[(&'static str, &'static str)], query: &str, query_tokens: bool) -> String {
        let headers = headers(pairs);
        let query = QueryParameters::parse(query);
        match Presented::find(&headers, &query, query_tokens) {
            Ok(Presented::Token(token)) => format!("token {token}"),
            Ok(Presented::Ticket(ticket)) => format!("ticket {ticket}"),
            Ok(Presented::Nothing) => "nothing".into(),
            Err(error) => error.status_and_code().1.into(),
        }
    }

    #[test]
    fn the_first_way_wins() {
        let all = "token=q1&ticket=t1&access_token=q2";
        let header = ("authorization", "Bearer h");
        let protocol = ("sec-websocket-protocol", "chat, bearer, p");
        assert_eq!(find(&[header, protocol], all, true), "token h");
        assert_eq!(find(&[protocol], all, true), "token p");
        assert_eq!(find(&[], all, true), "ticket t1");
        assert_eq!(find(&[], "access_token=q2&token=q1", true), "token q1");
        assert_eq!(find(&[], "access_token=q%2E2", true), "token q.2");
        assert_eq!(find(&[], "access_token=q2&token=q1", false), "nothing");
        assert_eq!(find(&[], "", true), "nothing");
    }

    #[test]
    fn a_header_that_is_no_bearer_token_is_not_passed_over() {
        let basic = ("authorization", "Basic dTpw");
        assert_eq!(find(&[basic], "ticket=t", true), "AUTH_INVALID");
    }

    #[test]
    fn bearer_alone_carries_nothing() {
        let protocol = ("sec-websocket-protocol", "bearer");
        assert_eq!(find(&[protocol], "", true), "nothing");
        assert!(offers_bearer(&headers(&[protocol])));
        assert!(!offers_bearer(&headers(&[(
            "sec-websocket-protocol",
            "graphql-ws"
        )])));
    }

    #[test]
    fn parameters_are_decoded() {
        let query = QueryParameters::parse("since=ab%3A12&recover=true&x=%zz&y=a+b&z=%ff&e");
        assert_eq!(query.get("since").unwrap(), "ab:12");
        assert!(query.flag("recover"));
        assert!(!query.flag("e"));
        assert_eq!(query.get("x").unwrap(), "%zz");
        assert_eq!(query.get("y").unwrap(), "a b");
        assert_eq!(query.get("z").unwrap(), "%ff");
        assert_eq!(query.get("e").unwrap(), "");
        assert_eq!(query.get("missing"), None);
    }
}
