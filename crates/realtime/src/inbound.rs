//! What clients may say: `ping`, `auth`, and messages for plugins.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::json;

use super::{message::Message, services::MessageRouter};
use mozaiks_auth::Principal;
use mozaiks_json_text::body::{BodyError, MAX_DEPTH, check_object};

/// Longest `type` of a message, in bytes.
const MAX_TYPE_BYTES: usize = 128;

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage<'a> {
    Ping,
    Auth { token: Cow<'a, str> },
    Other { message_type: Cow<'a, str> },
}

/// Why something is no message; answered, not punished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) error_code: &'static str,
    pub(super) error: &'static str,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    message_type: Cow<'a, str>,
    #[serde(borrow, default)]
    token: Option<Token<'a>>,
}

/// A token only where it is a string: plugins' own messages may use the key for something else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

/// Reads a text message.
pub(super) fn parse(text: &str) -> Result<ClientMessage<'_>, Rejected> {
    const NOT_A_MESSAGE: Rejected = Rejected {
        error_code: "INVALID_REQUEST",
        error: "a message is a JSON object with one string under \"type\"",
    };
    const NOT_JSON: Rejected = Rejected {
        error_code: "INVALID_JSON",
        error: "the message is not valid JSON, is nested deeper than 64, or holds a number or text \
                that has no value",
    };
    if text.is_empty() {
        return Err(NOT_JSON);
    }
    // By the same grammar as calls, whole: what serde skips it hardly looks at, and a handler would
    // fail on it.
    check_object(text.as_bytes(), MAX_DEPTH).map_err(|error| match error {
        BodyError::Invalid(_) | BodyError::Sink(_) => NOT_JSON,
        BodyError::WrongType(_) => NOT_A_MESSAGE,
    })?;
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| NOT_A_MESSAGE)?;
    match (&*head.message_type, head.token) {
        ("ping", _) => Ok(ClientMessage::Ping),
        ("auth", Some(Token::Text(token))) => Ok(ClientMessage::Auth { token }),
        ("auth", Some(Token::Other(_)) | None) => Err(Rejected {
            error_code: "INVALID_REQUEST",
            error: "an auth message has a string under \"token\"",
        }),
        (name, _) if name.is_empty() || name.len() > MAX_TYPE_BYTES => Err(Rejected {
            error_code: "INVALID_REQUEST",
            error: "a message's type has 1 to 128 bytes",
        }),
        _ => Ok(ClientMessage::Other {
            message_type: head.message_type,
        }),
    }
}

/// What a user is told who sends too many; pings are free, as who is told nothing connects anew.
pub(super) fn over_rate(
    router: &dyn MessageRouter,
    sender: &Principal,
    said: &Result<ClientMessage<'_>, Rejected>,
) -> Option<Arc<Message>> {
    let message_type = match said {
        Ok(ClientMessage::Ping) => return None,
        Ok(ClientMessage::Other { message_type }) => Some(&**message_type),
        Ok(ClientMessage::Auth { .. }) | Err(_) => None,
    };
    let failure = router.count(sender).err()?;
    let message = error_message(failure.error_code, &failure.error, message_type);
    Some(message)
}

/// What a client is told when its message was not taken or its handler failed.
pub(super) fn error_message(
    error_code: &str,
    error: &str,
    message_type: Option<&str>,
) -> Arc<Message> {
    let mut value = json!({"type": "error", "error_code": error_code, "error": error});
    if let Some(message_type) = message_type {
        value["message_type"] = message_type.into();
    }
    Message::from_value(&value, usize::MAX).expect("invariant: an object of strings is a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_messages_are_recognised() {
        assert_eq!(parse(r#"{"type":"ping","t":1}"#), Ok(ClientMessage::Ping));
        assert_eq!(
            parse(r#"{"token":"a.b\u002ec","type":"auth"}"#),
            Ok(ClientMessage::Auth {
                token: "a.b.c".into()
            })
        );
        assert_eq!(
            parse(r#"{"type":"chat","token":{"x":[1]},"data":null}"#),
            Ok(ClientMessage::Other {
                message_type: "chat".into()
            })
        );
    }

    #[test]
    fn everything_else_is_named() {
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(129));
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            format!(r#"{{"type":"ping","x":{open}{close}}}"#)
        };
        assert_eq!(parse(&nested(64)), Ok(ClientMessage::Ping));
        let digits = format!(r#"{{"type":"a","n":{}}}"#, "7".repeat(5000));
        for (text, code) in [
            ("", "INVALID_JSON"),
            (&nested(65), "INVALID_JSON"),
            (&nested(10_000), "INVALID_JSON"),
            (&digits, "INVALID_JSON"),
            (r#"{"type":"a","x":1e999}"#, "INVALID_JSON"),
            (r#"{"type":"a","x":["\ud800"]}"#, "INVALID_JSON"),
            (r#"{"type":"a","\udc00":1}"#, "INVALID_JSON"),
            ("{", "INVALID_JSON"),
            (r#"{"type":"ping"} x"#, "INVALID_JSON"),
            ("[]", "INVALID_REQUEST"),
            (r#" ["ping"]"#, "INVALID_REQUEST"),
            ("1", "INVALID_REQUEST"),
            ("{}", "INVALID_REQUEST"),
            (r#"{"type":1}"#, "INVALID_REQUEST"),
            (
                r#"{"type":"a","type":"auth","token":"x"}"#,
                "INVALID_REQUEST",
            ),
            (r#"{"type":""}"#, "INVALID_REQUEST"),
            (r#"{"type":"auth"}"#, "INVALID_REQUEST"),
            (r#"{"type":"auth","token":7}"#, "INVALID_REQUEST"),
            (&long, "INVALID_REQUEST"),
        ] {
            assert_eq!(parse(text).unwrap_err().error_code, code, "{text}");
        }
    }
}
