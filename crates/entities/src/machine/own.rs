//! The gateway's own migrations, run before any of a plugin.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bson::Document;
use mozaiks_store::StoreErrorKind;

use super::{Machine, plan};
use crate::{
    error::EntityError,
    migration::Migration,
    repository::{OWN_MIGRATIONS, Owner, Place, Taking},
};

/// Between two looks whether another gateway is done.
const PAUSE: Duration = Duration::from_millis(50);

impl Machine {
    /// Runs those of the gateway's own migrations that were not run yet; waits for another gateway that does.
    ///
    /// # Errors
    /// What the database says; [`EntityError::Running`] where another gateway takes longer than its lease.
    pub async fn run_own(&self) -> Result<(), EntityError> {
        let _turn = self.own_turn.lock().await;
        let patience = Instant::now() + self.config.lease * 2;
        for own in OWN_MIGRATIONS {
            let file = format!("{}_{}.json", own.version, own.name);
            let migration = Migration::read(&file, own.commands.as_bytes())?;
            loop {
                match self.run_one_of_own(&migration).await {
                    Ok(()) | Err(EntityError::Done(_)) => break,
                    Err(EntityError::Running(_)) if Instant::now() < patience => {
                        // Nothing tells of the other gateway's progress.
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.is_prepared.store(true, Ordering::Release);
        Ok(())
    }

    async fn run_one_of_own(&self, migration: &Migration) -> Result<(), EntityError> {
        let owner = Owner {
            app_id: "*".into(),
            plugin: "gateway".into(),
        };
        let version = &*migration.version;
        self.own.expire(Some(&owner), None).await?;
        let row = self.own.find(&owner, version).await?;
        let plan = match plan::up(Some(migration), row.as_ref(), false) {
            Some(plan) => plan?,
            None => return Ok(()),
        };
        let Some(row) = row else {
            self.own.add(&owner, migration, &Document::new()).await?;
            return Err(EntityError::Running(version.to_owned()));
        };
        // What earlier versions have made at their start may be there.
        let plan = plan::Plan {
            again: true,
            ..plan
        };
        let taking = Taking {
            migration,
            direction: plan.direction,
            position: plan.position,
            begun: plan.begun,
            by: None,
            gateway: &self.config.gateway,
            lease: self.config.lease,
        };
        let claim = match self.own.take(&row, &taking).await {
            Ok(Some(claim)) => claim,
            Ok(None) => return Err(EntityError::Running(version.to_owned())),
            Err(EntityError::Store(error)) if error.kind == StoreErrorKind::Conflict => {
                return Err(EntityError::Running(version.to_owned()));
            }
            Err(error) => return Err(error),
        };
        let (started, held) = (Instant::now(), Arc::new(AtomicBool::new(true)));
        let place = Place::Control;
        let ended = tokio::select! {
            ended = self.run_commands(&self.own, &plan, &place, &claim, &held, "gateway") => ended,
            () = self.lose(&self.own, &claim, &held) => Err(super::execute::Stopped::Lost),
        };
        let is_done = ended.is_ok();
        self.write_end(&self.own, &plan, &claim, ended, started)
            .await;
        if is_done {
            return Ok(());
        }
        let what = format!("the gateway's own migration {version} has failed; the log says why");
        Err(EntityError::Conflict(what))
    }
}
