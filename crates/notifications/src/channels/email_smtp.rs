//! Mail by SMTP, with `lettre`.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
};

use super::{Delivery, SendError, Sender, part, recipient, subject};

/// Sends mail through one server.
pub(super) struct SmtpSender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpSender {
    /// A sender for a server's URL.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn new(url: &str, from: &str, timeout: Duration) -> Result<Self, String> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| format!("MOZAIKS_SMTP_URL cannot be used: {error}"))?
            .timeout(Some(timeout))
            .build();
        let from = from
            .parse()
            .map_err(|error| format!("MOZAIKS_EMAIL_FROM is no mail address: {error}"))?;
        Ok(Self { transport, from })
    }

    fn message(&self, delivery: &Delivery) -> Result<Message, SendError> {
        let permanent = |error: String| SendError::Permanent(error);
        let to = recipient(delivery)?
            .parse::<lettre::Address>()
            .map_err(|error| permanent(format!("the address cannot be used: {error}")))?;
        let domain = self.from.email.domain();
        let body = MultiPart::alternative_plain_html(
            part(delivery, "text").to_owned(),
            part(delivery, "html").to_owned(),
        );
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject(delivery))
            .message_id(Some(format!(
                "<{}@{domain}>",
                delivery.dedup_key.replace(':', ".")
            )))
            .multipart(body)
            .map_err(|error| permanent(format!("the mail cannot be built: {error}")))
    }
}

impl Sender for SmtpSender {
    fn send<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let message = self.message(delivery)?;
            match self.transport.send(message).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_permanent() => Err(SendError::Permanent(format!(
                    "the mail server refused: {error}"
                ))),
                Err(error) => Err(SendError::Temporary(format!(
                    "the mail did not go out: {error}"
                ))),
            }
        })
    }
}
