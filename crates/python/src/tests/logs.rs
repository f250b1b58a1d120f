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
        let metadata = event.metadata();
        if metadata.target() == "plugin" || metadata.target().ends_with("loop_hold") {
            let mut line = Line(metadata.level().to_string());
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

fn keep_lines() {
    static KEPT: std::sync::Once = std::sync::Once::new();
    KEPT.call_once(|| {
        tracing_subscriber::registry()
            .with(Keep)
            .try_init()
            .expect("no other test of this binary installs a subscriber");
    });
}

#[test]
fn whoever_holds_the_loop_is_named_with_the_place() {
    keep_lines();
    const HOLDS: &str = "import os, time\n\nasync def execute(data):\n    deeper(data)\n    return {}\n\n\
                         def deeper(data):\n    while not os.path.exists(data['gate']):\n        \
                         time.sleep(1)\n";
    let (dir, gateway) = Gateway::of(&[("holds_it", HOLDS)], |config| {
        config.hold_warning = Duration::from_millis(50);
    });
    let gate = dir.path().join("open");
    tokio_runtime().block_on(async {
        let held = gateway.call("holds_it", json!({ "gate": gate }));
        let told = async {
            eventually("it is told", || gateway.python.status().loop_holds == 1).await;
            std::fs::write(&gate, "").unwrap();
        };
        let (answer, ()) = tokio::join!(held, told);
        answer.unwrap();
    });
    let lines = LINES.lock().clone();
    let file = dir.path().join("holds_it/logic.py");
    let file = file.display();
    let at = format!("holds_it holds the loop: a blocking call at {file}:9; use `def` or");
    let stack = format!("{file}:9 in deeper < {file}:4 in execute");
    let told: Vec<_> = lines.iter().filter(|line| line.contains(&at)).collect();
    assert_eq!(told.len(), 1, "{at} is not once in {lines:#?}");
    assert!(told[0].contains(&stack), "{told:?}");
    assert!(told[0].contains("plugin.name=\"holds_it\""), "{told:?}");
}

#[test]
fn logs_and_prints_carry_plugin_and_request() {
    keep_lines();
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
            &[
                "INFO",
                "message=sold",
                "plugin.fields=\"{\\\"order\\\": 7}\"",
            ],
            &["INFO", "message=odd", "number", "nan"],
        ] {
            let wanted = [&ids[..], parts].concat();
            assert!(has(&wanted), "{wanted:?} is not in {lines:#?}");
        }
        assert!(!has(&["not shown"]));
    });
}
