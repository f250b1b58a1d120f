//! What is to be done of a migration, by what is known of it: from its beginning, from where it has come to, or
//! nothing.

use bson::Document;

use super::of_row;
use crate::{
    allowed::look,
    error::EntityError,
    migration::{Direction, Migration, Script, checksum, to_text},
    rows::{MigrationRow, MigrationStatus},
};

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) migration: Migration,
    pub(super) direction: Direction,
    /// The first command that is to be done.
    pub(super) position: usize,
    /// Whether that one was begun before.
    pub(super) begun: bool,
    /// Whether all of them may have been done before.
    pub(super) again: bool,
}

impl Plan {
    /// The list that it goes through.
    pub(super) fn commands(&self) -> &[Document] {
        match (&self.migration.script, self.direction) {
            (Script::Commands { up, .. }, Direction::Up) => up,
            (Script::Commands { down, .. }, Direction::Down) => down,
            (Script::Python { .. }, _) => &[],
        }
    }

    pub(super) fn is_python(&self) -> bool {
        matches!(self.migration.script, Script::Python { .. })
    }
}

/// A number for a command and all before it.
pub(super) fn chained(before: &str, command: &Document) -> String {
    checksum(format!("{before}{}", to_text(std::slice::from_ref(command))).as_bytes())
}

/// Of a migration that is to be run; `None` where there is none.
pub(super) fn up(
    file: Option<&Migration>,
    row: Option<&MigrationRow>,
    force: bool,
) -> Option<Result<Plan, EntityError>> {
    let migration = match (file, row) {
        (Some(file), _) => file.clone(),
        (None, Some(row)) => of_row(row)?,
        (None, None) => return None,
    };
    Some(up_of(migration, row, force))
}

fn up_of(
    migration: Migration,
    row: Option<&MigrationRow>,
    force: bool,
) -> Result<Plan, EntityError> {
    let version = migration.version.clone();
    let from_the_beginning = |again| Plan {
        migration: migration.clone(),
        direction: Direction::Up,
        position: 0,
        begun: false,
        again,
    };
    let Some(row) = row else {
        return Ok(from_the_beginning(force));
    };
    match row.status {
        MigrationStatus::Pending | MigrationStatus::RolledBack => Ok(from_the_beginning(force)),
        MigrationStatus::Running => Err(EntityError::Running(version)),
        MigrationStatus::Completed if force => Ok(from_the_beginning(true)),
        MigrationStatus::Completed if row.checksum != migration.checksum => {
            Err(EntityError::ChecksumMismatch(version))
        }
        MigrationStatus::Completed => Err(EntityError::Done(version)),
        MigrationStatus::Failed if force => Ok(from_the_beginning(true)),
        MigrationStatus::Failed if row.goes_back => Err(EntityError::Conflict(format!(
            "migration {version} was not undone to its end: roll it back, or `force` runs it from the beginning"
        ))),
        MigrationStatus::Failed => go_on(migration, Direction::Up, row),
    }
}

/// Of a migration that is to be undone, as it was when it was run.
pub(super) fn down(row: &MigrationRow, force: bool) -> Result<Plan, EntityError> {
    let version = row.version.clone();
    let migration = of_row(row).ok_or_else(|| EntityError::NoRollback(version.clone()))?;
    let back = |again| {
        if !migration.has_way_back() {
            return Err(EntityError::NoRollback(version.clone()));
        }
        Ok(Plan {
            migration: migration.clone(),
            direction: Direction::Down,
            position: 0,
            begun: false,
            again,
        })
    };
    match row.status {
        MigrationStatus::Running => Err(EntityError::Running(version)),
        MigrationStatus::Completed => back(force),
        MigrationStatus::Failed if row.goes_back && !force => {
            go_on(migration, Direction::Down, row)
        }
        // What was done of it is not known here; `down` is to find less than it undoes.
        MigrationStatus::Failed if force => back(true),
        MigrationStatus::Failed => Err(EntityError::Conflict(format!(
            "migration {version} was not run to its end: run it, or `force` undoes what there is of it"
        ))),
        MigrationStatus::Pending | MigrationStatus::RolledBack => Err(not_run(&version)),
    }
}

/// The refusal to undo what was not done.
pub(super) fn not_run(version: &str) -> EntityError {
    EntityError::Conflict(format!("migration {version} is not run"))
}

/// On from where it failed, if what was done is what it still begins with.
fn go_on(
    migration: Migration,
    direction: Direction,
    row: &MigrationRow,
) -> Result<Plan, EntityError> {
    let version = migration.version.clone();
    let plan = Plan {
        migration,
        direction,
        position: row.position,
        begun: row.begun,
        again: false,
    };
    if plan.is_python() {
        return Ok(Plan {
            position: 0,
            again: true,
            ..plan
        });
    }
    let commands = plan.commands();
    let Some(done) = commands.get(..row.position) else {
        return Err(EntityError::ChecksumMismatch(version));
    };
    let begins_alike = done
        .iter()
        .fold(String::new(), |sum, each| chained(&sum, each));
    if row.position > 0 && row.done_checksum.as_deref() != Some(&begins_alike) {
        return Err(EntityError::ChecksumMismatch(version));
    }
    // Of one that was refused a part may be there, such as documents before the one that did not fit.
    if !row.begun || row.refused {
        return Ok(plan);
    }
    // One that was begun must be the one that is to be done again.
    let before = row
        .script
        .as_ref()
        .and_then(|script| match (script, direction) {
            (Script::Commands { up, .. }, Direction::Up) => up.get(row.position),
            (Script::Commands { down, .. }, Direction::Down) => down.get(row.position),
            (Script::Python { .. }, _) => None,
        });
    let Some(command) = commands
        .get(row.position)
        .filter(|now| Some(*now) == before)
    else {
        return Err(EntityError::ChecksumMismatch(version));
    };
    if !look(command)?.is_repeatable(command) {
        return Err(EntityError::Conflict(format!(
            "command {} of migration {version} was begun, may have been done and must not be done twice, \
             and the database has no transactions that would tell; `force` runs all from the beginning",
            row.position
        )));
    }
    Ok(plan)
}
