//! "Run migration" of an entity: what makes its collection as its file says, as a migration of its own; and what
//! any migration means for the entities that it is about.

use std::{collections::BTreeSet, sync::Arc};

use bson::{Document, doc};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{
    Machine, RunOptions, RunReport,
    execute::Stopped,
    is_completed,
    plan::{self, Plan},
};
use crate::{
    allowed::{Kind, look},
    commands::Change,
    definition::{Entity, EntityStatus},
    error::EntityError,
    extended::document_to_json,
    migration::{Direction, Migration, Script, checksum, to_text},
    repository::Repository,
    rows::{EntityRow, EntityView, MigrationRow, iso},
    subject::Subject,
    tree::{EntityFile, Tree},
};

impl Machine {
    /// Makes an entity's collection as its file says.
    ///
    /// # Errors
    /// [`EntityError::Done`] where it is so already; else as [`Self::run`].
    pub async fn migrate_entity(
        self: &Arc<Self>,
        subject: &Subject,
        entity_name: &str,
        options: &RunOptions,
    ) -> Result<RunReport, EntityError> {
        let tree = Tree::read_aside(&subject.dir).await?;
        let file = tree.entity(entity_name)?;
        let rows = self.repository.entity_rows(Some(&subject.owner)).await?;
        let row = rows.iter().find(|row| row.entity_name == entity_name);
        let before = match row {
            Some(row) if row.table_name != file.entity.table_name => {
                return Err(EntityError::Conflict(format!(
                    "the table of {entity_name} is {:?}: another one is another entity's, or a migration's to make",
                    row.table_name
                )));
            }
            Some(row) => migrated(row),
            None => None,
        };
        let is_same = row.is_some_and(|row| is_as(row, file));
        if is_same && !options.force {
            let version = row.and_then(|row| row.migration_version.clone());
            return Err(EntityError::Done(version.unwrap_or_default()));
        }
        let change = Change::between(before.as_ref().filter(|_| !options.force), &file.entity);
        let known = self.repository.all(&subject.owner).await?;
        let migration = migration(
            file,
            before.is_none() || options.force,
            change,
            &tree,
            &known,
        );
        if options.dry_run {
            let plan = planned(migration);
            let place = self.place(subject, &tree, &plan, true).await?;
            self.check(&plan, &place)?;
            return self.dry_run(subject, &plan, &place, None).await;
        }
        self.take_table(subject, file, false).await?;
        let was = row.and_then(|row| row.migrated.as_ref());
        let more = doc! {
            "plugin_name": &subject.display_name,
            "before_definition": was.map(|was| &*was.written),
            "before_checksum": was.map(|was| &*was.checksum),
        };
        self.repository
            .add(&subject.owner, &migration, &more)
            .await?;
        let version = migration.version.clone();
        self.go(subject, &tree, &version, options, |row| match row {
            // Whatever a run before has left half done is there.
            Some(_) => plan::up(None, row, false)
                .unwrap_or_else(|| Err(super::none(&version)))
                .map(|plan| Plan {
                    again: true,
                    ..plan
                }),
            None => Ok(planned(migration.clone())),
        })
        .await
    }
}

fn planned(migration: Migration) -> Plan {
    Plan {
        migration,
        direction: Direction::Up,
        position: 0,
        begun: false,
        again: true,
    }
}

/// The entity as its collection is.
fn migrated(row: &EntityRow) -> Option<Entity> {
    let written: Value = serde_json::from_str(&row.migrated.as_ref()?.written).ok()?;
    Entity::read(&written).ok()
}

/// Whether the collection is as the file says.
fn is_as(row: &EntityRow, file: &EntityFile) -> bool {
    (row.migrated.as_ref()).is_some_and(|migrated| migrated.checksum == file.checksum)
}

/// The migration that makes a change: the one that was begun and not ended, else a new one.
fn migration(
    file: &EntityFile,
    is_new: bool,
    change: Change,
    tree: &Tree,
    known: &[MigrationRow],
) -> Migration {
    let entity = &file.entity;
    let text = format!("{}{}", to_text(&change.up), to_text(&change.down));
    let sum = checksum(text.as_bytes());
    let unfinished = known.iter().find(|row| {
        row.entity_name.as_ref() == Some(&entity.entity_name)
            && row.checksum == sum
            && !is_completed(row)
            && !row.goes_back
    });
    let verb = if is_new { "create" } else { "change" };
    Migration {
        version: match unfinished {
            Some(row) => row.version.clone(),
            None => free_version(Utc::now(), tree, known),
        },
        name: format!("{verb}_{}", entity.table_name),
        description: Some(format!(
            "{verb} {} for {}",
            entity.table_name, entity.entity_name
        )),
        file_name: None,
        entity_name: Some(entity.entity_name.clone()),
        checksum: sum,
        script: Script::Commands {
            up: change.up,
            down: change.down,
        },
    }
}

/// The first second from now on that no migration has.
fn free_version(mut at: DateTime<Utc>, tree: &Tree, known: &[MigrationRow]) -> String {
    let taken: BTreeSet<&str> = (tree.migrations.iter().map(|file| &*file.version))
        .chain(known.iter().map(|row| &*row.version))
        .collect();
    loop {
        let version = at.format("%Y%m%d_%H%M%S").to_string();
        if !taken.contains(&*version) {
            return version;
        }
        at += TimeDelta::seconds(1);
    }
}

