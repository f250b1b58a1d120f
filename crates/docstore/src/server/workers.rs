//! Threads for connections that are at work. A connection that waits for its client has none.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// The stack of a thread; BSON and expressions are nested to a bounded depth.
const STACK_BYTES: usize = 4 << 20;
/// How long a thread without work is kept.
const KEPT: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

/// The threads. There are as many as jobs that run or wait for their client, which the number of
/// connections bounds.
#[derive(Default)]
pub struct Workers {
    state: Mutex<State>,
    /// Told when there is a job.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads without a job.
    idle: usize,
    threads: usize,
    /// Threads that have ended since the start.
    ended: u64,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Workers").finish_non_exhaustive()
    }
}

impl Workers {
    /// Runs a job at once: on a thread that has none, or on a new one.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = self.state.lock();
        state.jobs.push_back(Box::new(job));
        if state.idle >= state.jobs.len() {
            drop(state);
            self.wake.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let workers = Arc::clone(self);
        let started = std::thread::Builder::new()
            .name("docstore-worker".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || workers.work());
        if let Err(error) = started {
            let mut state = self.state.lock();
            state.threads -= 1;
            if state.threads == 0 {
                // Nobody is left who would take it up; dropping it ends its connection.
                let lost = state.jobs.pop_back();
                drop(state);
                drop(lost);
            }
            tracing::error!(error = %error, "a connection got no thread of its own");
        }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.state.lock().threads
    }

    /// How many threads have ended since the start.
    pub fn ended(&self) -> u64 {
        self.state.lock().ended
    }

    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A job that panics costs its connection, not the thread.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                if done.is_err() {
                    tracing::error!("a connection ended by a panic");
                }
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let until = Instant::now() + KEPT;
            let late = self.wake.wait_until(&mut state, until).timed_out();
            state.idle -= 1;
            if late && state.jobs.is_empty() {
                state.threads -= 1;
                state.ended += 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn runs_all_at_once_and_lets_threads_go() {
        let workers = Arc::new(Workers::default());
        let (done, all) = mpsc::channel();
        let barrier = Arc::new(std::sync::Barrier::new(20));
        for _ in 0..20 {
            let (done, barrier) = (done.clone(), Arc::clone(&barrier));
            // Each waits for all: none may be queued behind another.
            workers.run(move || {
                barrier.wait();
                done.send(()).unwrap();
            });
        }
        for _ in 0..20 {
            all.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        workers.run(|| panic!("as a test"));
        workers.run(move || done.send(()).unwrap());
        all.recv_timeout(Duration::from_secs(20)).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while workers.threads() > 0 {
            assert!(Instant::now() < until, "threads were kept");
            std::thread::yield_now();
        }
    }
}
