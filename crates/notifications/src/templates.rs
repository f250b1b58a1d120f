//! What a notification reads like on each channel: templates per type and channel.
//!
//! A template sees `title`, `message`, `metadata`, `type`, `user_id` and `app_id`. One that asks for
//! anything else is refused when it is read; a field of `metadata` that is missing is an error when
//! the notification is created, not when it is sent: everything is rendered then. HTML parts are
//! escaped.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Value, json};

use super::model::{Channel, Draft, NotificationError, at_path};

/// What a template sees.
const VARIABLES: [&str; 6] = ["title", "message", "metadata", "type", "user_id", "app_id"];
/// Bytes of one rendered part.
const MAX_RENDERED_BYTES: usize = 256 * 1024;

/// What a channel sends: the parts it knows by name (`subject`, `text`, `html`, `title`, `body`).
pub type Parts = BTreeMap<String, String>;

/// The parts that a channel has, and where each comes from without a template.
fn defaults(channel: Channel) -> &'static [(&'static str, &'static str)] {
    match channel {
        Channel::InApp => &[("title", "{{ title }}"), ("message", "{{ message }}")],
        Channel::Email => &[
            ("subject", "{{ title }}"),
            ("text", "{{ message }}"),
            ("html", "<h1>{{ title }}</h1><p>{{ message }}</p>"),
        ],
        Channel::Sms => &[("text", "{{ title }}: {{ message }}")],
        Channel::Push => &[("title", "{{ title }}"), ("body", "{{ message }}")],
    }
}

/// All templates, parsed.
pub struct Templates {
    environment: Environment<'static>,
    listing: Value,
}

impl Default for Templates {
    fn default() -> Self {
        Self::from_value(&json!({})).expect("invariant: the built-in templates parse")
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates")
            .field("listing", &self.listing)
            .finish_non_exhaustive()
    }
}

impl Templates {
    /// Reads `notification_templates.json`: `{"<type>": {"<channel>": {"<part>": "template"}}}`;
    /// the type `*` is for all that have none of their own.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path of the template and what is wrong with it.
    pub fn from_value(value: &Value) -> Result<Self, NotificationError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| {
            if name.ends_with("/html") {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        for channel in Channel::ALL {
            for (part, source) in defaults(channel) {
                environment
                    .add_template_owned(name("", channel, part), (*source).to_owned())
                    .map_err(|error| NotificationError::Internal(error.to_string()))?;
            }
        }
        let types = object(value, "notification_templates")?;
        for (type_id, channels) in types {
            for (channel_name, parts) in object(channels, type_id)? {
                let path = format!("{type_id}.{channel_name}");
                let channel: Channel = channel_name
                    .parse()
                    .map_err(|error| at_path(error, &path))?;
                for (part, source) in object(parts, &path)? {
                    let path = format!("{path}.{part}");
                    if !defaults(channel).iter().any(|(known, _)| known == part) {
                        let known: Vec<_> =
                            defaults(channel).iter().map(|(known, _)| *known).collect();
                        return Err(NotificationError::invalid(
                            path,
                            format!("is unknown; {channel} has {}", known.join(", ")),
                        ));
                    }
                    let source = source.as_str().ok_or_else(|| {
                        NotificationError::invalid(path.clone(), "must be a string")
                    })?;
                    let name = name(type_id, channel, part);
                    environment
                        .add_template_owned(name.clone(), source.to_owned())
                        .map_err(|error| NotificationError::invalid(&*path, error.to_string()))?;
                    if let Some(unknown) = unknown_variable(&environment, &name) {
                        return Err(NotificationError::invalid(
                            path,
                            format!(
                                "there is no variable {unknown:?}; a template sees {}",
                                VARIABLES.join(", ")
                            ),
                        ));
                    }
                }
            }
        }
        Ok(Self {
            environment,
            listing: value.clone(),
        })
    }

    /// What admins see: the templates as they were given.
    pub fn to_json(&self) -> &Value {
        &self.listing
    }

    /// Renders what a channel sends.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] where the template asks for something the draft does not
    /// have; the message names the template.
    pub fn render(
        &self,
        channel: Channel,
        draft: &Draft,
        app_id: &str,
        user_id: &str,
    ) -> Result<Parts, NotificationError> {
        let context = json!({
            "title": draft.title,
            "message": draft.message,
            "metadata": draft.metadata,
            "type": draft.notification_type,
            "user_id": user_id,
            "app_id": app_id,
        });
        defaults(channel)
            .iter()
            .map(|(part, _)| {
                let text = self.render_part(&draft.notification_type, channel, part, &context)?;
                Ok(((*part).to_owned(), text))
            })
            .collect()
    }

    fn render_part(
        &self,
        type_id: &str,
        channel: Channel,
        part: &str,
        context: &Value,
    ) -> Result<String, NotificationError> {
        let candidates = [
            name(type_id, channel, part),
            name("*", channel, part),
            name("", channel, part),
        ];
        let template = candidates
            .iter()
            .find_map(|name| self.environment.get_template(name).ok())
            .ok_or_else(|| NotificationError::Internal(format!("no template for {channel}")))?;
        let text = template
            .render(minijinja::value::Serde(context))
            .map_err(|error| {
                let what = match error.kind() {
                    ErrorKind::UndefinedError => "a variable of the template is missing",
                    _ => "the template cannot be rendered",
                };
                NotificationError::invalid(
                    format!("templates.{type_id}.{channel}.{part}"),
                    format!("{what}: {error}"),
                )
            })?;
        if text.len() > MAX_RENDERED_BYTES {
            return Err(NotificationError::invalid(
                format!("templates.{type_id}.{channel}.{part}"),
                format!("gives more than {MAX_RENDERED_BYTES} bytes"),
            ));
        }
        Ok(text)
    }
}

/// A variable that the template asks for and no notification has.
fn unknown_variable(environment: &Environment<'_>, name: &str) -> Option<String> {
    let template = environment.get_template(name).ok()?;
    let unknown = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|variable| {
            !VARIABLES.contains(&variable.as_str())
                && !environment.globals().any(|(global, _)| global == variable)
        });
    // The same one every time, where there are several.
    unknown.min()
}

fn name(type_id: &str, channel: Channel, part: &str) -> String {
    format!("{type_id}/{channel}/{part}")
}

fn object<'a>(
    value: &'a Value,
    path: &str,
) -> Result<&'a serde_json::Map<String, Value>, NotificationError> {
    value
        .as_object()
        .ok_or_else(|| NotificationError::invalid(path, "must be an object"))
}
