//! Workers behind the trait of what runs plugins: one for a plugin of its own, several for all that are
//! shared. What is loaded in one is loaded in all.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mozaiks_plugins::{
    CallError, CallId, CallResult, Generation, HostServices, Input, Invocation, LoadError,
    LoadedPlugin, PluginRuntime, PluginSource, SubmitError, Target,
    runtime::{CrashReason, RuntimeStatus},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    confine::Confinement,
    crashes::Crashes,
    description::{Description, DescriptionFile},
    registrations::Registrations,
    sampler::Watched,
    spawner::Spawner,
    worker::Worker,
};

mod choice;
mod life;
mod load;
mod rest;
mod slot;
mod view;

pub use view::{PoolView, WorkerView};

/// Loads that may wait for one worker; whoever wants another waits for room.
const COMMANDS: usize = 64;

/// How long the end of a call may be under way.
const LAST_WORD: Duration = Duration::from_millis(50);

/// How a pool is run.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The plugin whose own it is, or what all share.
    pub name: Arc<str>,
    /// Workers.
    pub size: usize,
    /// What they may do.
    pub confinement: Confinement,
    /// What is looked at while they run.
    pub watched: Watched,
    /// Whether too many crashes end it, rather than only slow it down.
    pub quarantine: bool,
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// Without one for so long a worker is killed.
    pub heartbeat_timeout: Duration,
    /// A call that goes on for so long after it was cancelled takes its worker with it.
    pub kill_grace: Duration,
    /// A worker is replaced after so many calls; 0 is never.
    pub recycle_calls: u64,
    /// A worker is replaced once it has so much memory; 0 is never.
    pub recycle_bytes: u64,
    /// Calls that may wait for a worker that is starting.
    pub queue_size: usize,
    /// Requests of one worker's plugins that may wait.
    pub max_requests: usize,
    /// How long a worker that is replaced may take for its last calls.
    pub drain_timeout: Duration,
    /// How deep a body may be nested.
    pub max_depth: usize,
    /// A worker without calls for so long ends; the next call has one made. Of pools of one.
    pub idle: Option<Duration>,
    /// Where a load's description is kept, for code that never changes: a later load of it needs no worker
    /// before its first call.
    pub description: Option<DescriptionFile>,
}

/// Hears of what happens to workers.
pub trait PoolObserver: Send + Sync + 'static {
    /// A worker has ended without being asked.
    fn worker_died(&self, pool: &str, reason: CrashReason);

    /// It was one time too many: the plugin runs no more.
    fn quarantined(&self, plugin: &str, reason: CrashReason, crashes: usize);
}

/// A pool of workers.
pub struct WorkerPool {
    pub(crate) settings: PoolSettings,
    pub(crate) spawner: Arc<Spawner>,
    pub(crate) host: Arc<dyn HostServices>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) crashes: Arc<Crashes>,
    pub(crate) observer: Arc<dyn PoolObserver>,
    /// For its tasks.
    handle: tokio::runtime::Handle,
    me: Weak<Self>,
    /// Held for moments, never across an await.
    state: Mutex<State>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Told whenever a worker is ready, or none is to be had.
    settled: Notify,
}

#[derive(Default)]
struct State {
    /// What is loaded, in the order of loading.
    records: BTreeMap<Generation, Record>,
    slots: Vec<Slot>,
    /// Calls for which no worker is ready yet.
    waiting: VecDeque<(Invocation, oneshot::Sender<CallResult>)>,
    over: bool,
}

impl State {
    /// Whether another worker is on its way, or about to be.
    fn expects(&self) -> bool {
        let mut slots = self.slots.iter();
        !self.over
            && slots.any(|slot| {
                let worker = slot.worker.as_ref();
                slot.starting
                    || worker.is_some_and(|worker| worker.retiring.load(Ordering::Acquire))
            })
    }
}

/// A load that every worker is to have.
#[derive(Clone)]
struct Record {
    source: PluginSource,
    /// Whether it has been loaded once: only then a new worker loads it too.
    confirmed: bool,
    /// Steps of its life that a new worker takes too.
    steps: Vec<life::Step>,
    /// What it has said of itself, where that is kept.
    loaded: Option<LoadedPlugin>,
}

