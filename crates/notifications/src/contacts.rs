//! Addresses that belong to their users: those that the issuer of the token has verified, and those
//! that the user has confirmed with a code. Nothing but such a code is sent to any other.
//!
//! A code goes straight to its sender, past the queue: it is stored nowhere but as a keyed hash.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use bson::DateTime;
use serde_json::{Map, Value, json};

use super::{
    channels::{Delivery, SendError},
    manager::NotificationsManager,
    model::{Channel, Draft, NotificationError},
    preferences::{Contact, Digest, Preferences},
    repository::{PendingCode, Repository},
    templates::Templates,
    views::ContactView,
};

/// How long a code is good for.
const CODE_VALID: Duration = Duration::from_secs(10 * 60);
/// Guesses at one code.
const CODE_ATTEMPTS: i32 = 5;
/// Codes that one user may ask for in an hour, and that may go to one address, whoever asks.
const CODES_AN_HOUR: i32 = 5;
/// Digits of a code.
const CODE_DIGITS: u32 = 8;

/// A code that was sent, or none as there was no need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Where it went.
    pub address: String,
    /// Whether the address needs no code any more.
    pub confirmed: bool,
}

impl NotificationsManager {
    /// Where a user can be reached on a channel; else why not.
    pub(super) async fn address(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
        preferences: &Preferences,
    ) -> Result<Result<String, &'static str>, NotificationError> {
        let wanted = preferences.contact(contact);
        if let Some(wanted) = wanted
            && preferences.confirmed.get(&contact).map(String::as_str) == Some(wanted)
        {
            return Ok(Ok(wanted.to_owned()));
        }
        let verified = self
            .repository
            .verified_address(app_id, user_id, contact)
            .await?;
        Ok(match (verified, wanted, contact) {
            (Some(verified), _, _) => Ok(verified),
            (None, Some(_), Contact::Email) => Err("the user's mail address is not confirmed"),
            (None, None, Contact::Email) => Err("the user has no mail address"),
            (None, Some(_), Contact::Phone) => Err("the user's phone number is not confirmed"),
            (None, None, Contact::Phone) => Err("the user has no phone number"),
        })
    }

    /// Where a user's digest goes; else why it cannot now.
    pub(super) async fn digest_address(
        &self,
        app_id: &str,
        user_id: &str,
        preferences: &Preferences,
    ) -> Result<Result<String, &'static str>, NotificationError> {
        if self.config.channels.email.is_none() {
            return Ok(Err("this channel is not configured"));
        }
        if preferences.channels.get(&Channel::Email) == Some(&false) {
            return Ok(Err("the user has turned this channel off"));
        }
        self.address(app_id, user_id, Contact::Email, preferences)
            .await
    }

    /// Whether a notification created now is told in the user's next digest.
    pub(super) async fn waits_for_digest(
        &self,
        app_id: &str,
        user_id: &str,
        preferences: &Preferences,
    ) -> Result<bool, NotificationError> {
        if preferences.digest == Digest::Off {
            return Ok(false);
        }
        let address = self.digest_address(app_id, user_id, preferences).await?;
        Ok(address.is_ok())
    }

    /// What is known of a user's addresses: `{"email": {"address", "confirmed"}, "phone": …}`, where
    /// the address is the one that is used, else the one that waits to be confirmed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn contacts(
        &self,
        app_id: &str,
        user_id: &str,
        preferences: &Preferences,
    ) -> Result<BTreeMap<&'static str, ContactView>, NotificationError> {
        let mut all = BTreeMap::new();
        for contact in Contact::ALL {
            let used = self.address(app_id, user_id, contact, preferences).await?;
            let confirmed = used.is_ok();
            let address = match used {
                Ok(address) => Some(address),
                Err(_) => preferences.contact(contact).map(str::to_owned),
            };
            all.insert(contact.as_str(), ContactView { address, confirmed });
        }
        Ok(all)
    }

    /// Sends a code to the address that the user's preferences name.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] where they name none or the channel is off,
    /// [`NotificationError::TooMany`] for too many codes, [`NotificationError::NotSent`].
    pub async fn request_code(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
    ) -> Result<Confirmation, NotificationError> {
        let preferences = self.repository.preferences(app_id, user_id).await?;
        let path = contact.as_str();
        let Some(address) = preferences.contact(contact) else {
            return Err(NotificationError::invalid(
                path,
                "the preferences name no address to confirm",
            ));
        };
        let used = self.address(app_id, user_id, contact, &preferences).await?;
        if used.as_deref() == Ok(address) {
            return Ok(Confirmation {
                address: address.to_owned(),
                confirmed: true,
            });
        }
        let channel = contact.channel();
        let sender = self.senders.get().and_then(|senders| senders.get(&channel));
        let Some(sender) = sender else {
            return Err(NotificationError::invalid(
                path,
                "this channel is not configured",
            ));
        };
        for who in [
            format!("user\0{app_id}\0{user_id}"),
            format!("address\0{address}"),
        ] {
            let asked = self.repository.count_code(&digest_of(&who)).await?;
            if asked > CODES_AN_HOUR {
                return Err(NotificationError::TooMany(
                    "too many codes were asked for: try again in an hour".into(),
                ));
            }
        }
        let code = random_code()?;
        let salt = random::<16>()?;
        let pending = PendingCode {
            address: address.to_owned(),
            hash: hash(&salt, &bound(app_id, user_id, contact, address, &code)),
            salt: salt.to_vec(),
            expires_at: DateTime::from_millis(
                DateTime::now().timestamp_millis()
                    + i64::try_from(CODE_VALID.as_millis()).unwrap_or(0),
            ),
        };
        self.repository
            .put_code(app_id, user_id, contact, &pending)
            .await?;
        let delivery = Delivery {
            dedup_key: format!("code:{}", Repository::new_id()),
            recipient: Value::from(address),
            parts: self.code_parts(channel, app_id, user_id, &code)?,
            data: json!({}),
        };
        let limit = self.config.channels.send_timeout;
        let sent = tokio::time::timeout(limit, sender.send(&delivery)).await;
        let sent = sent.unwrap_or_else(|_| Err(SendError::Temporary("no answer in time".into())));
        sent.map_err(|error| {
            tracing::warn!(channel = %channel, error = %error, "a code could not be sent");
            NotificationError::NotSent("the code could not be sent: try again later".into())
        })?;
        Ok(Confirmation {
            address: address.to_owned(),
            confirmed: false,
        })
    }

    /// Takes the code that was sent; the address is confirmed then.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for one that is wrong, too old or guessed at too often.
    pub async fn confirm_code(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
        code: &str,
    ) -> Result<Confirmation, NotificationError> {
        let wrong = || {
            NotificationError::invalid(
                "code",
                "is not the one that was sent last, is too old, or was tried too often",
            )
        };
        // Counted before it is looked at: guesses at the same time are guesses all the same.
        let pending = self
            .repository
            .try_code(app_id, user_id, contact, CODE_ATTEMPTS)
            .await?
            .ok_or_else(wrong)?;
        let said = bound(app_id, user_id, contact, &pending.address, code.trim());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &pending.salt);
        hmac::verify(&key, said.as_bytes(), &pending.hash).map_err(|_| wrong())?;
        let taken = self
            .repository
            .confirm_address(app_id, user_id, contact, &pending)
            .await?;
        if !taken {
            return Err(wrong());
        }
        Ok(Confirmation {
            address: pending.address,
            confirmed: true,
        })
    }

    fn code_parts(
        &self,
        channel: Channel,
        app_id: &str,
        user_id: &str,
        code: &str,
    ) -> Result<super::templates::Parts, NotificationError> {
        let mut metadata = Map::new();
        metadata.insert("code".into(), code.into());
        let draft = Draft {
            notification_type: "confirm_address".into(),
            title: "Confirm your address".into(),
            message: format!("Your code is {code}. If you did not ask for it, ignore this."),
            metadata,
            channels: None,
        };
        let own = self.templates().render(channel, &draft, app_id, user_id);
        own.or_else(|error| {
            tracing::warn!(error = %error, "the template of codes cannot be used");
            Templates::default().render(channel, &draft, app_id, user_id)
        })
    }
}

/// What a code's hash is of: it is good for nobody else and nothing else.
fn bound(app_id: &str, user_id: &str, contact: Contact, address: &str, code: &str) -> String {
    format!(
        "{app_id}\0{user_id}\0{}\0{address}\0{code}",
        contact.as_str()
    )
}

fn hash(salt: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn random<const N: usize>() -> Result<[u8; N], NotificationError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NotificationError::Internal("the system gives no random bytes".into()))?;
    Ok(bytes)
}

/// Digits, each as likely as any other: of 64 random bits the remainder is even to one in 10^11.
fn random_code() -> Result<String, NotificationError> {
    let number = u64::from_be_bytes(random::<8>()?) % 10u64.pow(CODE_DIGITS);
    Ok(format!("{number:0width$}", width = CODE_DIGITS as usize))
}

/// A counter's name: what it counts is not to be read in the database.
fn digest_of(who: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, who.as_bytes());
    let bytes = digest.as_ref().iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
