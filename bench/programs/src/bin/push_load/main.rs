//! Connects many WebSockets to one server and counts the messages that arrive: the cheap client of
//! `bench/realtime`. One thread, one buffer; payloads are skipped, not read.
//!
//! `push_load <address> <path> <file of tokens> <sockets>`
//!
//! Each socket takes the next token of the file, one a line. It counts as open when its first
//! message, the acknowledgement, is there. Then commands are read from the standard input, one JSON
//! object a line, and each is answered with one line:
//!
//! - `{"post": {"path", "token", "body"}, "expect": n}`: sends the request and counts until `n`
//!   messages in all have arrived, or none has for ten seconds;
//! - `{"watch": true}`: counts from here on; `{"report": true}`: what has arrived since.

mod connection;
mod frames;
mod histogram;

use std::{
    env, fs,
    io::{self, BufRead, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use mio::{Events, Interest, Poll, Token, event::Event, unix::SourceFd};
use serde::{Deserialize, Serialize};

use self::{
    connection::{Connection, Progress},
    frames::HEADROOM,
    histogram::Histogram,
};

/// Handshakes at the same time: no more than the smallest queue of connections that servers ask for.
const OPENING: usize = 100;
/// Read from a socket at once.
const READ_BYTES: usize = 256 * 1024;
/// Without a message for this long a run is over.
const SILENCE: Duration = Duration::from_secs(10);
const COMMANDS: Token = Token(usize::MAX - 1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    post: Option<Post>,
    expect: Option<u64>,
    #[serde(default)]
    watch: bool,
    #[serde(default)]
    report: bool,
}

#[derive(Deserialize)]
struct Post {
    path: String,
    token: String,
    body: String,
}

#[derive(Serialize)]
struct Opened {
    opened: usize,
    seconds: f64,
}

/// What has arrived since the counting began.
#[derive(Serialize)]
struct Report {
    deliveries: u64,
    /// To the last message.
    seconds: f64,
    /// Sockets that ended.
    closed: usize,
    close_code: Option<u16>,
    /// From the time in a message to its arrival.
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: u64,
    /// The first line of the answer to the request.
    answer: Option<String>,
}

/// A request whose messages are being counted.
struct Run {
    expect: u64,
    request: TcpStream,
}

struct Tally {
    deliveries: u64,
    latency: Histogram,
    began: Instant,
    last: Instant,
    closed: usize,
    close_code: Option<u16>,
}

impl Tally {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            deliveries: 0,
            latency: Histogram::new(),
            began: now,
            last: now,
            closed: 0,
            close_code: None,
        }
    }
}

struct Load {
    poll: Poll,
    server: SocketAddr,
    path: String,
    tokens: Vec<String>,
    wanted: usize,
    connections: Vec<Connection>,
    open: usize,
    opening: Instant,
    buffer: Vec<u8>,
    tally: Tally,
    run: Option<Run>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, path, tokens, sockets] = &arguments[..] else {
        bail!("push_load <address> <path> <file of tokens> <sockets>");
    };
    let tokens: Vec<String> = fs::read_to_string(tokens)
        .with_context(|| format!("reading {tokens}"))?
        .lines()
        .map(str::to_owned)
        .collect();
    if tokens.is_empty() {
        bail!("no token");
    }
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut SourceFd(&0), COMMANDS, Interest::READABLE)?;
    let mut load = Load {
        poll,
        server: address.parse()?,
        path: path.clone(),
        tokens,
        wanted: sockets.parse()?,
        connections: Vec::new(),
        open: 0,
        opening: Instant::now(),
        buffer: vec![0; HEADROOM + READ_BYTES],
        tally: Tally::new(),
        run: None,
    };
    load.serve()
}

