//! What plugins log and print becomes log events of the gateway, with plugin and request id.

use std::cell::RefCell;

use pyo3::prelude::*;
use tracing::Level;

use crate::{asked::end_if_asked, caller::current_caller};

/// Longer messages and lines are cut.
const MAX_LINE_BYTES: usize = 16 * 1024;

thread_local! {
    /// Unfinished lines of `sys.stdout` and `sys.stderr`, of each thread its own.
    static LINES: RefCell<[String; 2]> = RefCell::default();
}

/// One record of Python's `logging`.
#[pyfunction]
#[pyo3(signature = (level, logger, message, fields=None))]
pub(super) fn log_record(
    py: Python<'_>,
    level: i32,
    logger: &str,
    message: &str,
    fields: Option<&str>,
) -> PyResult<()> {
    emit(py, level, logger, message, fields);
    end_if_asked(py)
}

/// Text written to a standard stream; logged line by line.
#[pyfunction]
pub(super) fn log_text(py: Python<'_>, stream: &str, text: &str) -> PyResult<()> {
    let mut complete = Vec::new();
    LINES.with_borrow_mut(|lines| {
        let line = &mut lines[slot(stream)];
        let mut rest = text;
        while let Some((head, tail)) = rest.split_once('\n') {
            append(line, head);
            complete.push(std::mem::take(line));
            rest = tail;
        }
        append(line, rest);
    });
    for line in complete {
        print(py, stream, &line);
    }
    end_if_asked(py)
}

/// Logs an unfinished line.
#[pyfunction]
pub(super) fn log_flush(py: Python<'_>, stream: &str) {
    let line = LINES.with_borrow_mut(|lines| std::mem::take(&mut lines[slot(stream)]));
    if !line.is_empty() {
        print(py, stream, &line);
    }
}

fn slot(stream: &str) -> usize {
    usize::from(stream == "stderr")
}

fn append(line: &mut String, text: &str) {
    line.push_str(cut(text, MAX_LINE_BYTES.saturating_sub(line.len())));
}

fn cut(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let mut end = max_bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn print(py: Python<'_>, stream: &str, line: &str) {
    let line = line.trim_end_matches('\r');
    if !line.is_empty() {
        let level = if stream == "stderr" { 30 } else { 20 };
        emit(py, level, stream, line, None);
    }
}

/// `fields` is a JSON object of what else there is to say. Python's levels: 10 debug, 20 info, 30 warning, 40 error, 50 critical.
fn emit(py: Python<'_>, level: i32, logger: &str, message: &str, fields: Option<&str>) {
    let caller = current_caller(py);
    let info = caller.as_ref().map(|caller| caller.get());
    let plugin = info.map(|info| info.plugin.clone());
    let request = info.and_then(|info| info.request_id.clone());
    let app = info.and_then(|info| info.app_id.clone());
    let fields = fields.filter(|fields| fields.len() <= MAX_LINE_BYTES);
    let (logger, message) = (cut(logger, 256), cut(message, MAX_LINE_BYTES));
    // Whoever writes the log may have to wait for the terminal or the disk.
    py.detach(|| {
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    target: "plugin",
                    $level,
                    plugin.name = plugin.as_deref(),
                    request.id = request.as_deref(),
                    app.id = app.as_deref(),
                    plugin.fields = fields,
                    logger,
                    "{message}"
                )
            };
        }
        match level {
            ..=9 => event!(Level::TRACE),
            10..=19 => event!(Level::DEBUG),
            20..=29 => event!(Level::INFO),
            30..=39 => event!(Level::WARN),
            40.. => event!(Level::ERROR),
        }
    });
}
