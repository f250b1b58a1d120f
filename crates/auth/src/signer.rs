//! Signs tokens with the configured shared secret: for `mozaiks token` and the lines that development
//! mode prints.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use crate::mapping::put;
use mozaiks_config::{AuthConfig, ClaimPath, KeySource};

/// Life of the tokens in the lines that development mode prints.
const DEV_TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// The claim `user_id`; not empty.
    pub user_id: &'a str,
    /// The claim `username`.
    pub username: Option<&'a str>,
    /// The claim `roles`.
    pub roles: &'a [String],
    /// The claim `app_id`; the configured app where `None`.
    pub app_id: Option<&'a str>,
    /// How long the token is valid.
    pub ttl: Duration,
}

/// Why no token was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The keys of the configuration can only check tokens.
    #[error(
        "the configured {0} can only check tokens; tokens come from whoever holds the private key"
    )]
    PublicKeyOnly(&'static str),
    /// Nothing is configured.
    #[error("no secret is configured: set MOZAIKS_JWT_SECRET, or use --dev")]
    NoKey,
    /// The gateway serves many apps, so a token must name one.
    #[error("the gateway serves many apps (app_id is *): name the token's app")]
    AppRequired,
    /// A token for another app would be refused.
    #[error("this gateway serves the app {0} only")]
    OtherApp(String),
    /// There is no user to speak for.
    #[error("the user must not be empty")]
    NoUser,
    /// The secret or its algorithm cannot be used.
    #[error("the token could not be signed: {0}")]
    Failed(String),
}

/// Signs a token that a gateway of this configuration accepts.
///
/// # Errors
/// See [`SignError`]; each is a sentence for the person who asked.
pub fn sign(config: &AuthConfig, request: &TokenRequest<'_>) -> Result<String, SignError> {
    let (secret, algorithm) = match &config.keys {
        Some(KeySource::Secret { secret, algorithm }) => (secret, algorithm),
        Some(KeySource::PemFile(_)) => return Err(SignError::PublicKeyOnly("public key")),
        Some(KeySource::Oidc(_)) => return Err(SignError::PublicKeyOnly("issuer's keys")),
        Some(KeySource::JwksFile(_) | KeySource::JwksUrl(_)) => {
            return Err(SignError::PublicKeyOnly("JWKS document"));
        }
        None => return Err(SignError::NoKey),
    };
    let app_id = match (config.app_id.as_str(), request.app_id) {
        ("*", None | Some("" | "*")) => return Err(SignError::AppRequired),
        ("*", Some(app)) => app,
        (own, None) => own,
        (own, Some(app)) if own == app => own,
        (own, Some(_)) => return Err(SignError::OtherApp(own.to_owned())),
    };
    if request.user_id.is_empty() {
        return Err(SignError::NoUser);
    }
    let algorithm: Algorithm = algorithm
        .parse()
        .map_err(|_| SignError::Failed(format!("{algorithm} is not an algorithm")))?;
    let now_unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut claims = Map::new();
    claims.insert("iat".into(), now_unix.into());
    let exp = now_unix.saturating_add(request.ttl.as_secs());
    claims.insert("exp".into(), exp.into());
    let texts = [
        ("username", request.username),
        ("iss", config.issuer.as_deref()),
        ("aud", config.audience.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            claims.insert(name.into(), text.into());
        }
    }
    let mapped = &config.claims;
    put_first(
        &mut claims,
        &mapped.user_id,
        "user_id",
        request.user_id.into(),
    );
    put_first(&mut claims, &mapped.app_id, "app_id", app_id.into());
    if !request.roles.is_empty() {
        put_first(&mut claims, &mapped.roles, "roles", json!(request.roles));
    }
    if !mapped.required_scopes.is_empty() {
        claims.insert("scope".into(), mapped.required_scopes.join(" ").into());
    }
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key)
        .map_err(|error| SignError::Failed(error.to_string()))
}

/// Puts a value into the first of the configured claims, else into the usual one.
fn put_first(claims: &mut Map<String, Value>, paths: &[ClaimPath], usual: &str, value: Value) {
    match paths.first() {
        Some(path) => put(claims, path, value),
        None => {
            claims.insert(usual.into(), value);
        }
    }
}

/// A request of the gateway's that development mode shows.
#[derive(Debug, Clone)]
pub struct DevRequest {
    /// Its path; without quotes and spaces.
    pub path: String,
    /// The JSON that is posted; without one it is a GET.
    pub body: Option<String>,
}

/// A command line that sends a request with a token of its own, for development mode. `scheme` is how
/// addresses of the gateway begin.
///
/// # Errors
/// See [`SignError`]; with public keys there is nothing to sign with.
pub fn dev_curl_line(
    config: &AuthConfig,
    scheme: &str,
    address: SocketAddr,
    request: &DevRequest,
) -> Result<String, SignError> {
    let token = dev_token(config, &["admin".to_owned()])?;
    let (host, path) = (reachable(address), &request.path);
    let authorization = format!("-H 'Authorization: Bearer {token}'");
    Ok(match &request.body {
        Some(body) => format!(
            "curl -s -X POST {scheme}://{host}{path} {authorization} \
             -H 'Content-Type: application/json' -d '{body}'"
        ),
        None => format!("curl -s {scheme}://{host}{path} {authorization}"),
    })
}

/// The address of a page of the gateway with a token of its own, for development mode. The token is
/// in the fragment, which browsers send to no server; it has no roles.
///
/// # Errors
/// See [`SignError`].
pub fn dev_page_url(
    config: &AuthConfig,
    scheme: &str,
    address: SocketAddr,
    path: &str,
) -> Result<String, SignError> {
    let token = dev_token(config, &[])?;
    Ok(format!(
        "{scheme}://{}{path}#token={token}",
        reachable(address)
    ))
}

fn dev_token(config: &AuthConfig, roles: &[String]) -> Result<String, SignError> {
    let request = TokenRequest {
        user_id: "dev",
        username: Some("dev"),
        roles,
        app_id: (config.app_id == "*").then_some("default"),
        ttl: DEV_TOKEN_TTL,
    };
    sign(config, &request)
}

/// A socket on all addresses is reached at this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}
