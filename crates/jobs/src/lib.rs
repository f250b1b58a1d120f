//! A queue of jobs in the database, for work that outlives a request or a process.
//!
//! A job is a document: which queue takes it, when it is due, what it is about. A worker claims it
//! atomically for a lease and lengthens the lease while it works; where the worker dies, the lease
//! ends and another takes the job up, whichever gateway it is in. So a job happens at least once, and
//! at most one worker holds it at a time. What fails for a passing reason is tried again with a growing
//! wait; what fails for good is kept as a dead letter. A recurring entry is one such document that
//! goes back to the queue for its next time whenever a run ends: it cannot overlap with itself.
//!
//! What the jobs are about is their owner's business: nothing here knows notifications or plugins.
//! Gateways that share a database need clocks that agree to well within a lease.

mod collection;
mod lease;
mod listing;
mod model;
mod queue;
mod recurring;
mod stats;
mod wakeups;
mod worker;

#[cfg(test)]
mod tests;

pub use collection::collection;
pub use listing::{JobFilter, JobRecord};
pub use model::{Finish, Job, JobError, NewJob};
pub use mozaiks_schedule::{Schedule, ScheduleError};
pub use queue::JobQueue;
pub use recurring::Recurring;
pub use stats::QueueStats;
pub use worker::{Backoff, Handler, Outcome, Stopping, WorkerOptions, Workers};
