//! The worker's own life: prepare the interpreter, give up what it may not have, serve the link.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    CallError, CallId, HostServices, Invocation, LoadError, PluginRuntime, Started,
};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::{
    confine,
    frame::{self, Health, MAX_FRAME_BYTES, Preparation, ToGateway, ToWorker, WireCall},
    link::{Incoming, Outgoing},
    remote_host::RemoteHost,
};

mod log;

/// Bytes that may wait for the gateway.
const OUTGOING_BYTES: usize = 64 << 20;
/// Calls that have begun are told of after so long: most have ended by then.
const BEGUN_TICK: Duration = Duration::from_millis(10);

/// What the worker runs plugins in; made by the command line, which knows the interpreter.
pub trait Interpreter {
    /// Starts the interpreter, without a thread that stays; `database` has what plugins need for it
    /// imported, too.
    ///
    /// # Errors
    /// What is missing.
    fn prepare(&self, config: &PluginsConfig, database: bool) -> Result<(), String>;

    /// What the interpreter reads while it runs: directories of its library and packages.
    fn readable(&self) -> Vec<std::path::PathBuf>;

    /// Starts the runtime, inside tokio's.
    ///
    /// # Errors
    /// What is missing.
    fn start(
        &self,
        config: &PluginsConfig,
        host: Arc<dyn HostServices>,
    ) -> Result<Arc<dyn PluginRuntime>, String>;
}

/// Runs a worker until its link ends; `builder` makes its I/O runtime.
///
/// # Errors
/// What kept it from serving.
pub fn run(
    interpreter: &dyn Interpreter,
    mut builder: tokio::runtime::Builder,
) -> Result<(), String> {
    let mut socket = take_link().map_err(|error| format!("this is no worker's place: {error}"))?;
    let mut buffer = BytesMut::new();
    let failed = |error: io::Error| format!("the gateway is gone: {error}");
    let ToWorker::Prepare(preparation) = receive(&mut socket, &mut buffer).map_err(failed)? else {
        return Err("the first frame must prepare".into());
    };
    confine::follow_parent(preparation.parent)?;
    let config = preparation.plugins();
    let prepared = interpreter.prepare(&config, preparation.database);
    let stop = prepared.is_err();
    send(&mut socket, &ToGateway::Prepared(prepared)).map_err(failed)?;
    if stop {
        return Ok(());
    }
    let assigned = receive(&mut socket, &mut buffer);
    let Ok(ToWorker::Assign(confinement)) = assigned else {
        // A spare that was never needed.
        return Ok(());
    };
    let confined = confine::apply(&confinement, &interpreter.readable());
    let stop = confined.is_err();
    send(&mut socket, &ToGateway::Ready(confined)).map_err(failed)?;
    if stop {
        return Ok(());
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(serve(interpreter, &preparation, config, socket))?;
    Ok(())
}

/// The link is where standard input was; that is nothing from here on.
fn take_link() -> io::Result<UnixStream> {
    confine::close_inherited();
    let stdin = io::stdin();
    let link = rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3)?;
    let socket = UnixStream::from(link);
    // Standard input of a person, or of a shell, is none.
    socket.peer_addr()?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(socket)
}

fn receive<T: for<'de> Deserialize<'de>>(
    socket: &mut UnixStream,
    buffer: &mut BytesMut,
) -> io::Result<T> {
    let mut bytes = [0; 4096];
    loop {
        let frame = frame::take(buffer, MAX_FRAME_BYTES)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(frame) = frame {
            return Ok(frame);
        }
        match socket.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer.extend_from_slice(&bytes[..count]),
        }
    }
}

fn send(socket: &mut UnixStream, frame: &ToGateway) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::write(frame, &mut bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    socket.write_all(&bytes)
}

/// Calls that run here and have not been told of as begun.
type Unbegun = Mutex<HashMap<u64, Started>>;

async fn serve(
    interpreter: &dyn Interpreter,
    preparation: &Preparation,
    config: PluginsConfig,
    socket: UnixStream,
) -> Result<(), String> {
    CallId::number_apart();
    let gone = |error: io::Error| error.to_string();
    socket.set_nonblocking(true).map_err(gone)?;
    let socket = tokio::net::UnixStream::from_std(socket).map_err(gone)?;
    let (reading, writing) = socket.into_split();
    let outgoing = Outgoing::new(OUTGOING_BYTES);
    let lost = log::start(&outgoing, &preparation.log_filter)?;
    let host = RemoteHost::new(Arc::clone(&outgoing));
    let runtime = interpreter.start(&config, host.clone())?;
    let writer = Arc::clone(&outgoing);
    let writing = tokio::spawn(async move { writer.drive(writing).await });
    let unbegun = Arc::new(Unbegun::default());
    tokio::spawn(tell(
        Arc::clone(&unbegun),
        Arc::clone(&host),
        Arc::clone(&outgoing),
    ));
    let mut incoming = Incoming::new(reading, MAX_FRAME_BYTES);
    let mut frames: Vec<ToWorker> = Vec::new();
    let worker = Worker {
        runtime,
        host,
        outgoing,
        unbegun,
        lost,
    };
    while let Ok(Some(())) = incoming.next(&mut frames).await {
        for frame in frames.drain(..) {
            worker.take(frame);
        }
    }
    // The gateway is gone or wants no more: nothing here is worth waiting for.
    worker.outgoing.close();
    worker.host.lost();
    writing.abort();
    Ok(())
}

