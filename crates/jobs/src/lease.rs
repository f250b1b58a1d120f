//! What a worker does for the job that it holds: keep its lease up, and write down how it ended.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    model::{Finish, Job, JobError},
    queue::JobQueue,
};

/// How often the end of a job is written where the database does not answer, and the first wait
/// between two tries; with each further one it doubles.
const FINISH_TRIES: u32 = 4;
const FINISH_WAIT: Duration = Duration::from_millis(100);

impl JobQueue {
    /// Lengthens the lease of a claimed job again and again; ends when it is lost.
    pub async fn hold(&self, job: &Job, lease: Duration) {
        let mut held_until = Instant::now() + lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            let asked = Instant::now();
            match self.renew(job, lease).await {
                Ok(true) => held_until = asked + lease,
                Ok(false) => return,
                // The database may be back before the lease is over.
                Err(_) if Instant::now() < held_until => {}
                Err(_) => return,
            }
        }
    }

    /// As [`Self::finish`], tried again where the database does not answer.
    ///
    /// # Errors
    /// What the database said last; the lease ends and somebody does the job again.
    pub async fn finish_surely(&self, job: &Job, finish: &Finish) -> Result<bool, JobError> {
        let mut wait = FINISH_WAIT;
        for _ in 1..FINISH_TRIES {
            if let Ok(mine) = self.finish(job, finish.clone()).await {
                return Ok(mine);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.finish(job, finish.clone()).await
    }
}
