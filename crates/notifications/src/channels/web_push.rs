//! Web push: the payload encrypted for the browser (RFC 8291), the request signed with the
//! application server's key (RFC 8292), both by `web-push-native`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use web_push_native::{
    Auth, WebPushBuilder,
    jwt_simple::{
        algorithms::{ECDSAP256KeyPairLike, ES256KeyPair},
        claims::Claims,
    },
    p256::PublicKey,
};

use super::{Delivery, SendError, Sender, judge, part, unreachable_service};
use mozaiks_config::PushConfig;

/// A push service takes 4096 bytes of encrypted payload; this much of it is ours.
const MAX_PAYLOAD_BYTES: usize = 3800;

/// How long a signature is good for; push services take at most a day.
const VAPID_VALIDITY: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

/// Sends to browsers through the push services that they name.
pub(super) struct PushSender {
    client: reqwest::Client,
    key: ES256KeyPair,
    config: PushConfig,
}

/// The public key that browsers subscribe with, base64url of the uncompressed point.
///
/// # Errors
/// A sentence that names the setting.
pub fn public_key_of(config: &PushConfig) -> Result<String, String> {
    let key = key_pair(config)?;
    let public = key.key_pair().public_key();
    Ok(URL_SAFE_NO_PAD.encode(public.to_bytes_uncompressed()))
}

fn key_pair(config: &PushConfig) -> Result<ES256KeyPair, String> {
    let wrong = "MOZAIKS_VAPID_PRIVATE_KEY must be a P-256 private key of 32 bytes in base64url";
    let bytes = decode(&config.private_key).ok_or(wrong)?;
    ES256KeyPair::from_bytes(&bytes).map_err(|_| wrong.to_owned())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Checks what a browser sends to subscribe.
///
/// # Errors
/// A sentence that names the part that is wrong.
pub(crate) fn check_subscription(
    config: &PushConfig,
    endpoint: &str,
    p256dh: &str,
    auth: &str,
) -> Result<(), &'static str> {
    if endpoint.len() > 2048 || !config.allows(endpoint) {
        return Err("endpoint must be the HTTPS URL of a known push service");
    }
    if decode(p256dh).is_none_or(|bytes| PublicKey::from_sec1_bytes(&bytes).is_err()) {
        return Err("keys.p256dh must be a P-256 public key in base64url");
    }
    if decode(auth).is_none_or(|bytes| bytes.len() != 16) {
        return Err("keys.auth must be 16 bytes in base64url");
    }
    Ok(())
}

impl PushSender {
    /// A sender with the application server's key.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn new(client: reqwest::Client, config: &PushConfig) -> Result<Self, String> {
        if !config.contact.starts_with("mailto:") && !config.contact.starts_with("https://") {
            return Err("MOZAIKS_VAPID_CONTACT must start with mailto: or https://".into());
        }
        Ok(Self {
            client,
            key: key_pair(config)?,
            config: config.clone(),
        })
    }

    /// The VAPID header. Signed here, as the crate leaves the port out of the audience, which is the
    /// push service's origin (RFC 8292, section 2).
    fn authorization(&self, endpoint: &http::Uri) -> Option<http::HeaderValue> {
        let origin = format!("{}://{}", endpoint.scheme_str()?, endpoint.authority()?);
        let claims = Claims::create(VAPID_VALIDITY.into())
            .with_audience(origin)
            .with_subject(&self.config.contact);
        let token = self.key.sign(claims).ok()?;
        let public = self.key.key_pair().public_key().to_bytes_uncompressed();
        let key = URL_SAFE_NO_PAD.encode(public);
        format!("vapid t={token}, k={key}").parse().ok()
    }

    fn request(&self, delivery: &Delivery) -> Result<reqwest::Request, SendError> {
        let permanent = |what: &str| SendError::Permanent(what.to_owned());
        let field = |name: &str| delivery.recipient.get(name).and_then(Value::as_str);
        let endpoint =
            field("endpoint").ok_or_else(|| permanent("the subscription has no endpoint"))?;
        if !self.config.allows(endpoint) {
            return Err(permanent(
                "the push service is not on the list of known ones",
            ));
        }
        let public = field("p256dh")
            .and_then(decode)
            .and_then(|bytes| PublicKey::from_sec1_bytes(&bytes).ok())
            .ok_or_else(|| permanent("the subscription's key is none"))?;
        let secret = field("auth")
            .and_then(decode)
            .filter(|bytes| bytes.len() == 16)
            .ok_or_else(|| permanent("the subscription's secret is none"))?;
        let uri = endpoint
            .parse()
            .map_err(|_| permanent("the endpoint is no URI"))?;
        let uri: http::Uri = uri;
        let authorization = self
            .authorization(&uri)
            .ok_or_else(|| permanent("the push cannot be signed"))?;
        let mut signed = WebPushBuilder::new(uri, public, Auth::clone_from_slice(&secret))
            .build(payload(delivery))
            .map_err(|error| permanent(&format!("the push cannot be encrypted: {error}")))?;
        signed
            .headers_mut()
            .insert(http::header::AUTHORIZATION, authorization);
        reqwest::Request::try_from(signed)
            .map_err(|error| SendError::Permanent(error.without_url().to_string()))
    }
}

/// What the service worker gets. Metadata goes where all of it would be too much for a push.
fn payload(delivery: &Delivery) -> Vec<u8> {
    let mut value = json!({
        "title": part(delivery, "title"),
        "body": part(delivery, "body"),
        "data": delivery.data,
    });
    let mut bytes = value.to_string().into_bytes();
    if bytes.len() > MAX_PAYLOAD_BYTES {
        value["data"] = json!({ "id": delivery.data["id"], "type": delivery.data["type"] });
        bytes = value.to_string().into_bytes();
    }
    if bytes.len() > MAX_PAYLOAD_BYTES {
        let body: String = part(delivery, "body").chars().take(700).collect();
        let title: String = part(delivery, "title").chars().take(200).collect();
        value["body"] = Value::String(body);
        value["title"] = Value::String(title);
        bytes = value.to_string().into_bytes();
    }
    bytes
}

impl Sender for PushSender {
    fn send<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let request = self.request(delivery)?;
            let answer = self
                .client
                .execute(request)
                .await
                .map_err(unreachable_service)?;
            judge(answer.status())
        })
    }
}