struct Slot {
    commands: mpsc::Sender<Command>,
    /// Where there is one that takes calls.
    worker: Option<Arc<Worker>>,
    /// A worker is being made.
    starting: bool,
    /// There is none because nobody needed one; it is made when somebody does.
    resting: bool,
}

enum Command {
    Load(
        PluginSource,
        oneshot::Sender<Result<LoadedPlugin, LoadError>>,
    ),
    /// Replace the worker of this number.
    Replace(u64),
    /// Somebody needs the worker that rests.
    Wake,
}

impl WorkerPool {
    /// A pool without workers: they are made with the first load. Inside tokio.
    pub fn new(
        settings: PoolSettings,
        spawner: Arc<Spawner>,
        host: Arc<dyn HostServices>,
        crashes: Arc<Crashes>,
        observer: Arc<dyn PoolObserver>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            registrations: Arc::new(Registrations::new(Arc::clone(&host))),
            settings,
            spawner,
            host,
            crashes,
            observer,
            handle: tokio::runtime::Handle::current(),
            me: Weak::clone(me),
            state: Mutex::default(),
            turn: AtomicUsize::new(0),
            settled: Notify::new(),
        })
    }

    /// What admins see.
    pub fn view(&self) -> PoolView {
        let (workers, waiting): (Vec<Arc<Worker>>, usize) = {
            let state = self.state.lock();
            let workers = state.slots.iter().filter_map(|slot| slot.worker.clone());
            (workers.collect(), state.waiting.len())
        };
        PoolView {
            resting: self.rests(),
            enforced: workers
                .first()
                .map(|worker| worker.enforced.clone())
                .unwrap_or_default(),
            workers: workers.iter().map(|worker| worker.view()).collect(),
            waiting,
        }
    }

    /// Replaces every worker: new ones first.
    pub fn restart(&self) {
        for slot in &self.state.lock().slots {
            if let Some(worker) = &slot.worker {
                // One that has much to load is replaced when it is asked again.
                slot.commands.try_send(Command::Replace(worker.number)).ok();
            }
        }
    }

    /// Ends all workers: nothing is left for them to do.
    fn end(&self) {
        let (slots, waiting) = {
            let mut state = self.state.lock();
            state.over = true;
            (
                std::mem::take(&mut state.slots),
                std::mem::take(&mut state.waiting),
            )
        };
        for (_, sender) in waiting {
            sender.send(Err(CallError::NotLoaded)).ok();
        }
        self.settled.notify_waiters();
        // Their tasks end with their commands, and the workers with these.
        drop(slots);
    }

    /// Sends what has waited to whoever can take it; what nobody will ever have is told so.
    fn flush(&self) {
        let mut todo = std::mem::take(&mut self.state.lock().waiting);
        while let Some((call, sender)) = todo.pop_front() {
            let mut state = self.state.lock();
            match self.choose(&state, call.target) {
                Some((worker, resolved)) => {
                    drop(state);
                    worker.call(call, resolved, sender);
                }
                None if state.expects() || state.wake() => {
                    state.waiting.push_back((call, sender));
                }
                None => {
                    drop(state);
                    sender.send(Err(CallError::NotLoaded)).ok();
                }
            }
        }
    }

    /// No worker can be had: whoever waits for one is told.
    fn give_up_waiting(&self) {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        for (_, sender) in waiting {
            sender.send(Err(CallError::NotLoaded)).ok();
        }
        self.settled.notify_waiters();
    }

    fn worker_of(&self, call: CallId) -> Option<(usize, Arc<Worker>)> {
        let state = self.state.lock();
        let slots = state.slots.iter().enumerate();
        let mut workers = slots.filter_map(|(at, slot)| Some((at, slot.worker.clone()?)));
        workers.find(|(_, worker)| worker.running.is_running(call))
    }
}

impl PluginRuntime for WorkerPool {
    fn load(&self, source: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        let (answer, receiver) = oneshot::channel();
        let Some(me) = self.me.upgrade() else {
            return receiver;
        };
        self.handle.spawn(async move {
            // Whoever wanted it may have gone; then nobody unloads it either.
            let generation = source.generation;
            let loaded = me.load_everywhere(source).await;
            if let Err(Ok(_)) = answer.send(loaded) {
                me.drop_load(generation);
            }
        });
        receiver
    }

    fn unload(&self, generation: Generation) {
        self.drop_load(generation);
    }

