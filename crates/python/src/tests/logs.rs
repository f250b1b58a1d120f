//! What plugins log and print.

use std::fmt::Write;

use parking_lot::Mutex;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

use super::*;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the events of plugins. They come from threads of their own, so it must be the process's.
struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "plugin" {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            LINES.lock().push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

#[test]
fn logs_and_prints_carry_plugin_and_request() {
    tracing_subscriber::registry()
        .with(Keep)
        .try_init()
        .expect("no other test of this binary installs a subscriber");
    on_shared(|gateway| async move {
        gateway.call("logs", json!({})).await.unwrap();
        let lines = LINES.lock().clone();
        let has = |parts: &[&str]| {
            lines
                .iter()
                .any(|line| parts.iter().all(|part| line.contains(part)))
        };
        let ids = ["plugin.name=\"logs\"", "request.id=\"req-1\""];
        for parts in [
            &[
                "INFO",
                "logger=\"mozaiks_plugins.logs\"",
                "message=hello u1",
            ][..],
            &["INFO", "logger=\"stdout\"", "message=printed 1 line"],
            &["ERROR", "message=it failed\nTraceback", "ValueError: inner"],
            &["ERROR", "a log record could not be formatted"],
        ] {
            let wanted = [&ids[..], parts].concat();
            assert!(has(&wanted), "{wanted:?} is not in {lines:#?}");
        }
        assert!(!has(&["not shown"]));
    });
}
