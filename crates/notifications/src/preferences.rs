//! What a user wants to be told, and how.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::views::{PreferencesView, TypePreferenceView, to_json};
use super::{
    catalogue::NotificationType,
    model::{Channel, NotificationError},
};

/// Types a user may have an opinion on.
const MAX_TYPES: usize = 1000;

/// How often a user wants mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digest {
    /// Each by itself, at once.
    #[default]
    Off,
    /// All of a day in one.
    Daily,
    /// All of a week in one.
    Weekly,
}

impl Digest {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        match text {
            "off" | "none" => Some(Self::Off),
            "daily" => Some(Self::Daily),
            "weekly" => Some(Self::Weekly),
            _ => None,
        }
    }
}

/// What a user says of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypePreference {
    /// On or off; `None` is the type's default.
    pub enabled: Option<bool>,
    /// Its channels; `None` is the type's default.
    pub channels: Option<Vec<Channel>>,
}

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contact {
    /// A mail address.
    Email,
    /// A phone number.
    Phone,
}

impl Contact {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Email, Self::Phone];

    /// The name in the preferences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }

    /// The channel that reaches it.
    pub fn channel(self) -> Channel {
        match self {
            Self::Email => Channel::Email,
            Self::Phone => Channel::Sms,
        }
    }

    /// Whether it can be sent to.
    pub(super) fn is_valid(self, address: &str) -> bool {
        match self {
            Self::Email => is_email(address),
            Self::Phone => is_phone(address),
        }
    }
}

impl std::str::FromStr for Contact {
    type Err = NotificationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "email" => Ok(Self::Email),
            "phone" | "sms" => Ok(Self::Phone),
            _ => Err(NotificationError::invalid(
                "contact",
                "must be email or phone",
            )),
        }
    }
}

/// A user's preferences. Everything not said is as the types declare it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Channels turned on or off for every type.
    pub channels: BTreeMap<Channel, bool>,
    /// Types turned on or off.
    pub types: BTreeMap<String, TypePreference>,
    /// Whether mail is gathered.
    pub digest: Digest,
    /// Where mail goes.
    pub email: Option<String>,
    /// Where text messages go, as `+` and digits.
    pub phone: Option<String>,
    /// The addresses that the user has confirmed; no change of preferences touches them.
    pub confirmed: BTreeMap<Contact, String>,
}

/// Where a notification of one type goes for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// To these channels; never empty.
    Deliver(Vec<Channel>),
    /// Nowhere, for this reason.
    Suppressed(&'static str),
}

impl Preferences {
    /// The address that the user has given.
    pub fn contact(&self, contact: Contact) -> Option<&str> {
        match contact {
            Contact::Email => self.email.as_deref(),
            Contact::Phone => self.phone.as_deref(),
        }
    }

    /// Decides for a type: what the caller asks for, within what the user allows.
    pub fn decide(
        &self,
        notification_type: &str,
        declared: Option<&NotificationType>,
        asked: Option<&[Channel]>,
    ) -> Decision {
        let own = self.types.get(notification_type);
        let enabled = own
            .and_then(|own| own.enabled)
            .unwrap_or_else(|| declared.is_none_or(|declared| declared.default_enabled));
        if !enabled {
            let by_user = own.is_some_and(|own| own.enabled == Some(false));
            return Decision::Suppressed(if by_user {
                "the user has turned this type off"
            } else {
                "this type is off unless the user turns it on"
            });
        }
        let wanted = own.and_then(|own| own.channels.as_deref());
        let base = asked
            .or(wanted)
            .or(declared.map(|declared| declared.channels.as_slice()))
            .unwrap_or(&[Channel::InApp]);
        let mut channels: Vec<Channel> = base
            .iter()
            .copied()
            .filter(|channel| self.channels.get(channel).copied().unwrap_or(true))
            .filter(|channel| wanted.is_none_or(|wanted| wanted.contains(channel)))
            .collect();
        channels.sort_unstable();
        channels.dedup();
        if channels.is_empty() {
            Decision::Suppressed("the user has turned these channels off")
        } else {
            Decision::Deliver(channels)
        }
    }