impl Load {
    fn serve(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        self.open_more()?;
        loop {
            match self.poll.poll(&mut events, Some(SILENCE / 10)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            let before = self.tally.deliveries;
            for event in &events {
                if event.token() == COMMANDS {
                    match read_command()? {
                        Some(command) => self.begin(command)?,
                        None => return Ok(()),
                    }
                } else {
                    self.on_socket(event)?;
                }
            }
            if self.tally.deliveries > before {
                self.tally.last = Instant::now();
            }
            if self.open < self.wanted {
                self.open_more()?;
            }
            self.end_run()?;
        }
    }

    fn open_more(&mut self) -> anyhow::Result<()> {
        while self.connections.len() < self.wanted.min(self.open + OPENING) {
            let index = self.connections.len();
            let bearer = &self.tokens[index % self.tokens.len()];
            let place = (self.server, &*self.path, &**bearer);
            let connection = Connection::start(self.poll.registry(), Token(index), index, place)?;
            self.connections.push(connection);
        }
        Ok(())
    }

    fn on_socket(&mut self, event: &Event) -> anyhow::Result<()> {
        let connection = &mut self.connections[event.token().0];
        if event.is_writable() {
            connection.on_writable()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        let tally = &mut self.tally;
        let mut now_ns = None;
        let progress = connection.on_readable(&mut self.buffer, |sent_at_ns| {
            tally.deliveries += 1;
            if let Some(sent_at_ns) = sent_at_ns {
                let now_ns = *now_ns.get_or_insert_with(unix_ns);
                tally
                    .latency
                    .record(now_ns.saturating_sub(sent_at_ns) / 1000);
            }
        })?;
        match progress {
            Progress::Going => {}
            Progress::Opened => {
                self.open += 1;
                if self.open == self.wanted {
                    say(&Opened {
                        opened: self.open,
                        seconds: self.opening.elapsed().as_secs_f64(),
                    })?;
                }
            }
            Progress::Ended(code) => {
                if self.open < self.wanted {
                    bail!("a socket ended before all were open: {code:?}");
                }
                self.tally.closed += 1;
                self.tally.close_code = self.tally.close_code.or(code);
            }
        }
        Ok(())
    }

    fn begin(&mut self, command: Command) -> anyhow::Result<()> {
        if command.report {
            return self.report(None);
        }
        if command.watch {
            self.tally = Tally::new();
            return say(&serde_json::json!({"watching": true}));
        }
        let (Some(post), Some(expect)) = (command.post, command.expect) else {
            bail!("a command is a watch, a report, or a post with what to expect");
        };
        let mut request = TcpStream::connect(self.server)?;
        request.set_nodelay(true)?;
        request.set_read_timeout(Some(SILENCE))?;
        self.tally = Tally::new();
        request.write_all(post.request(self.server).as_bytes())?;
        self.run = Some(Run { expect, request });
        Ok(())
    }

    /// Answers the command once everything is there, or nothing comes any more.
    fn end_run(&mut self) -> anyhow::Result<()> {
        let tally = &self.tally;
        let is_over = self
            .run
            .as_ref()
            .is_some_and(|run| tally.deliveries >= run.expect || tally.last.elapsed() > SILENCE);
        match self.run.take_if(|_| is_over) {
            Some(run) => self.report(Some(first_line(run.request)?)),
            None => Ok(()),
        }
    }

    fn report(&self, answer: Option<String>) -> anyhow::Result<()> {
        let tally = &self.tally;
        say(&Report {
            deliveries: tally.deliveries,
            seconds: tally.last.duration_since(tally.began).as_secs_f64(),
            closed: tally.closed,
            close_code: tally.close_code,
            p50_us: tally.latency.quantile(0.5),
            p99_us: tally.latency.quantile(0.99),
            max_us: tally.latency.max(),
            answer,
        })
    }
}

impl Post {
    fn request(&self, server: SocketAddr) -> String {
        let Self { path, token, body } = self;
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

/// The next command; `None` where the driver has hung up.
fn read_command() -> anyhow::Result<Option<Command>> {
    let mut line = String::new();
    // Whole lines: the driver waits for the answer before it writes the next.
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(
        serde_json::from_str(&line).context("reading a command")?,
    ))
}

fn first_line(mut answer: TcpStream) -> io::Result<String> {
    let mut start = [0; 64];
    let mut read = 0;
    while !start[..read].contains(&b'\n') && read < start.len() {
        match answer.read(&mut start[read..])? {
            0 => break,
            count => read += count,
        }
    }
    let text = String::from_utf8_lossy(&start[..read]).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn say(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
