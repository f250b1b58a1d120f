//! What is logged in a worker goes to the gateway, which writes it like its own.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use crate::{
    frame::{LogLine, ToGateway},
    link::Outgoing,
};

/// Lines that found no room.
#[derive(Clone, Default)]
pub(super) struct Lost(Arc<AtomicU64>);

impl Lost {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts logging over the link.
///
/// # Errors
/// Where the filter is none.
pub(super) fn start(outgoing: &Arc<Outgoing>, filter: &str) -> Result<Lost, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let lost = Lost::default();
    tracing_subscriber::registry()
        .with(filter)
        .with(ToLink {
            outgoing: Arc::clone(outgoing),
            lost: lost.clone(),
        })
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(lost)
}

struct ToLink {
    outgoing: Arc<Outgoing>,
    lost: Lost,
}

impl<S: Subscriber> Layer<S> for ToLink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut reader = Reader::default();
        event.record(&mut reader);
        let mut line = reader.line;
        line.level = match *event.metadata().level() {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        };
        if !reader.fields.is_empty() {
            line.fields = Some(Value::Object(reader.fields).to_string());
        }
        if self.outgoing.push(&ToGateway::Log(line)).is_err() {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Reader {
    line: LogLine,
    fields: Map<String, Value>,
}

impl Reader {
    fn take(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.line.message = text(value),
            "plugin.name" => self.line.plugin = Some(text(value)),
            "request.id" => self.line.request_id = Some(text(value)),
            "app.id" => self.line.app_id = Some(text(value)),
            "logger" => self.line.logger = Some(text(value)),
            "plugin.fields" => {
                if let Ok(Value::Object(fields)) = serde_json::from_str(&text(value)) {
                    self.fields.extend(fields);
                }
            }
            name => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Reader {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        // Writing into a string does not fail.
        write!(text, "{value:?}").ok();
        self.take(field, text.into());
    }
}
