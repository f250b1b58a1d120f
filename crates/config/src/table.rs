//! The one table of configuration keys. Loading, checking, flags, `mozaiks config` and the table in
//! the documentation are made from it; a new key is a new row in one of its parts.

mod access;
mod data;
mod hooks;
mod jobs;
mod log;
mod migrations;
mod notifications;
mod outbound;
mod process;
mod queue_delay;
mod rates;
mod realtime;
mod requirements;
mod runtime;
mod server;
mod usage;
mod workers;

use std::time::Duration;

use self::{
    access::ACCESS, data::DATA, hooks::HOOKS, jobs::JOBS, log::LOG, migrations::MIGRATIONS,
    notifications::NOTIFICATIONS, outbound::OUTBOUND, process::PROCESS, queue_delay::QUEUE_DELAY,
    rates::RATES, realtime::REALTIME, requirements::REQUIREMENTS, runtime::RUNTIME, server::SERVER,
    usage::USAGE, workers::WORKERS,
};
use crate::keys::Key;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const PARTS: [&[Key]; 17] = [
    PROCESS,
    DATA,
    ACCESS,
    SERVER,
    RATES,
    RUNTIME,
    REQUIREMENTS,
    QUEUE_DELAY,
    WORKERS,
    OUTBOUND,
    JOBS,
    MIGRATIONS,
    HOOKS,
    USAGE,
    LOG,
    REALTIME,
    NOTIFICATIONS,
];

/// Every key there is, in the order of the documentation.
pub static KEYS: &[Key] = &joined::<{ count() }>();

const fn count() -> usize {
    let mut sum = 0;
    let mut part = 0;
    while part < PARTS.len() {
        sum += PARTS[part].len();
        part += 1;
    }
    sum
}

const fn joined<const ALL: usize>() -> [Key; ALL] {
    let mut all = [PARTS[0][0]; ALL];
    let (mut at, mut part, mut row) = (0, 0, 0);
    while at < ALL {
        if row == PARTS[part].len() {
            part += 1;
            row = 0;
        } else {
            all[at] = PARTS[part][row];
            at += 1;
            row += 1;
        }
    }
    all
}
