//! What the kernel does not limit by itself is looked at: memory, time on the processor, threads, the
//! disk; and whether a worker still gives signs of life.

use std::{
    sync::{Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use mozaiks_plugins::runtime::CrashReason;

use crate::{
    pace::OnProcessor,
    pool::{WorkerPool, WorkerView},
    worker::Worker,
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Time on the processor that may be saved up, in seconds at the full rate.
const BURST_SECONDS: f64 = 1.0;
/// Over the disk's rate for so long, a worker is killed.
const DISK_PATIENCE: Duration = Duration::from_secs(10);
/// The clock's ticks in a second that the kernel counts in, on every Linux there is.
const TICKS: f64 = 100.0;

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    /// Resident bytes; over it the worker is killed.
    pub memory_bytes: Option<u64>,
    /// Of one core, in percent; over it the worker is paused until it is even.
    pub cpu_percent: Option<f64>,
    /// Bytes that reach the disk in a second.
    pub disk_bytes_per_second: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// Looks after a worker until it has ended.
pub(crate) async fn watch(pool: Weak<WorkerPool>, slot: usize, worker: Weak<Worker>) {
    let mut budget = BURST_SECONDS;
    let mut last: Option<(Instant, f64, u64)> = None;
    let mut over_disk: Option<Instant> = None;
    let mut last_ping = Instant::now();
    let mut replaced = false;
    let mut had: Option<OnProcessor> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let (Some(pool), Some(worker)) = (pool.upgrade(), worker.upgrade()) else {
            return;
        };
        let settings = &pool.settings;
        let watched = settings.watched;
        let Some(usage) = Usage::of(worker.process.pid()) else {
            return;
        };
        // One that is alone gets every call.
        if settings.size > 1 {
            let has = OnProcessor::of(worker.process.pid());
            if let (Some(had), Some(has)) = (had, has) {
                worker.pace.saw(had, has);
            }
            had = has;
        }
        let now = Instant::now();
        if watched.memory_bytes.is_some_and(|most| usage.memory > most) {
            worker.process.kill(CrashReason::Memory);
            return;
        }
        if watched.threads.is_some_and(|most| usage.threads > most) {
            worker.process.kill(CrashReason::Limit);
            return;
        }
        if let Some((then, cpu, written)) = last {
            let passed = now.duration_since(then).as_secs_f64();
            if let Some(percent) = watched.cpu_percent {
                let rate = percent / 100.0;
                budget = (budget + passed * rate - (usage.cpu - cpu)).min(BURST_SECONDS);
                // One that its kernel slows down is not paused as well.
                let is_kept = worker.process.is_kept("cpu");
                worker.process.pause(budget < 0.0 && !is_kept);
            }
            if let Some(most) = watched.disk_bytes_per_second {
                let rate = usage.written.saturating_sub(written) as f64 / passed;
                if rate <= most as f64 || worker.process.is_kept("disk_io") {
                    over_disk = None;
                } else if over_disk.get_or_insert(now).elapsed() > DISK_PATIENCE {
                    worker.process.kill(CrashReason::Limit);
                    return;
                }
            }
        }
        last = Some((now, usage.cpu, usage.written));
        if now.duration_since(last_ping) >= settings.heartbeat {
            last_ping = now;
            worker.ping();
            let (health, at) = worker.health();
            // A worker that stands still because it was paused says nothing.
            if !worker.process.is_paused() && at.elapsed() > settings.heartbeat_timeout {
                worker.process.kill(CrashReason::Heartbeat);
                return;
            }
            let lag = Duration::from_millis(health.loop_lag_ms);
            if worker.running.count() == 0 && lag > settings.heartbeat_timeout {
                worker.process.kill(CrashReason::Heartbeat);
                return;
            }
        }
        let calls = worker.calls.load(Ordering::Relaxed);
        let tired = (settings.recycle_calls > 0 && calls >= settings.recycle_calls)
            || (settings.recycle_bytes > 0 && usage.memory >= settings.recycle_bytes);
        if tired && !replaced {
            replaced = true;
            pool.replace(slot, &worker);
        }
    }
}

/// What a process uses.
struct Usage {
    memory: u64,
    /// Seconds on a processor.
    cpu: f64,
    threads: u64,
    written: u64,
}

impl Usage {
    fn of(pid: u32) -> Option<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let stat = read("stat")?;
        // The name, in brackets, may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let (user, system) = (number(11)?, number(12)?);
        let pages = number(21)?;
        let written = read("io").and_then(|io| {
            let line = io
                .lines()
                .find_map(|line| line.strip_prefix("write_bytes: "))?;
            line.trim().parse().ok()
        });
        Some(Self {
            memory: pages * rustix::param::page_size() as u64,
            cpu: (user + system) as f64 / TICKS,
            threads: number(17)?,
            written: written.unwrap_or(0),
        })
    }
}

impl Worker {
    /// As admins see it.
    pub(crate) fn view(&self) -> WorkerView {
        let pid = self.process.pid();
        let (health, _) = self.health();
        let usage = Usage::of(pid);
        WorkerView {
            pid,
            up_seconds: self.since.elapsed().as_secs_f64(),
            calls: self.calls.load(Ordering::Relaxed),
            running: self.running.count(),
            cpu_seconds: usage.as_ref().map_or(0.0, |usage| usage.cpu),
            memory_bytes: usage.map_or(0, |usage| usage.memory),
            log_lines_lost: health.lines_lost + self.lines_lost.load(Ordering::Relaxed),
        }
    }
}
