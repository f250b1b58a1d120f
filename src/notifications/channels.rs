//! Channels that leave the gateway: mail, text messages, web push. Each speaks its own protocol
//! behind [`Sender`]; queues, retries and the log are the delivery workers' business.

mod email_http;
mod email_smtp;
mod sms;
mod web_push;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{model::Channel, templates::Parts};

pub(super) use web_push::check_subscription;
pub use web_push::public_key_of as vapid_public_key;

/// What the operator has configured. A channel that is `None` is off.
#[derive(Clone)]
pub struct ChannelsConfig {
    /// Mail.
    pub email: Option<EmailConfig>,
    /// Text messages.
    pub sms: Option<SmsConfig>,
    /// Web push.
    pub push: Option<PushConfig>,
    /// One attempt. `MOZAIKS_DELIVERY_TIMEOUT_SECONDS`
    pub send_timeout: Duration,
}

/// How mail leaves.
#[derive(Clone)]
pub enum EmailConfig {
    /// `smtp://`, `smtp://…?tls=required` or `smtps://user:password@host:port`.
    Smtp {
        /// The server. `MOZAIKS_SMTP_URL`
        url: String,
        /// The sender. `MOZAIKS_EMAIL_FROM`
        from: String,
    },
    /// A service that takes `{from, to, subject, text, html}` as JSON.
    Http {
        /// Where to post. `MOZAIKS_EMAIL_HTTP_URL`
        url: String,
        /// Bearer token. `MOZAIKS_EMAIL_HTTP_TOKEN`
        token: Option<String>,
        /// The sender. `MOZAIKS_EMAIL_FROM`
        from: String,
    },
}

/// A service of Twilio's REST shape.
#[derive(Clone)]
pub struct SmsConfig {
    /// Its base, without `/2010-04-01`. `MOZAIKS_SMS_URL`
    pub url: String,
    /// `MOZAIKS_SMS_ACCOUNT_SID`
    pub account_sid: String,
    /// `MOZAIKS_SMS_AUTH_TOKEN`
    pub auth_token: String,
    /// The sending number. `MOZAIKS_SMS_FROM`
    pub from: String,
}

/// Web push.
#[derive(Clone)]
pub struct PushConfig {
    /// The application server's private key, base64url. `MOZAIKS_VAPID_PRIVATE_KEY`
    pub private_key: String,
    /// `mailto:` or `https:` address of the operator. `MOZAIKS_VAPID_CONTACT`
    pub contact: String,
    /// Hosts (and their subdomains) that browsers may name as push service: the endpoint comes from
    /// the client, and the gateway must not be talked into calling any other. `MOZAIKS_PUSH_HOSTS`
    pub hosts: Vec<String>,
}

impl PushConfig {
    /// The push services of the browsers.
    pub const DEFAULT_HOSTS: [&'static str; 5] = [
        "fcm.googleapis.com",
        "push.services.mozilla.com",
        "notify.windows.com",
        "push.apple.com",
        "push.samsungosp.com",
    ];

    /// Whether a browser's endpoint may be called: HTTPS at a listed host; plain HTTP only where
    /// the loopback itself is listed.
    pub fn allows(&self, endpoint: &str) -> bool {
        let Ok(uri) = endpoint.parse::<http::Uri>() else {
            return false;
        };
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return false;
        };
        let plain_authority = !uri
            .authority()
            .is_some_and(|part| part.as_str().contains('@'));
        let is_listed = self.hosts.iter().any(|listed| {
            host.strip_suffix(listed.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        let is_secure = scheme == "https" || (scheme == "http" && host == "127.0.0.1");
        plain_authority && is_listed && is_secure
    }
}

impl Default for ChannelsConfig {
    fn default() -> Self {
        Self {
            email: None,
            sms: None,
            push: None,
            send_timeout: Duration::from_secs(15),
        }
    }
}

impl std::fmt::Debug for ChannelsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let email = self.email.as_ref().map(|email| match email {
            EmailConfig::Smtp { .. } => "smtp",
            EmailConfig::Http { .. } => "http",
        });
        f.debug_struct("ChannelsConfig")
            .field("email", &email)
            .field("sms", &self.sms.is_some())
            .field("push", &self.push.is_some())
            .field("send_timeout", &self.send_timeout)
            .finish()
    }
}

/// One thing to send to one recipient.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The same for every attempt; passed on so that a service can drop a repetition.
    pub dedup_key: String,
    /// An address, a number, or a browser's subscription.
    pub recipient: Value,
    /// The rendered parts.
    pub parts: Parts,
    /// What a frontend needs to act on it: id, type, metadata.
    pub data: Value,
}

/// Why a delivery did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Trying again may help.
    #[error("{0}")]
    Temporary(String),
    /// Trying again is of no use.
    #[error("{0}")]
    Permanent(String),
    /// The recipient does not exist any more.
    #[error("the recipient is gone: {0}")]
    Gone(String),
}

/// A way out of the gateway.
pub trait Sender: Send + Sync + 'static {
    /// Sends, or says why not. Bounded in time by the caller.
    fn send<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), SendError>>;
}

/// The configured senders.
///
/// # Errors
/// A sentence that names the setting that cannot be used.
pub fn senders(config: &ChannelsConfig) -> Result<BTreeMap<Channel, Arc<dyn Sender>>, String> {
    let client = reqwest::Client::builder()
        .timeout(config.send_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| format!("the HTTP client cannot be built: {error}"))?;
    let mut senders: BTreeMap<Channel, Arc<dyn Sender>> = BTreeMap::new();
    match &config.email {
        Some(EmailConfig::Smtp { url, from }) => {
            let sender = email_smtp::SmtpSender::new(url, from, config.send_timeout)?;
            senders.insert(Channel::Email, Arc::new(sender));
        }
        Some(EmailConfig::Http { url, token, from }) => {
            let sender =
                email_http::HttpMailSender::new(client.clone(), url, token.as_deref(), from)?;
            senders.insert(Channel::Email, Arc::new(sender));
        }
        None => {}
    }
    if let Some(sms) = &config.sms {
        senders.insert(
            Channel::Sms,
            Arc::new(sms::SmsSender::new(client.clone(), sms)?),
        );
    }
    if let Some(push) = &config.push {
        senders.insert(
            Channel::Push,
            Arc::new(web_push::PushSender::new(client, push)?),
        );
    }
    Ok(senders)
}

/// What an HTTP service's answer means for a delivery.
fn judge(status: reqwest::StatusCode) -> Result<(), SendError> {
    let said = format!("the service answered {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        404 | 410 => Err(SendError::Gone(said)),
        408 | 425 | 429 | 500..=599 => Err(SendError::Temporary(said)),
        _ => Err(SendError::Permanent(said)),
    }
}

/// A network error without the URL, which may hold credentials.
fn unreachable_service(error: reqwest::Error) -> SendError {
    SendError::Temporary(format!(
        "the service cannot be reached: {}",
        error.without_url()
    ))
}

/// The part of that name; templates always give all of a channel.
fn part<'a>(delivery: &'a Delivery, name: &str) -> &'a str {
    delivery.parts.get(name).map_or("", String::as_str)
}

fn recipient(delivery: &Delivery) -> Result<&str, SendError> {
    delivery
        .recipient
        .as_str()
        .ok_or_else(|| SendError::Permanent("the delivery has no recipient".into()))
}
