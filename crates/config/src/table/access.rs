//! Who may call: tokens, their keys, origins; and how failures look.

use super::secs;
use crate::{
    keys::{
        Key, choice, claims, count, key, optional_path, optional_text, origins, scopes, seconds,
        switch, text,
    },
    value,
};

/// The least length of a shared secret, in bytes.
const MIN_SECRET_BYTES: usize = 32;

pub(super) const ACCESS: &[Key] = &[
    key!(
        "app_id",
        "The app this gateway serves; `*` serves many and demands the claim `app_id`.",
        text(
            |s| &mut s.config.auth.app_id,
            |text| {
                (1..=128).contains(&text.len())
                    && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            },
            "1 to 128 bytes without spaces, or `*`"
        ),
    ),
    key!(
        "jwt_secret",
        "Shared secret that signs tokens. Prefer the variable: other users can read flags.",
        optional_text(
            |s| &mut s.jwt_secret,
            |text| text.len() >= MIN_SECRET_BYTES,
            "at least 32 bytes"
        ),
    )
    .aliases(&["JWT_SECRET", "JWT_SECRET_KEY"])
    .secret(),
    key!(
        "jwt_algorithm",
        "Algorithm of the shared secret; a public key brings its own.",
        choice(|s| &mut s.jwt_algorithm, &["HS256", "HS384", "HS512"]),
    )
    .aliases(&["JWT_ALGORITHM"]),
    key!(
        "jwt_public_key_file",
        "Public key in PEM (RSA of at least 2048 bits, P-256, P-384 or Ed25519).",
        optional_path(|s| &mut s.jwt_public_key_file),
    ),
    key!(
        "jwks_file",
        "JWKS document on disk, read again when it changes.",
        optional_path(|s| &mut s.jwks_file),
    ),
    key!(
        "jwks_url",
        "JWKS document behind a URL, fetched again on an unknown `kid`.",
        optional_text(
            |s| &mut s.jwks_url,
            value::is_safe_url,
            "an https:// URL, or http:// on this machine"
        ),
    )
    .aliases(&["MOZAIKS_PLATFORM_JWKS_URL"])
    .uri(),
    key!(
        "oidc_issuer",
        "Issuer of OIDC tokens: its discovery document names keys and algorithms, and `iss` must be it.",
        optional_text(
            |s| &mut s.oidc_issuer,
            value::is_issuer,
            "an https:// URL without a query, or http:// on this machine"
        ),
    ),
    key!(
        "jwks_min_refresh_seconds",
        "Least time between two fetches of the issuer's keys or the JWKS URL.",
        seconds(|s| &mut s.config.auth.jwks_min_refresh, secs(1), secs(3600)),
    ),
    key!(
        "issuer",
        "Expected `iss`; where unset it is that of `oidc_issuer`, or not checked.",
        optional_text(
            |s| &mut s.config.auth.issuer,
            |text| !text.trim().is_empty(),
            "a text"
        ),
    )
    .aliases(&["MOZAIKS_PLATFORM_ISSUER", "MOZAIKS_PLATFORM_JWT_ISSUER"]),
    key!(
        "audience",
        "Expected `aud`; not checked where unset.",
        optional_text(
            |s| &mut s.config.auth.audience,
            |text| !text.trim().is_empty(),
            "a text"
        ),
    )
    .aliases(&["MOZAIKS_PLATFORM_AUDIENCE", "MOZAIKS_PLATFORM_JWT_AUDIENCE"]),
    key!(
        "user_id_claim",
        "Claims of the user's id, of which the first that is there counts; unset: `user_id`, else `sub`, else `uid`.",
        claims(|s| &mut s.config.auth.claims.user_id),
    )
    .aliases(&["MOZAIKS_PLATFORM_USER_ID_CLAIM"]),
    key!(
        "roles_claim",
        "Claims of roles, joined: lists, or texts with spaces between; unset: `roles`, else `realm_access.roles`.",
        claims(|s| &mut s.config.auth.claims.roles),
    )
    .aliases(&["MOZAIKS_PLATFORM_ROLES_CLAIM"]),
    key!(
        "app_id_claim",
        "Claims of the app, of which the first that is there counts; unset: `app_id`.",
        claims(|s| &mut s.config.auth.claims.app_id),
    ),
    key!(
        "required_scopes",
        "Scopes that every token must have in `scope` or `scp`.",
        scopes(|s| &mut s.config.auth.claims.required_scopes),
    ),
    key!(
        "jwt_leeway_seconds",
        "Clock difference that `exp` and `nbf` forgive.",
        seconds(|s| &mut s.config.auth.leeway, secs(0), secs(300)),
    ),
    key!(
        "token_cache_size",
        "Verified tokens kept; 0 verifies every token anew.",
        count(|s| &mut s.config.auth.token_cache_size, 0, 1_000_000),
    ),
    key!(
        "cors_origins",
        "Origins of browsers that are let in, by comma; serves CORS and the WebSocket check alike.",
        origins(|s| &mut s.config.server.cors_origins),
    ),
    key!(
        "domain_errors_as_200",
        "Answer 200 where a plugin returns an `error`, for clients that want it.",
        switch(|s| &mut s.config.server.domain_errors_as_200),
    ),
];