struct Worker {
    runtime: Arc<dyn PluginRuntime>,
    host: Arc<RemoteHost>,
    outgoing: Arc<Outgoing>,
    unbegun: Arc<Unbegun>,
    lost: log::Lost,
}

impl Worker {
    fn take(&self, frame: ToWorker) {
        match frame {
            ToWorker::Call(call) => self.call(*call),
            ToWorker::Answer { request, result } => self.host.answered(request, result),
            ToWorker::Cancel(call) => self.runtime.cancel(CallId::of_number(call)),
            ToWorker::Load { request, source } => {
                let loading = self.runtime.load(source);
                let outgoing = Arc::clone(&self.outgoing);
                tokio::spawn(async move {
                    let result = loading.await.unwrap_or(Err(LoadError::Stopped));
                    outgoing
                        .push_owed(&ToGateway::Loaded { request, result })
                        .ok();
                });
            }
            ToWorker::Withdraw => {
                let waiting = self.unbegun.lock();
                let taken = waiting.iter().filter(|(_, started)| started.withdraw());
                let taken = taken.map(|(call, _)| *call).collect();
                drop(waiting);
                self.outgoing.push_owed(&ToGateway::Withdrawn(taken)).ok();
            }
            ToWorker::Unload(generation) => self.runtime.unload(generation),
            ToWorker::Ping(ping) => {
                let status = self.runtime.status();
                let pong = Health {
                    ping,
                    loop_lag_ms: status.loop_lag_ms,
                    queued: status.queued as u64,
                    running: status.running as u64,
                    lines_lost: self.lost.count(),
                };
                self.outgoing.push_owed(&ToGateway::Pong(pong)).ok();
            }
            // Once, before the link was served.
            ToWorker::Prepare(_) | ToWorker::Assign(_) => {}
        }
    }

    fn call(&self, call: WireCall) {
        let id = call.id;
        let started = Started::default();
        let invocation = Invocation {
            id: CallId::of_number(id),
            target: call.target,
            input: call.input,
            wants: call.wants,
            principal: call.principal.map(|principal| Arc::new(principal.into())),
            app_id: call.app_id,
            request_id: call.request_id,
            timeout: Duration::from_millis(call.timeout_ms),
            record: None,
            permit: None,
            started: started.clone(),
        };
        let outgoing = Arc::clone(&self.outgoing);
        match self.runtime.submit(invocation) {
            Ok(answer) => {
                self.unbegun.lock().insert(id, started);
                let unbegun = Arc::clone(&self.unbegun);
                tokio::spawn(async move {
                    let result = answer.await.unwrap_or_else(|_| {
                        Err(CallError::Internal("the runtime dropped the call".into()))
                    });
                    unbegun.lock().remove(&id);
                    outgoing
                        .push_owed(&ToGateway::Done { call: id, result })
                        .ok();
                });
            }
            Err(error) => {
                let result = Err(CallError::Internal(error.to_string()));
                outgoing
                    .push_owed(&ToGateway::Done { call: id, result })
                    .ok();
            }
        }
    }
}

/// Tells the gateway which calls have begun and still run (their time limits count from there), and of
/// which nothing runs any more (they may ask for nothing from there on).
async fn tell(unbegun: Arc<Unbegun>, host: Arc<RemoteHost>, outgoing: Arc<Outgoing>) {
    let mut tick = tokio::time::interval(BEGUN_TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = Instant::now();
        let mut begun = Vec::new();
        unbegun.lock().retain(|call, started| match started.at() {
            Some(at) => {
                let ago = now.saturating_duration_since(at).as_micros();
                begun.push((*call, u64::try_from(ago).unwrap_or(u64::MAX)));
                false
            }
            None => true,
        });
        if !begun.is_empty() {
            outgoing.push_owed(&ToGateway::Begun(begun)).ok();
        }
        let ended = host.take_ended();
        if !ended.is_empty() {
            outgoing.push_owed(&ToGateway::Forget(ended)).ok();
        }
    }
}
