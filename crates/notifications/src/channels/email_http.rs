//! Mail through an HTTP service: one POST of `{from, to, subject, text, html}`.

use futures_util::future::BoxFuture;
use serde_json::json;

use super::{Delivery, SendError, Sender, judge, part, recipient, subject, unreachable_service};

/// Posts mail to a service.
pub(super) struct HttpMailSender {
    client: reqwest::Client,
    url: reqwest::Url,
    token: Option<String>,
    from: String,
}

impl HttpMailSender {
    /// A sender for a service.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn new(
        client: reqwest::Client,
        url: &str,
        token: Option<&str>,
        from: &str,
    ) -> Result<Self, String> {
        let url = url
            .parse()
            .map_err(|error| format!("MOZAIKS_EMAIL_HTTP_URL is no URL: {error}"))?;
        Ok(Self {
            client,
            url,
            token: token.map(str::to_owned),
            from: from.to_owned(),
        })
    }
}

impl Sender for HttpMailSender {
    fn send<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let body = json!({
                "from": self.from,
                "to": recipient(delivery)?,
                "subject": subject(delivery),
                "text": part(delivery, "text"),
                "html": part(delivery, "html"),
            });
            let mut request = self
                .client
                .post(self.url.clone())
                .header("Idempotency-Key", &delivery.dedup_key)
                .json(&body);
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.map_err(unreachable_service)?;
            match judge(answer.status()) {
                // The URL is the operator's: a 404 is a wrong setting, not a lost recipient.
                Err(SendError::Gone(said)) => Err(SendError::Permanent(said)),
                judged => judged,
            }
        })
    }
}