    fn submit(&self, call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        if let (Target::Life(generation), Input::Arguments(arguments)) = (call.target, &call.input)
            && let Some(step) = life::Step::of(arguments, call.app_id.as_ref())
        {
            return Ok(self.take_step(generation, step, call));
        }
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some((worker, resolved)) = self.choose(&state, call.target) {
            drop(state);
            if !worker.has_room() {
                return Err(SubmitError::Full);
            }
            worker.call(call, resolved, sender);
            return Ok(receiver);
        }
        if !state.expects() && !state.wake() {
            drop(state);
            sender.send(Err(CallError::NotLoaded)).ok();
            return Ok(receiver);
        }
        if state.waiting.len() >= self.settings.queue_size {
            return Err(SubmitError::Full);
        }
        state.waiting.push_back((call, sender));
        Ok(receiver)
    }

    fn cancel(&self, call: CallId) {
        let waiting = {
            let mut state = self.state.lock();
            let at = state.waiting.iter().position(|(waits, _)| waits.id == call);
            at.and_then(|at| state.waiting.remove(at))
        };
        if let Some((_, sender)) = waiting {
            sender.send(Err(CallError::Cancelled)).ok();
            return;
        }
        let Some((slot, worker)) = self.worker_of(call) else {
            return;
        };
        worker.cancel(call);
        if let Some(me) = self.me.upgrade() {
            self.handle.spawn(me.see_to_the_end(slot, worker, call));
        }
    }

    fn max_body_depth(&self) -> usize {
        self.settings.max_depth
    }

    fn status(&self) -> RuntimeStatus {
        let state = self.state.lock();
        let workers = state.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let mut status = RuntimeStatus {
            queued: state.waiting.len(),
            ..RuntimeStatus::default()
        };
        for worker in workers {
            let (health, _) = worker.health();
            status.running += worker.running.count();
            status.queued += usize::try_from(health.queued).unwrap_or(0);
            status.loop_lag_ms = status.loop_lag_ms.max(health.loop_lag_ms);
        }
        status
    }
}

impl WorkerPool {
    /// A call was cancelled: where it does not end, its worker does.
    async fn see_to_the_end(self: Arc<Self>, slot: usize, worker: Arc<Worker>, call: CallId) {
        tokio::time::sleep(self.settings.kill_grace).await;
        // One that has not begun holds nobody up.
        if worker.running.give_up_unbegun(call) || !worker.running.is_running(call) {
            return;
        }
        if self.settings.size == 1 || self.holds_its_loop(&worker).await {
            // What waits behind it has not run, and another worker may run it.
            worker.retiring.store(true, Ordering::Release);
            let waiting = worker.withdraw(self.settings.kill_grace).await;
            self.begin_anew(slot, waiting);
            // It may have ended just now, and the word of that be under way.
            tokio::time::sleep(LAST_WORD).await;
            if worker.running.is_running(call) {
                worker.process.kill(CrashReason::Deadline);
            } else {
                // It has ended at the last moment: then the worker goes in peace.
                self.replace(slot, &worker);
            }
            return;
        }
        // A thread of it hangs, and others' calls go on beside it: they may end.
        self.replace(slot, &worker);
    }

    /// Calls that were taken back wait for the next worker.
    fn begin_anew(&self, slot: usize, calls: Vec<(Invocation, oneshot::Sender<CallResult>)>) {
        let mut state = self.state.lock();
        if let Some(slot) = state.slots.get_mut(slot) {
            // Another is on its way from here on.
            slot.starting = true;
            slot.resting = false;
        }
        for call in calls.into_iter().rev() {
            state.waiting.push_front(call);
        }
    }

    /// Whether a worker's event loop does not turn, so that nothing else in it goes on either.
    async fn holds_its_loop(&self, worker: &Worker) -> bool {
        let (_, before) = worker.health();
        worker.ping();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let (health, at) = worker.health();
            if at > before {
                return health.loop_lag_ms >= 100;
            }
        }
        true
    }

    pub(crate) fn replace(&self, slot: usize, worker: &Worker) {
        if let Some(slot) = self.state.lock().slots.get(slot) {
            // One that has much to load is replaced when it is asked again.
            slot.commands.try_send(Command::Replace(worker.number)).ok();
        }
    }
}
