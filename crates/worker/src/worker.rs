//! One living worker, from the gateway: its link, its calls, what it asks.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use mozaiks_plugins::{
    CallError, CallId, CallResult, Caller, Generation, HostError, HostServices, Invocation,
    LoadError, LoadedPlugin, PluginSource, Target, host::Registration, runtime::CrashReason,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    confine::Enforced,
    database_use::DatabaseUse,
    frame::{Ask, Asker, Health, LogLine, ToGateway, ToWorker, Way, WireCall},
    link::{Incoming, NotSent, Outgoing},
    pace::Pace,
    process::Process,
    registrations::Registrations,
    running::{Entry, Reply, RunningCalls},
    spawner::Fresh,
};

mod log;

/// Lines of a worker's log that are written in a second; each costs the gateway time.
const MAX_LINES_PER_SECOND: u32 = 5000;

/// A worker.
pub(crate) struct Worker {
    /// No other worker of this process has it.
    pub(crate) number: u64,
    pub(crate) process: Arc<Process>,
    pub(crate) running: RunningCalls,
    pub(crate) pace: Pace,
    /// What its kernel sees to.
    pub(crate) enforced: Vec<Enforced>,
    pub(crate) since: Instant,
    /// Calls it has had.
    pub(crate) calls: AtomicU64,
    /// It gets no new calls: another takes its place.
    pub(crate) retiring: AtomicBool,
    outgoing: Arc<Outgoing>,
    host: Arc<dyn HostServices>,
    registrations: Arc<Registrations>,
    /// What has been loaded in it, by the gateway's word.
    generations: Mutex<HashMap<Generation, Arc<str>>>,
    loads: Mutex<HashMap<u64, oneshot::Sender<Result<LoadedPlugin, LoadError>>>>,
    /// Who waits for the calls that it gives back.
    withdrawn: Mutex<Option<oneshot::Sender<Vec<u64>>>>,
    next: AtomicU64,
    /// Requests of its plugins that wait.
    asks: AtomicUsize,
    max_asks: usize,
    /// Whoever makes workers has the next one ready for it.
    database: Arc<DatabaseUse>,
    /// Lines of its log in the second that began then.
    lines: Mutex<(Instant, u32)>,
    /// Lines over what a worker may log in a second.
    pub(crate) lines_lost: AtomicU64,
    /// Its last sign of life.
    health: Mutex<(Health, Instant)>,
}