/// Tables that a migration makes, and tables that it takes away, this way.
fn tables_of(plan: &Plan) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut made, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for command in plan.commands() {
        let Ok(found) = look(command) else {
            continue;
        };
        match found.kind {
            Kind::Create => {
                gone.remove(found.collection);
                made.insert(found.collection);
            }
            Kind::Drop => {
                made.remove(found.collection);
                gone.insert(found.collection);
            }
            Kind::Rename => {
                made.remove(found.collection);
                gone.insert(found.collection);
                made.extend(found.to);
            }
            Kind::CollMod
            | Kind::CreateIndexes
            | Kind::DropIndexes
            | Kind::Insert
            | Kind::Update
            | Kind::Delete => {}
        }
    }
    (made, gone)
}

/// Before a collection goes, its entity has none.
pub(super) async fn before(
    repository: &Repository,
    subject: &Subject,
    plan: &Plan,
) -> Result<(), Stopped> {
    let (_, gone) = tables_of(plan);
    if gone.is_empty() {
        return Ok(());
    }
    let version = &plan.migration.version;
    for row in repository.entity_rows(Some(&subject.owner)).await? {
        if gone.contains(&*row.table_name) {
            let status = EntityStatus::Pending;
            repository
                .settle_entity(&subject.owner, &row.entity_name, status, version, None)
                .await?;
        }
    }
    Ok(())
}

/// Once all is done, entities whose collections were made are as their files say.
pub(super) async fn after(
    repository: &Repository,
    subject: &Subject,
    tree: &Tree,
    plan: &Plan,
) -> Result<(), Stopped> {
    let version = &plan.migration.version;
    let (made, _) = tables_of(plan);
    let own = plan.migration.entity_name.as_deref();
    let rows = repository.entity_rows(Some(&subject.owner)).await?;
    for file in &tree.entities {
        let (name, table) = (&file.entity.entity_name, &file.entity.table_name);
        let Some(row) = rows.iter().find(|row| row.entity_name == *name) else {
            continue;
        };
        let is_of_it = own == Some(name) && plan.direction == Direction::Up;
        let settled = if is_of_it || made.contains(&**table) {
            Some((EntityStatus::Migrated, Some(file.definition())))
        } else if plan.is_python() {
            let is_there = repository
                .has_collection(&subject.owner.app_id, table)
                .await?;
            match (is_there, row.status) {
                (true, EntityStatus::Pending | EntityStatus::Failed) => {
                    Some((EntityStatus::Migrated, Some(file.definition())))
                }
                (false, EntityStatus::Migrated) => Some((EntityStatus::Pending, None)),
                _ => None,
            }
        } else {
            None
        };
        if let Some((status, is_as)) = settled {
            repository
                .settle_entity(&subject.owner, name, status, version, is_as.as_ref())
                .await?;
        }
    }
    // A change of an entity that is undone leaves the collection as the version before said.
    if plan.direction == Direction::Down
        && let Some(name) = own
        && let Some(row) = repository.find(&subject.owner, version).await?
        && let Some(before) = &row.before
    {
        let status = EntityStatus::Migrated;
        repository
            .settle_entity(&subject.owner, name, status, version, Some(before))
            .await?;
    }
    Ok(())
}

/// An entity whose own migration has failed has failed.
pub(super) async fn failed(
    repository: &Repository,
    subject: &Subject,
    plan: &Plan,
) -> Result<(), EntityError> {
    match &plan.migration.entity_name {
        Some(name) => {
            let version = &plan.migration.version;
            repository
                .settle_entity(&subject.owner, name, EntityStatus::Failed, version, None)
                .await
        }
        None => Ok(()),
    }
}

/// An entity as admins see it.
pub(super) fn view(file: &EntityFile, rows: &[EntityRow]) -> EntityView {
    let entity = &file.entity;
    let row = rows
        .iter()
        .find(|row| row.entity_name == entity.entity_name && row.table_name == entity.table_name);
    let before = row.and_then(migrated);
    let status = match row {
        Some(row) if row.status == EntityStatus::Failed => EntityStatus::Failed,
        Some(row) if row.status == EntityStatus::Migrated => {
            if is_as(row, file) {
                EntityStatus::Migrated
            } else {
                EntityStatus::Pending
            }
        }
        _ => EntityStatus::Pending,
    };
    let change = Change::between(before.as_ref(), entity);
    let (create, back) = (entity.create_commands(), entity.drop_commands());
    EntityView {
        entity_name: entity.entity_name.clone(),
        table_name: entity.table_name.clone(),
        description: entity.description.clone(),
        file_name: file.path.clone(),
        migration_status: status,
        migration_version: row.and_then(|row| row.migration_version.clone()),
        migrated_at: row.and_then(|row| row.migrated_at).map(iso),
        schema_definition: file
            .written
            .get("schema_definition")
            .cloned()
            .unwrap_or_default(),
        create_commands: shown(&create),
        drop_commands: shown(&back),
        pending_commands: match status {
            EntityStatus::Migrated => Vec::new(),
            EntityStatus::Pending | EntityStatus::Failed => shown(&change.up),
        },
    }
}

/// Commands as JSON.
pub(super) fn shown(commands: &[Document]) -> Vec<Value> {
    commands.iter().map(document_to_json).collect()
}
