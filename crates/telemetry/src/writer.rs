//! A bounded buffer of log lines and the thread that writes it out.
//!
//! Writers append under a lock and go on. The thread is woken once, writes, and then gathers for a
//! few milliseconds before it looks again: under load a line costs a copy and no system call.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered after a write.
const GATHER: Duration = Duration::from_millis(5);
/// How long [`LogWriter::flush`] waits at most.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// A handle for appending lines; clones share one buffer.
#[derive(Clone)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

struct Shared {
    /// Lines that wait, and whether the thread must be woken for the next one. Held for a copy only.
    pending: Mutex<Pending>,
    /// Wakes the thread.
    arrived: Condvar,
    /// Wakes those who wait in `flush`.
    written: Condvar,
    /// Most bytes that may wait.
    limit_bytes: usize,
    /// Lines that found no room.
    dropped: AtomicU64,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// The thread waits for the first line.
    asleep: bool,
    /// The thread has taken lines that are not written yet.
    writing: bool,
    /// Somebody waits in `flush`: don't gather.
    hurry: bool,
}

impl LogWriter {
    /// Starts the thread that writes to `out`; at most `limit_bytes` wait for it.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(limit_bytes: usize, out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::default()),
            arrived: Condvar::new(),
            written: Condvar::new(),
            limit_bytes,
            dropped: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || theirs.write_forever(out))?;
        Ok(Self { shared })
    }

    /// Appends one line, which ends with a newline. Never waits for the output.
    pub fn append(&self, line: &[u8]) {
        let mut pending = self.shared.pending.lock();
        if pending.lines.len() + line.len() > self.shared.limit_bytes {
            drop(pending);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pending.lines.extend_from_slice(line);
        if pending.asleep {
            pending.asleep = false;
            self.shared.arrived.notify_one();
        }
    }

    /// Waits until every line so far is written, at most a second.
    pub fn flush(&self) {
        let mut pending = self.shared.pending.lock();
        while !pending.lines.is_empty() || pending.writing {
            pending.hurry = true;
            pending.asleep = false;
            self.shared.arrived.notify_one();
            if self
                .shared
                .written
                .wait_for(&mut pending, FLUSH_LIMIT)
                .timed_out()
            {
                return;
            }
        }
    }

    /// Lines that found no room since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn write_forever(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            {
                let mut pending = self.pending.lock();
                while pending.lines.is_empty() {
                    pending.asleep = true;
                    self.arrived.wait(&mut pending);
                }
                pending.asleep = false;
                pending.writing = true;
                std::mem::swap(&mut batch, &mut pending.lines);
            }
            // There is nobody left to tell when stderr itself fails.
            let _ = out.write_all(&batch).and_then(|()| out.flush());
            batch.clear();
            let mut pending = self.pending.lock();
            pending.writing = false;
            self.written.notify_all();
            if !pending.hurry {
                self.arrived.wait_for(&mut pending, GATHER);
            }
            pending.hurry = false;
        }
    }
}

/// Appends what one event writes as a whole.
pub struct EventLine {
    writer: LogWriter,
    line: Vec<u8>,
    /// Whether what was written is text in which a line may break.
    is_text: bool,
}

impl Write for EventLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventLine {
    fn drop(&mut self) {
        if self.is_text {
            self.line = one_line(std::mem::take(&mut self.line));
        }
        if !self.line.is_empty() {
            self.writer.append(&self.line);
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = EventLine;

    fn make_writer(&'a self) -> Self::Writer {
        EventLine {
            writer: self.clone(),
            line: Vec::new(),
            is_text: false,
        }
    }
}

/// A writer for events in plain text: each is one line, whatever it says, so that nobody whose words are
/// logged can write a line of the log.
pub struct TextLines(pub LogWriter);

impl<'a> MakeWriter<'a> for TextLines {
    type Writer = EventLine;

    fn make_writer(&'a self) -> Self::Writer {
        let mut line = self.0.make_writer();
        line.is_text = true;
        line
    }
}

/// Escapes what would break the line before its end.
fn one_line(line: Vec<u8>) -> Vec<u8> {
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    // Next line, line separator, paragraph separator: two and three bytes in UTF-8.
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0x0b | 0x0c | 0xc2 | 0xe2);
    if !text.iter().any(breaks) {
        return line;
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                escaped.extend(character.escape_unicode());
            }
            other => escaped.push(other),
        }
    }
    escaped.push('\n');
    escaped.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands every write over and waits for permission to go on.
    struct Gate {
        seen: mpsc::Sender<Vec<u8>>,
        permits: mpsc::Receiver<()>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.seen.send(bytes.to_vec()).ok();
            self.permits.recv().ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_in_text_is_one_line() {
        for (written, line) in [
            ("plain\n", "plain\n"),
            ("two\nlines\r\n", "two\\nlines\\r\n"),
            ("caf\u{e9} \u{20ac}\n", "caf\u{e9} \u{20ac}\n"),
            (
                "a\u{85}b\u{2028}c\u{2029}d\u{b}\u{c}\n",
                "a\\u{85}b\\u{2028}c\\u{2029}d\\u{b}\\u{c}\n",
            ),
            ("\n\n", "\\n\n"),
        ] {
            let (seen, lines) = mpsc::channel();
            let (permit, permits) = mpsc::channel();
            let writer = LogWriter::start(1024, Gate { seen, permits }).unwrap();
            let mut event = TextLines(writer).make_writer();
            event.write_all(written.as_bytes()).unwrap();
            drop(event);
            let got = lines.recv_timeout(Duration::from_secs(5)).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), line);
            permit.send(()).unwrap();
        }
    }

    #[test]
    fn lines_beyond_the_limit_are_counted_and_nobody_waits() {
        let (seen, written) = mpsc::channel();
        let (permit, permits) = mpsc::channel();
        let writer = LogWriter::start(16, Gate { seen, permits }).unwrap();
        writer.append(b"first\n");
        let limit = Duration::from_secs(5);
        assert_eq!(written.recv_timeout(limit).unwrap(), b"first\n");
        // The output is stuck now; sixteen bytes fit, the rest is dropped.
        writer.append(b"0123456\n");
        writer.append(b"89abcde\n");
        writer.append(b"too much\n");
        assert_eq!(writer.dropped(), 1);
        permit.send(()).unwrap();
        assert_eq!(written.recv_timeout(limit).unwrap(), b"0123456\n89abcde\n");
        permit.send(()).unwrap();
        writer.flush();
        assert_eq!(writer.dropped(), 1);
    }
}