impl Worker {
    pub(crate) fn new(
        fresh: Fresh,
        enforced: Vec<Enforced>,
        host: Arc<dyn HostServices>,
        registrations: Arc<Registrations>,
        max_asks: usize,
    ) -> Option<(Arc<Self>, Incoming)> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let database = fresh.database();
        let (process, outgoing, incoming) = fresh.into_parts()?;
        let worker = Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            process,
            running: RunningCalls::default(),
            pace: Pace::new(),
            enforced,
            since: Instant::now(),
            calls: AtomicU64::new(0),
            retiring: AtomicBool::new(false),
            outgoing,
            host,
            registrations,
            generations: Mutex::default(),
            loads: Mutex::default(),
            withdrawn: Mutex::default(),
            next: AtomicU64::new(1),
            asks: AtomicUsize::new(0),
            max_asks,
            database,
            lines: Mutex::new((Instant::now(), 0)),
            lines_lost: AtomicU64::new(0),
            health: Mutex::new((Health::default(), Instant::now())),
        };
        Some((Arc::new(worker), incoming))
    }

    /// Serves its link until that ends; then it is killed, whatever it still does, and everybody who
    /// waits for it is told.
    pub(crate) async fn serve(self: Arc<Self>, mut incoming: Incoming) -> CrashReason {
        let mut frames: Vec<ToGateway> = Vec::new();
        loop {
            match incoming.next(&mut frames).await {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    if error.kind() == std::io::ErrorKind::InvalidData {
                        tracing::error!(worker.pid = self.process.pid(), %error, "worker.nonsense");
                        self.process.kill(CrashReason::Protocol);
                    }
                    break;
                }
            }
            let is_answer = |frame: &&ToGateway| matches!(frame, ToGateway::Done { .. });
            self.pace.answered(frames.iter().filter(is_answer).count());
            for frame in frames.drain(..) {
                self.take(frame);
            }
        }
        // From here on calls wait for the next worker.
        self.retiring.store(true, Ordering::Release);
        self.outgoing.close();
        // A process without its link is of no use; one that is ending says itself why.
        let ended = self.process.ended();
        let reason = match tokio::time::timeout(Duration::from_millis(200), ended).await {
            Ok(reason) => reason,
            Err(_) => {
                self.process.kill(CrashReason::Protocol);
                self.process.ended().await
            }
        };
        self.running.fail(reason);
        self.registrations.lose_worker(self.number);
        // Dropped senders tell whoever waits for an import.
        self.loads.lock().clear();
        reason
    }

    /// Whether a load is here.
    pub(crate) fn has(&self, generation: Generation) -> bool {
        self.generations.lock().contains_key(&generation)
    }

    /// Imports a plugin.
    ///
    /// # Errors
    /// Why it cannot be loaded, which may be that the worker has died of it.
    pub(crate) async fn load(&self, source: PluginSource) -> Result<LoadedPlugin, LoadError> {
        let generation = source.generation;
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.loads.lock().insert(request, sender);
        // Known from the start: what the import registers is part of it.
        self.generations
            .lock()
            .insert(generation, Arc::clone(&source.name));
        let sent = self.outgoing.push_owed(&ToWorker::Load { request, source });
        let loaded = match sent {
            Ok(()) => receiver.await.unwrap_or_else(|_| Err(died())),
            Err(NotSent::Unwritable) => Err(LoadError::Manifest(
                "the path of its directory is not UTF-8".into(),
            )),
            Err(NotSent::Closed | NotSent::Full) => Err(died()),
        };
        if loaded.is_err() {
            self.generations.lock().remove(&generation);
            self.loads.lock().remove(&request);
        }
        loaded
    }

    /// Forgets a load.
    pub(crate) fn unload(&self, generation: Generation) {
        if self.generations.lock().remove(&generation).is_some() {
            // Refused only by a link that is gone.
            self.outgoing.push_owed(&ToWorker::Unload(generation)).ok();
        }
    }

    /// Whether it can run this now, and the target as the worker knows it.
    pub(crate) fn resolve(&self, target: Target) -> Option<(Generation, Target)> {
        match target {
            Target::Execute(generation)
            | Target::Life(generation)
            | Target::Migration(generation) => self.has(generation).then_some((generation, target)),
            Target::Handler(handler) => {
                let local = self.registrations.local(self.number, handler)?;
                let generation = self.registrations.generation(handler)?;
                let handler = mozaiks_plugins::host::HandlerId(local);
                Some((generation, Target::Handler(handler)))
            }
        }
    }

    /// Sends a call.
    pub(crate) fn send(
        &self,
        call: Invocation,
        resolved: (Generation, Target),
    ) -> oneshot::Receiver<CallResult> {
        let (sender, receiver) = oneshot::channel();
        self.call(call, resolved, sender);
        receiver
    }

    /// As [`Self::send`], where somebody waits already.
    pub(crate) fn call(
        &self,
        call: Invocation,
        (generation, target): (Generation, Target),
        sender: oneshot::Sender<CallResult>,
    ) {
        let id = call.id;
        let plugin = self.generations.lock().get(&generation).cloned();
        let mut call = call;
        let reply = Reply {
            sender,
            permit: call.permit.take(),
        };
        let Some(plugin) = plugin else {
            return reply.complete(Err(CallError::NotLoaded));
        };
        let entry = Entry {
            plugin,
            generation,
            principal: call.principal.clone(),
            app_id: call.app_id.clone(),
            request_id: Arc::clone(&call.request_id),
            started: call.started.clone(),
            call: None,
            reply: Some(reply),
            forgotten: false,
        };
        let frame = ToWorker::Call(Box::new(WireCall {
            id: id.number(),
            target,
            input: call.input.clone(),
            wants: call.wants,
            principal: call.principal.as_deref().map(Into::into),
            app_id: call.app_id.clone(),
            request_id: Arc::clone(&call.request_id),
            timeout_ms: u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX),
        }));
        let entry = Entry {
            call: Some(call),
            ..entry
        };
        let begun = self.running.begin(id, entry);
        let is_first = matches!(begun, Ok(1));
        if let Err(over) = begun {
            let (reason, entry) = *over;
            if let Some(reply) = entry.reply {
                reply.complete(Err(CallError::WorkerCrashed(reason)));
            }
            return;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        if is_first {
            self.pace.begins();
        }
        // A call that finds no room has not run; one that finds the worker gone is told so with the others.
        if matches!(
            self.outgoing.push(&frame),
            Err(NotSent::Full | NotSent::Unwritable)
        ) {
            let error = CallError::Internal("the worker does not take calls".into());
            self.running.end(id.number(), Err(error));
            self.running.forget(&[id.number()]);
        }
    }

    /// Whether it gets the next call, before others have as many.
    pub(crate) fn is_quick(&self) -> bool {
        self.pace.is_quick(|| self.running.count())
    }

    /// Whether there is room for another call.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    /// Asks that a call be cancelled.
    pub(crate) fn cancel(&self, call: CallId) {
        self.outgoing
            .push_owed(&ToWorker::Cancel(call.number()))
            .ok();
    }

    /// Takes back what the worker has not begun; it is about to be ended.
    pub(crate) async fn withdraw(
        &self,
        patience: Duration,
    ) -> Vec<(Invocation, oneshot::Sender<CallResult>)> {
        let (sender, receiver) = oneshot::channel();
        *self.withdrawn.lock() = Some(sender);
        self.outgoing.push_owed(&ToWorker::Withdraw).ok();
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(calls)) => self.running.withdraw(&calls),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&self) {
        let ping = self.next.fetch_add(1, Ordering::Relaxed);
        self.outgoing.push_owed(&ToWorker::Ping(ping)).ok();
    }

    /// Its last sign of life, and when that was.
    pub(crate) fn health(&self) -> (Health, Instant) {
        *self.health.lock()
    }

    fn take(self: &Arc<Self>, frame: ToGateway) {
        match frame {
            ToGateway::Done { call, result } => self.running.end(call, result),
            ToGateway::Withdrawn(calls) => {
                let waiting = self.withdrawn.lock().take();
                if let Some(waiting) = waiting {
                    waiting.send(calls).ok();
                }
            }
            ToGateway::Forget(calls) => self.running.forget(&calls),
            ToGateway::Begun(calls) => {
                for (call, ago) in calls {
                    self.running.begun(call, ago);
                }
            }
            ToGateway::Ask(ask) => self.ask(ask),
            ToGateway::Register {
                request,
                asker,
                kind,
                spec,
                handler,
            } => {
                let registration = Registration {
                    kind: kind.into(),
                    spec,
                };
                let made = self.caller(asker).and_then(|caller| {
                    self.registrations
                        .register(self.number, &caller, registration, handler)
                });
                let number = |id: mozaiks_plugins::host::RegistrationId| {
                    Bytes::copy_from_slice(&id.0.to_le_bytes())
                };
                self.answer(request, made.map(number));
            }
            ToGateway::Unregister(id) => self.registrations.unregister(self.number, id),
            ToGateway::Loaded { request, result } => {
                let waiting = self.loads.lock().remove(&request);
                if let Some(waiting) = waiting {
                    waiting.send(result).ok();
                }
            }
            ToGateway::Log(line) => self.log(line),
            ToGateway::Found {
                generation,
                kind,
                sentence,
            } => {
                let plugin = self.generations.lock().get(&generation).cloned();
                if let Some(plugin) = plugin {
                    self.host.found(&plugin, generation, kind, &sentence);
                }
            }
            ToGateway::Pong(health) => *self.health.lock() = (health, Instant::now()),
            // Before it was ready.
            ToGateway::Prepared(_) | ToGateway::Ready(_) => {}
        }
    }

    /// For whom it asks: by the gateway's own tables.
    fn caller(&self, asker: Asker) -> Result<Caller, HostError> {
        if let Some(call) = asker.call {
            return self.running.caller(call).ok_or_else(|| HostError {
                code: "FORBIDDEN",
                message: "the call that this work belongs to is not known here (any more)".into(),
                details: None,
            });
        }
        let plugin = self.generations.lock().get(&asker.generation).cloned();
        let plugin = plugin.ok_or_else(|| HostError {
            code: "NOT_FOUND",
            message: "this load of the plugin has ended".into(),
            details: None,
        })?;
        Ok(Caller {
            plugin,
            generation: asker.generation,
            principal: None,
            app_id: None,
            request_id: None,
            call: None,
        })
    }

    fn ask(self: &Arc<Self>, ask: Ask) {
        let Ask {
            request,
            asker,
            way,
            what,
            payload,
        } = ask;
        let caller = match self.caller(asker) {
            Ok(caller) => caller,
            Err(error) => return self.answer(request, Err(error)),
        };
        match way {
            Way::Query => self.answer(request, self.host.query(&caller, &what, &payload)),
            Way::Publish => {
                let published = self.host.publish(&caller, &what, payload);
                self.answer(request, published.map(|()| Bytes::new()));
            }
            Way::Request => {
                if self.asks.fetch_add(1, Ordering::AcqRel) >= self.max_asks {
                    self.asks.fetch_sub(1, Ordering::AcqRel);
                    let error = HostError {
                        code: "OVERLOADED",
                        message: "too many requests to the gateway wait".into(),
                        details: None,
                    };
                    return self.answer(request, Err(error));
                }
                if what.starts_with("db.") {
                    self.database.note();
                }
                let work = self.host.request(caller, &what, payload);
                let worker = Arc::clone(self);
                tokio::spawn(async move {
                    // A panic of the host must still give an answer.
                    let result = AssertUnwindSafe(work).catch_unwind().await;
                    worker.asks.fetch_sub(1, Ordering::AcqRel);
                    let result = result.unwrap_or_else(|_| {
                        Err(HostError {
                            code: "INTERNAL_ERROR",
                            message: "the request failed".into(),
                            details: None,
                        })
                    });
                    worker.answer(request, result);
                });
            }
        }
    }

    fn answer(&self, request: u64, result: Result<Bytes, HostError>) {
        let result = result.map_err(Into::into);
        // Refused only by a link that is gone.
        self.outgoing
            .push_owed(&ToWorker::Answer { request, result })
            .ok();
    }

    fn log(&self, line: LogLine) {
        {
            let mut lines = self.lines.lock();
            if lines.0.elapsed() >= Duration::from_secs(1) {
                *lines = (Instant::now(), 0);
            }
            lines.1 += 1;
            if lines.1 > MAX_LINES_PER_SECOND {
                self.lines_lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        let known = |name: &String| {
            let generations = self.generations.lock();
            generations.values().any(|plugin| **plugin == **name)
        };
        let plugin = line.plugin.clone().filter(known);
        log::emit(self.process.pid(), plugin.as_deref(), &line);
    }
}

fn died() -> LoadError {
    let summary = "the process that imported it has ended".to_owned();
    LoadError::Raised {
        traceback: summary.clone(),
        summary,
    }
}
