//! Lines of a worker's log, written as the gateway's own.

use tracing::Level;

use crate::frame::LogLine;

/// Longer texts are cut: the worker bounds its own, and may not.
const MAX_BYTES: usize = 32 * 1024;

/// Writes a line; `plugin` is one that really runs there.
pub(super) fn emit(pid: u32, plugin: Option<&str>, line: &LogLine) {
    let message = cut(&line.message);
    let fields = line.fields.as_deref().map(cut);
    let request = line.request_id.as_deref().map(cut);
    let app = line.app_id.as_deref().map(cut);
    let logger = line.logger.as_deref().map(cut);
    // What plugins say has the same form as from the gateway's own process.
    macro_rules! event {
        ($level:expr) => {
            match logger {
                Some(logger) => tracing::event!(
                    target: "plugin",
                    $level,
                    plugin.name = plugin,
                    request.id = request,
                    app.id = app,
                    plugin.fields = fields,
                    worker.pid = pid,
                    logger,
                    "{message}"
                ),
                None => tracing::event!(
                    target: "worker",
                    $level,
                    plugin.name = plugin,
                    request.id = request,
                    plugin.fields = fields,
                    worker.pid = pid,
                    "{message}"
                ),
            }
        };
    }
    match line.level {
        1 => event!(Level::ERROR),
        2 => event!(Level::WARN),
        3 => event!(Level::INFO),
        4 => event!(Level::DEBUG),
        _ => event!(Level::TRACE),
    }
}

fn cut(text: &str) -> &str {
    if text.len() <= MAX_BYTES {
        return text;
    }
    let mut end = MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
