//! What an event of `tracing` says, read once: as a JSON object, and as text for people.
//!
//! A field [`PLUGIN_FIELDS`] holds a JSON object of what a plugin's logger was given besides its message:
//! its keys become fields of the line, under another name where the line has one of that name already.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The field of an event with a plugin's own ones.
pub const PLUGIN_FIELDS: &str = "plugin.fields";
/// What a line says of itself.
const OF_THE_LINE: [&str; 3] = ["timestamp", "level", "target"];

/// The fields of an event by name; the message is one of them.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl Fields {
    pub(crate) fn of(event: &Event<'_>) -> Self {
        Self::read(|fields| event.record(fields))
    }

    fn read(record: impl FnOnce(&mut Self)) -> Self {
        let mut fields = Self::default();
        record(&mut fields);
        if let Some(Value::String(text)) = fields.0.remove(PLUGIN_FIELDS) {
            fields.add_own(&text);
        }
        fields
    }

    fn add_own(&mut self, text: &str) {
        let Ok(Value::Object(own)) = serde_json::from_str(text) else {
            return;
        };
        for (name, value) in own {
            let is_taken = self.0.contains_key(&name) || OF_THE_LINE.contains(&&*name);
            let name = if is_taken {
                format!("field.{name}")
            } else {
                name
            };
            self.0.insert(name, value);
        }
    }

    /// The line as one JSON object.
    pub(crate) fn to_line(&self, event: &Event<'_>) -> String {
        let metadata = event.metadata();
        let mut line = String::from("{\"timestamp\":\"");
        // Writing into a String cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        let _ = write!(line, "\",\"level\":\"{}\",\"target\":", metadata.level());
        push_json(&mut line, &metadata.target().into());
        // What people read first comes first.
        let message = self.0.get_key_value("message");
        let others = self.0.iter().filter(|(name, _)| *name != "message");
        for (name, value) in message.into_iter().chain(others) {
            line.push(',');
            push_json(&mut line, &name.as_str().into());
            line.push(':');
            push_json(&mut line, value);
        }
        line.push('}');
        line
    }

    fn insert(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }
}

fn push_json(line: &mut String, value: &Value) {
    // Writing into a String cannot fail.
    let _ = write!(line, "{value}");
}

/// Events as JSON, one object a line.
pub(crate) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(writer, "{}", Fields::of(event).to_line(event))
    }
}

/// Fields of events for people: the message, then `name=value`.
pub(crate) struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let fields = Fields::read(|found| fields.record(found)).0;
        let mut text = String::new();
        if let Some(Value::String(message)) = fields.get("message") {
            push_visible(&mut text, message);
        }
        for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
            if !text.is_empty() {
                text.push(' ');
            }
            push_visible(&mut text, name);
            text.push('=');
            push_visible(&mut text, &value.to_string());
        }
        writer.write_str(&text)
    }
}

/// Text without signs that steer a terminal; how lines may break is the writer's.
fn push_visible(text: &mut String, words: &str) {
    for sign in words.chars() {
        match sign {
            '\n' | '\r' | '\t' => text.push(sign),
            sign if sign.is_control() => text.extend(sign.escape_unicode()),
            sign => text.push(sign),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(is_json: bool, act: impl FnOnce()) -> String {
        let kept = Kept::default();
        let theirs = kept.clone();
        let lines = tracing_subscriber::fmt::layer();
        if is_json {
            let lines = lines.event_format(JsonLines);
            let lines = lines.with_writer(move || theirs.clone());
            tracing::subscriber::with_default(registry().with(lines), act);
        } else {
            let lines = lines.fmt_fields(TextFields).with_ansi(false);
            let lines = lines.with_writer(move || theirs.clone());
            tracing::subscriber::with_default(registry().with(lines), act);
        }
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn speak() {
        tracing::event!(
            target: "plugin",
            tracing::Level::WARN,
            plugin.name = "shop",
            count = 3,
            plugin.fields = r#"{"order": 7, "deep": {"a": [1]}, "plugin.name": "forged", "level": "x"}"#,
            "sold \u{1b}[2J out"
        );
    }

    #[test]
    fn what_a_plugin_gives_its_logger_becomes_fields_and_forges_none() {
        let line = logged(true, speak);
        let line: Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(line["message"], "sold \u{1b}[2J out");
        assert_eq!(
            (&line["level"], &line["target"]),
            (&"WARN".into(), &"plugin".into())
        );
        assert_eq!((&line["order"], &line["count"]), (&7.into(), &3.into()));
        assert_eq!(line["deep"]["a"][0], 1);
        assert_eq!(line["plugin.name"], "shop");
        assert_eq!(line["field.plugin.name"], "forged");
        assert_eq!(line["field.level"], "x");
        assert!(line.get(PLUGIN_FIELDS).is_none());
    }

    #[test]
    fn people_see_the_same_fields_and_no_signs_that_steer_a_terminal() {
        let line = logged(false, speak);
        for part in [
            "WARN plugin: sold \\u{1b}[2J out",
            "plugin.name=\"shop\"",
            "order=7",
            "deep={\"a\":[1]}",
            "field.plugin.name=\"forged\"",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(
            !line.contains('\u{1b}') && !line.contains(PLUGIN_FIELDS),
            "{line}"
        );
    }

    #[test]
    fn nonsense_in_the_place_of_fields_is_left_out() {
        let line = logged(true, || tracing::info!(plugin.fields = "nonsense", "said"));
        let line: Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(line["message"], "said");
        assert!(line.get(PLUGIN_FIELDS).is_none());
    }
}
