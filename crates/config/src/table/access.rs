//! Who may call: tokens, their keys, origins; and how failures look.

use super::secs;
use crate::{
    keys::{Field, Key, key},
    value,
};

/// The least length of a shared secret, in bytes.
const MIN_SECRET_BYTES: usize = 32;

pub(super) const ACCESS: &[Key] = &[
    key(
        "app_id",
        "MOZAIKS_APP_ID",
        "app-id",
        "The app this gateway serves; `*` serves many and demands the claim `app_id`.",
        Field::Text {
            at: |s| &mut s.config.auth.app_id,
            check: |text| {
                (1..=128).contains(&text.len())
                    && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            },
            allowed: "1 to 128 bytes without spaces, or `*`",
        },
    ),
    key(
        "jwt_secret",
        "MOZAIKS_JWT_SECRET",
        "jwt-secret",
        "Shared secret that signs tokens. Prefer the variable: other users can read flags.",
        Field::OptionalText {
            at: |s| &mut s.jwt_secret,
            check: |text| text.len() >= MIN_SECRET_BYTES,
            allowed: "at least 32 bytes",
        },
    )
    .aliases(&["JWT_SECRET"])
    .secret(),
    key(
        "jwt_algorithm",
        "MOZAIKS_JWT_ALGORITHM",
        "jwt-algorithm",
        "Algorithm of the shared secret; a public key brings its own.",
        Field::Choice {
            at: |s| &mut s.jwt_algorithm,
            of: &["HS256", "HS384", "HS512"],
        },
    )
    .aliases(&["JWT_ALGORITHM"]),
    key(
        "jwt_public_key_file",
        "MOZAIKS_JWT_PUBLIC_KEY_FILE",
        "jwt-public-key-file",
        "Public key in PEM (RSA of at least 2048 bits, P-256, P-384 or Ed25519).",
        Field::OptionalPath(|s| &mut s.jwt_public_key_file),
    ),
    key(
        "jwks_file",
        "MOZAIKS_JWKS_FILE",
        "jwks-file",
        "JWKS document on disk, read again when it changes.",
        Field::OptionalPath(|s| &mut s.jwks_file),
    ),
    key(
        "jwks_url",
        "MOZAIKS_JWKS_URL",
        "jwks-url",
        "JWKS document behind a URL, fetched again on an unknown `kid`.",
        Field::OptionalText {
            at: |s| &mut s.jwks_url,
            check: value::is_safe_url,
            allowed: "an https:// URL, or http:// on this machine",
        },
    )
    .uri(),
    key(
        "jwks_min_refresh_seconds",
        "MOZAIKS_JWKS_MIN_REFRESH_SECONDS",
        "jwks-min-refresh-seconds",
        "Least time between two fetches of the JWKS URL.",
        Field::Seconds {
            at: |s| &mut s.config.auth.jwks_min_refresh,
            min: secs(1),
            max: secs(3600),
        },
    ),
    key(
        "issuer",
        "MOZAIKS_ISSUER",
        "issuer",
        "Expected `iss`; not checked where unset.",
        Field::OptionalText {
            at: |s| &mut s.config.auth.issuer,
            check: |text| !text.trim().is_empty(),
            allowed: "a text",
        },
    ),
    key(
        "audience",
        "MOZAIKS_AUDIENCE",
        "audience",
        "Expected `aud`; not checked where unset.",
        Field::OptionalText {
            at: |s| &mut s.config.auth.audience,
            check: |text| !text.trim().is_empty(),
            allowed: "a text",
        },
    ),
    key(
        "jwt_leeway_seconds",
        "MOZAIKS_JWT_LEEWAY_SECONDS",
        "jwt-leeway-seconds",
        "Clock difference that `exp` and `nbf` forgive.",
        Field::Seconds {
            at: |s| &mut s.config.auth.leeway,
            min: secs(0),
            max: secs(300),
        },
    ),
    key(
        "token_cache_size",
        "MOZAIKS_TOKEN_CACHE_SIZE",
        "token-cache-size",
        "Verified tokens kept; 0 verifies every token anew.",
        Field::Count {
            at: |s| &mut s.config.auth.token_cache_size,
            min: 0,
            max: 1_000_000,
        },
    ),
    key(
        "cors_origins",
        "MOZAIKS_CORS_ORIGINS",
        "cors-origins",
        "Origins of browsers that are let in, by comma; serves CORS and the WebSocket check alike.",
        Field::Origins(|s| &mut s.config.server.cors_origins),
    ),
    key(
        "domain_errors_as_200",
        "MOZAIKS_DOMAIN_ERRORS_AS_200",
        "domain-errors-as-200",
        "Answer 200 where a plugin returns an `error`, for clients that want it.",
        Field::Switch(|s| &mut s.config.server.domain_errors_as_200),
    ),
];
