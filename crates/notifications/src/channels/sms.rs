//! Text messages through a service of Twilio's REST shape.

use futures_util::future::BoxFuture;

use super::{Delivery, SendError, Sender, judge, part, recipient, unreachable_service};
use mozaiks_config::SmsConfig;

/// Posts text messages to a service.
pub(super) struct SmsSender {
    client: reqwest::Client,
    url: reqwest::Url,
    config: SmsConfig,
}

impl SmsSender {
    /// A sender for a service.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn new(client: reqwest::Client, config: &SmsConfig) -> Result<Self, String> {
        let is_plain = config
            .account_sid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric());
        if config.account_sid.is_empty() || !is_plain {
            return Err("MOZAIKS_SMS_ACCOUNT_SID must be letters and digits".into());
        }
        let base = config.url.trim_end_matches('/');
        let url = format!(
            "{base}/2010-04-01/Accounts/{}/Messages.json",
            config.account_sid
        )
        .parse()
        .map_err(|error| format!("MOZAIKS_SMS_URL is no URL: {error}"))?;
        Ok(Self {
            client,
            url,
            config: config.clone(),
        })
    }
}

impl Sender for SmsSender {
    fn send<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let form = [
                ("To", recipient(delivery)?),
                ("From", &self.config.from),
                ("Body", part(delivery, "text")),
            ];
            let answer = self
                .client
                .post(self.url.clone())
                .basic_auth(&self.config.account_sid, Some(&self.config.auth_token))
                .header("Idempotency-Key", &delivery.dedup_key)
                .form(&form)
                .send()
                .await
                .map_err(unreachable_service)?;
            match judge(answer.status()) {
                Err(SendError::Gone(said)) => Err(SendError::Permanent(said)),
                judged => judged,
            }
        })
    }
}
