//! A claimed migration, from its first command to what is written of its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use aws_lc_rs::digest;
use bson::{Bson, DateTime, Document, doc, oid::ObjectId};

use super::{
    Machine, entity,
    plan::{Plan, chained},
};
use crate::{
    allowed::{Kind, look},
    error::EntityError,
    migration::Direction,
    repository::{Claim, Outcome, Place, Repository},
    subject::Subject,
    tree::Tree,
};
use mozaiks_store::StoreErrorKind;

/// Why a run ended before its end.
pub(super) enum Stopped {
    /// The server has refused a command, which is not done then: this is written.
    Refused(String),
    /// Something else went wrong; what was begun may be done.
    Failed(String),
    /// The claim is somebody else's: nothing is written any more.
    Lost,
}

impl From<EntityError> for Stopped {
    fn from(error: EntityError) -> Self {
        // Read by admins, whose database it is; addresses are not in what servers say.
        Self::Failed(match &error {
            EntityError::Store(store) => store.for_plugins(),
            other => other.public_message(),
        })
    }
}

/// Bytes of an error that are kept.
const MAX_ERROR_BYTES: usize = 8 * 1024;

impl Machine {
    /// Runs a claimed migration and writes down how it ended.
    pub(super) async fn see_through(
        &self,
        subject: &Subject,
        tree: &Tree,
        plan: &Plan,
        place: &Place,
        claim: &Claim,
    ) {
        let started = Instant::now();
        let held = Arc::new(AtomicBool::new(true));
        let work = async {
            entity::before(&self.repository, subject, plan).await?;
            if plan.is_python() {
                self.run_python(subject, plan, place, &held).await?;
            } else {
                let seed = format!("{}/{}", subject.owner.app_id, subject.owner.plugin);
                self.run_commands(&self.repository, plan, place, claim, &held, &seed)
                    .await?;
            }
            entity::after(&self.repository, subject, tree, plan).await?;
            Ok(())
        };
        let ended = tokio::select! {
            ended = work => ended,
            () = self.lose(&self.repository, claim, &held) => Err(Stopped::Lost),
        };
        if let Err(Stopped::Refused(_) | Stopped::Failed(_)) = &ended
            && let Err(error) = entity::failed(&self.repository, subject, plan).await
        {
            tracing::warn!(%error, "an entity's failure was not written down");
        }
        self.write_end(&self.repository, plan, claim, ended, started)
            .await;
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "which collections are whose was not read");
        }
    }

    /// Writes down how a run ended.
    pub(super) async fn write_end(
        &self,
        repository: &Repository,
        plan: &Plan,
        claim: &Claim,
        ended: Result<(), Stopped>,
        started: Instant,
    ) {
        let version = &*plan.migration.version;
        let took = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut set = doc! { "execution_time_ms": took };
        let what = match (&ended, plan.direction) {
            (Ok(()), Direction::Up) => {
                set.extend(doc! { "status": "completed", "completed_at": DateTime::now() });
                "completed"
            }
            (Ok(()), Direction::Down) => {
                set.extend(doc! {
                    "status": "rolled_back", "rolled_back_at": DateTime::now(), "position": 0_i64,
                });
                "rolled_back"
            }
            (Err(Stopped::Refused(reason) | Stopped::Failed(reason)), _) => {
                tracing::warn!(version, reason = &**reason, "plugin_migration.failed");
                let mut end = reason.len().min(MAX_ERROR_BYTES);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                set.extend(doc! {
                    "status": "failed",
                    "error_message": &reason[..end],
                    "refused": matches!(ended, Err(Stopped::Refused(_))),
                });
                "failed"
            }
            (Err(Stopped::Lost), _) => {
                tracing::error!(version, "plugin_migration.lost");
                return;
            }
        };
        match repository
            .finish(claim, set, what, &self.config.gateway)
            .await
        {
            Ok(true) => tracing::info!(version, what, took_ms = took, "plugin_migration.ended"),
            Ok(false) => tracing::error!(version, "plugin_migration.lost"),
            // Its lease ends, and whoever looks then writes that it failed.
            Err(error) => tracing::error!(version, %error, "plugin_migration.end_not_written"),
        }
    }

    /// Keeps a claim up; ends when it is lost.
    pub(super) async fn lose(&self, repository: &Repository, claim: &Claim, held: &AtomicBool) {
        let lease = self.config.lease;
        let mut held_until = Instant::now() + lease;
        loop {
            // Three signs of life a lease: one may be late.
            tokio::time::sleep(lease / 3).await;
            let asked = Instant::now();
            match repository.renew(claim, lease).await {
                Ok(true) => held_until = asked + lease,
                Ok(false) => break,
                // The database may be back before the lease is over.
                Err(_) if Instant::now() < held_until => {}
                Err(_) => break,
            }
        }
        held.store(false, Ordering::Release);
    }

    /// Does the commands of a list, each written down as done before the next begins.
    pub(super) async fn run_commands(
        &self,
        repository: &Repository,
        plan: &Plan,
        place: &Place,
        claim: &Claim,
        held: &AtomicBool,
        seed: &str,
    ) -> Result<(), Stopped> {
        let commands = plan.commands();
        let mut sum = commands[..plan.position]
            .iter()
            .fold(String::new(), |sum, each| chained(&sum, each));
        for (position, command) in commands.iter().enumerate().skip(plan.position) {
            let allowed = look(command)?;
            sum = chained(&sum, command);
            let next = position + 1;
            let again = plan.again || (plan.begun && position == plan.position);
            let failed = |error: mozaiks_store::StoreError| {
                let what = format!(
                    "command {position} (`{}`): {}",
                    allowed.name,
                    error.for_plugins()
                );
                match error.kind {
                    StoreErrorKind::Unavailable => Stopped::Failed(what),
                    _ if error.code.is_none() => Stopped::Failed(what),
                    _ => Stopped::Refused(what),
                }
            };
            if !allowed.is_repeatable(command) {
                let once = repository.run_once(place, command, claim, next, &sum).await;
                match once.map_err(failed)? {
                    Outcome::Recorded => continue,
                    Outcome::Lost => return Err(Stopped::Lost),
                    Outcome::NoTransactions => {}
                }
            }
            let asked = Instant::now();
            if !repository.begin(claim, self.config.lease).await? {
                return Err(Stopped::Lost);
            }
            // Whoever was kept from going on since then may have lost the claim.
            if !held.load(Ordering::Acquire) || asked.elapsed() > self.config.lease / 2 {
                return Err(Stopped::Lost);
            }
            let place_of_ids = format!(
                "{seed}/{}/{}/{position}",
                plan.migration.version,
                plan.direction.as_str()
            );
            let command = match allowed.kind {
                Kind::Insert => &with_ids(command, &place_of_ids),
                _ => command,
            };
            repository
                .run(place, allowed, command, again)
                .await
                .map_err(failed)?;
            if !repository.done(claim, next, &sum).await? {
                return Err(Stopped::Lost);
            }
        }
        Ok(())
    }
}

/// Documents of an insert that bring no id get one which is the same each time.
fn with_ids(command: &Document, seed: &str) -> Document {
    let mut command = command.clone();
    if let Ok(documents) = command.get_array_mut("documents") {
        for (at, document) in documents.iter_mut().enumerate() {
            if let Bson::Document(document) = document
                && !document.contains_key("_id")
            {
                let sum = digest::digest(&digest::SHA256, format!("{seed}/{at}").as_bytes());
                let mut id = [0; 12];
                id.copy_from_slice(&sum.as_ref()[..12]);
                document.insert("_id", ObjectId::from_bytes(id));
            }
        }
    }
    command
}