    /// Changes what `patch` names and leaves the rest. `{"channels": {"email": false},
    /// "types": {"x": false | {"enabled", "channels"} | null}, "digest", "email", "phone"}`; a
    /// boolean or an object under any other key is taken as a channel or a type, as existing plugins
    /// write: `{"x": false}`, `{"x": {"enabled": true}}`, `{"email_enabled": false}`,
    /// `{"email_notifications": {"enabled": false}}`, `{"digest_frequency": "daily"}`.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path; nothing changes then.
    pub fn apply(&mut self, patch: &Map<String, Value>) -> Result<(), NotificationError> {
        let mut next = self.clone();
        for (key, value) in patch {
            match (key.as_str(), value) {
                ("channels", Value::Object(channels)) => {
                    for (name, value) in channels {
                        let channel: Channel = name.parse()?;
                        let flag = value.as_bool().ok_or_else(|| {
                            NotificationError::invalid(
                                format!("channels.{name}"),
                                "must be true or false",
                            )
                        })?;
                        next.channels.insert(channel, flag);
                    }
                }
                ("channels", _) => {
                    return Err(NotificationError::invalid("channels", "must be an object"));
                }
                ("types", Value::Object(types)) => {
                    for (id, value) in types {
                        next.apply_type(id, value, &format!("types.{id}"))?;
                    }
                }
                ("types", _) => {
                    return Err(NotificationError::invalid("types", "must be an object"));
                }
                ("digest" | "digest_frequency", value) => {
                    next.digest = value.as_str().and_then(Digest::from_str).ok_or_else(|| {
                        NotificationError::invalid(key, "must be off, daily or weekly")
                    })?;
                }
                (name, Value::Bool(flag)) if name.parse::<Channel>().is_ok() => {
                    next.channels.insert(name.parse()?, *flag);
                }
                (name, value) if old_switch(name, value).is_some() => {
                    next.channels.extend(old_switch(name, value));
                }
                ("email", value) => next.email = contact(value, Contact::Email)?,
                ("phone", value) => next.phone = contact(value, Contact::Phone)?,
                (id, Value::Bool(_)) => next.apply_type(id, value, id)?,
                (id, Value::Object(fields))
                    if fields.contains_key("enabled") || fields.contains_key("channels") =>
                {
                    next.apply_type(id, value, id)?;
                }
                (other, _) => {
                    return Err(NotificationError::invalid(
                        other,
                        "is unknown; there are channels, types, digest, email and phone",
                    ));
                }
            }
        }
        if next.types.len() > MAX_TYPES {
            return Err(NotificationError::invalid(
                "types",
                format!("must not hold more than {MAX_TYPES}"),
            ));
        }
        *self = next;
        Ok(())
    }

    fn apply_type(&mut self, id: &str, value: &Value, path: &str) -> Result<(), NotificationError> {
        if id.is_empty() || id.len() > 128 || id.contains('\0') {
            return Err(NotificationError::invalid(
                path,
                "must be named in 1 to 128 bytes, none of them NUL",
            ));
        }
        let mut own = self.types.get(id).cloned().unwrap_or_default();
        match value {
            Value::Null => {
                self.types.remove(id);
                return Ok(());
            }
            Value::Bool(flag) => own.enabled = Some(*flag),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("enabled", Value::Bool(flag)) => own.enabled = Some(*flag),
                        ("enabled", Value::Null) => own.enabled = None,
                        ("channels", Value::Null) => own.channels = None,
                        // Existing plugins give one, which never had an effect: digests are a
                        // matter of all mail.
                        ("frequency", Value::String(_)) => {}
                        ("channels", Value::Array(items)) => {
                            let channels = items
                                .iter()
                                .map(|item| item.as_str().unwrap_or_default().parse())
                                .collect::<Result<Vec<Channel>, _>>()?;
                            own.channels = Some(channels);
                        }
                        (key, _) => {
                            return Err(NotificationError::invalid(
                                format!("{path}.{key}"),
                                "must be enabled (true or false) or channels (a list)",
                            ));
                        }
                    }
                }
            }
            _ => {
                return Err(NotificationError::invalid(
                    path,
                    "must be true, false, null or an object",
                ));
            }
        }
        self.types.insert(id.to_owned(), own);
        Ok(())
    }

    /// What clients see.
    pub fn view(&self) -> PreferencesView {
        let is_on = |channel| self.channels.get(channel).copied().unwrap_or(true);
        let channels = Channel::ALL.iter();
        let types = self.types.iter().map(|(id, own)| {
            let channels = own.channels.as_ref();
            let channels = channels.map(|all| all.iter().map(|channel| channel.as_str()).collect());
            let view = TypePreferenceView {
                enabled: own.enabled,
                channels,
            };
            (id.clone(), view)
        });
        PreferencesView {
            channels: channels
                .map(|channel| (channel.as_str(), is_on(channel)))
                .collect(),
            types: types.collect(),
            digest: self.digest.as_str(),
            email: self.email.clone(),
            phone: self.phone.clone(),
        }
    }

    /// The same as JSON, which the database holds.
    pub fn to_json(&self) -> Value {
        to_json(self.view())
    }
}

/// A channel turned on or off as existing plugins write it.
fn old_switch(name: &str, value: &Value) -> Option<(Channel, bool)> {
    if name == "email_notifications" {
        let flag = value.get("enabled").unwrap_or(value);
        return Some((Channel::Email, flag.as_bool()?));
    }
    let channel = name.strip_suffix("_enabled")?.parse().ok()?;
    Some((channel, value.as_bool()?))
}

fn contact(value: &Value, contact: Contact) -> Result<Option<String>, NotificationError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if contact.is_valid(text) => Ok(Some(text.clone())),
        _ => Err(NotificationError::invalid(
            contact.as_str(),
            "is not a valid address",
        )),
    }
}

/// Whether lettre would send to it. One line without spaces: what RFC 5321 allows between quotation
/// marks is how headers are smuggled in, and nobody's address.
pub(super) fn is_email(text: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '"';
    text.len() <= 254 && text.chars().all(plain) && text.parse::<lettre::Address>().is_ok()
}

/// E.164: `+` and at most 15 digits.
pub(super) fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
