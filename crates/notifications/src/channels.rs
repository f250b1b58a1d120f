//! Channels that leave the gateway: mail, text messages, web push. Each speaks its own protocol
//! behind [`Sender`]; queues, retries and the log are the delivery workers' business.

mod email_http;
mod email_smtp;
mod sms;
mod web_push;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{model::Channel, templates::Parts};
use mozaiks_config::{ChannelsConfig, EmailConfig};

pub(super) use web_push::check_subscription;
pub use web_push::public_key_of as vapid_public_key;

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
    // Made where a channel needs it: a client reads the system's certificates, which takes longer than
    // most of the start.
    let client = || {
        reqwest::Client::builder()
            .timeout(config.send_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("the HTTP client cannot be built: {error}"))
    };
    let mut senders: BTreeMap<Channel, Arc<dyn Sender>> = BTreeMap::new();
    match &config.email {
        Some(EmailConfig::Smtp { url, from }) => {
            let sender = email_smtp::SmtpSender::new(url, from, config.send_timeout)?;
            senders.insert(Channel::Email, Arc::new(sender));
        }
        Some(EmailConfig::Http { url, token, from }) => {
            let sender = email_http::HttpMailSender::new(client()?, url, token.as_deref(), from)?;
            senders.insert(Channel::Email, Arc::new(sender));
        }
        None => {}
    }
    if let Some(sms) = &config.sms {
        senders.insert(Channel::Sms, Arc::new(sms::SmsSender::new(client()?, sms)?));
    }
    if let Some(push) = &config.push {
        senders.insert(
            Channel::Push,
            Arc::new(web_push::PushSender::new(client()?, push)?),
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

/// The address or number: one line, whoever stored it.
fn recipient(delivery: &Delivery) -> Result<&str, SendError> {
    let recipient = delivery.recipient.as_str();
    let recipient =
        recipient.ok_or_else(|| SendError::Permanent("the delivery has no recipient".into()))?;
    if recipient.chars().any(char::is_control) {
        return Err(SendError::Permanent("the address cannot be used".into()));
    }
    Ok(recipient)
}

/// A mail's subject. A header is one line, whatever the title holds.
fn subject(delivery: &Delivery) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    part(delivery, "subject").replace(is_break, " ")
}
