//! The machine that runs migrations: one at a time of a plugin in an app, on one gateway, each command written
//! down as done before the next begins.
//!
//! A migration that runs holds a claim in its row, with a lease that is kept up as long as it runs; whoever
//! finds one whose lease has passed ends it as failed. Whatever is written of a run is written under its claim,
//! so a gateway that was slow and has lost it counts for nothing any more.

mod dry;
mod entity;
mod execute;
mod own;
mod plan;
mod python;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bson::{Bson, DateTime, doc};
use mozaiks_plugins::dispatch::Dispatcher;
use mozaiks_store::{Store, StoreErrorKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    access::OwnCollections,
    allowed::{check_list, look},
    error::EntityError,
    migration::{Migration, Script},
    repository::{MIGRATIONS, OWN, Place, Repository, Taking, taken},
    rows::{EntityView, MigrationRow, MigrationStatus, MigrationView},
    running::RunningMigrations,
    subject::Subject,
    tables::Tables,
    tree::{EntityFile, Tree},
};
use plan::Plan;

/// How often a claim is tried again where the row has changed since it was read.
const TRIES: usize = 4;

/// How migrations are run.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// How long a gateway that runs one may give no sign of life.
    pub lease: Duration,
    /// How long one of Python's may take.
    pub timeout: Duration,
    /// What this process is called in the history.
    pub gateway: String,
    /// Whether no other process can be using the database.
    pub alone: bool,
}

/// How one is to be run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Nothing is done; what would be is told.
    pub dry_run: bool,
    /// Also where it was run already, or has changed since.
    pub force: bool,
    /// Who asks.
    pub by: Option<String>,
}

/// A command that would be done.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CommandReport {
    /// As Extended JSON.
    pub command: Value,
    /// The collection that it is about.
    pub collection: String,
    /// Documents that it would make, change, take away or read, as they are now.
    pub documents: Option<u64>,
}

/// What has become of a migration, or would.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunReport {
    /// The migration as it is now.
    pub migration: MigrationView,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// `up` or `down`.
    pub direction: &'static str,
    /// What would be done, in a dry run.
    pub commands: Vec<CommandReport>,
}

/// What a plugin's tree says of migrations, with what is known of each.
#[derive(Debug, Clone)]
pub struct Listing {
    /// By their versions.
    pub migrations: Vec<MigrationView>,
    /// Files that cannot be used: path and why.
    pub problems: Vec<(String, String)>,
}

/// Runs migrations.
pub struct Machine {
    repository: Repository,
    own: Repository,
    tables: Arc<Tables>,
    dispatcher: Arc<Dispatcher>,
    running: Arc<RunningMigrations>,
    config: MachineConfig,
    /// Of tasks of this process one at a time runs the gateway's own.
    own_turn: tokio::sync::Mutex<()>,
    /// Whether those were run.
    is_prepared: AtomicBool,
    /// When this process began.
    started: DateTime,
}

impl Machine {
    /// Over the gateway's database. What plugins own is told to `tables`, what Python's migrations ask is
    /// answered by `running`.
    pub fn new(
        store: &Arc<Store>,
        dispatcher: &Arc<Dispatcher>,
        tables: &Arc<Tables>,
        running: &Arc<RunningMigrations>,
        config: MachineConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            repository: Repository::new(Arc::clone(store), MIGRATIONS),
            own: Repository::new(Arc::clone(store), OWN),
            tables: Arc::clone(tables),
            dispatcher: Arc::clone(dispatcher),
            running: Arc::clone(running),
            config,
            own_turn: tokio::sync::Mutex::default(),
            is_prepared: AtomicBool::new(false),
            started: DateTime::now(),
        })
    }

    /// The migrations of a plugin.
    ///
    /// # Errors
    /// A tree that cannot be read, and what the database says.
    pub async fn list(&self, subject: &Subject) -> Result<Listing, EntityError> {
        self.repository.expire(Some(&subject.owner), None).await?;
        let tree = Tree::read_aside(&subject.dir).await?;
        let rows = self.repository.all(&subject.owner).await?;
        let mut migrations: Vec<MigrationView> = (tree.migrations.iter())
            .filter_map(|file| {
                let row = rows.iter().find(|row| row.version == file.version);
                MigrationView::of(Some(file), row)
            })
            .collect();
        let without_file =
            |row: &&MigrationRow| (tree.migrations.iter()).all(|file| file.version != row.version);
        migrations.extend(
            (rows.iter().filter(without_file)).filter_map(|row| MigrationView::of(None, Some(row))),
        );
        migrations.sort_by(|one, other| one.version.cmp(&other.version));
        Ok(Listing {
            migrations,
            problems: problems(&tree, "migrations/"),
        })
    }

    /// The entities of a plugin, and files that are none.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn entities(
        &self,
        subject: &Subject,
    ) -> Result<(Vec<EntityView>, Vec<(String, String)>), EntityError> {
        let tree = Tree::read_aside(&subject.dir).await?;
        let rows = self.repository.entity_rows(Some(&subject.owner)).await?;
        let views = (tree.entities.iter())
            .map(|file| entity::view(file, &rows))
            .collect();
        Ok((views, problems(&tree, "entities/")))
    }

    /// Runs a migration by its version, to its end or to where it fails: the report says which.
    ///
    /// # Errors
    /// [`EntityError`]: nothing was done then.
    pub async fn run(
        self: &Arc<Self>,
        subject: &Subject,
        version: &str,
        options: &RunOptions,
    ) -> Result<RunReport, EntityError> {
        let tree = Tree::read_aside(&subject.dir).await?;
        let file = (tree.migrations.iter()).find(|file| file.version == version);
        if file.is_none()
            && let Some(error) = tree.odd_migration(version)
        {
            return Err(error);
        }
        self.go(subject, &tree, version, options, |row| {
            plan::up(file, row, options.force).ok_or_else(|| none(version))?
        })
        .await
    }

    /// Undoes a migration that was run, as it was when it was run.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn roll_back(
        self: &Arc<Self>,
        subject: &Subject,
        version: &str,
        options: &RunOptions,
    ) -> Result<RunReport, EntityError> {
        let tree = Tree::read_aside(&subject.dir).await?;
        let is_known = tree.migrations.iter().any(|file| file.version == version);
        self.go(subject, &tree, version, options, |row| match row {
            Some(row) => plan::down(row, options.force),
            None if is_known => Err(plan::not_run(version)),
            None => Err(none(version)),
        })
        .await
    }

    /// Sees a migration through, as the plan for its row says.
    async fn go(
        self: &Arc<Self>,
        subject: &Subject,
        tree: &Tree,
        version: &str,
        options: &RunOptions,
        plan: impl Fn(Option<&MigrationRow>) -> Result<Plan, EntityError>,
    ) -> Result<RunReport, EntityError> {
        let owner = &subject.owner;
        if !self.is_prepared.load(Ordering::Acquire) {
            self.run_own().await?;
            self.refresh().await?;
        }
        for _ in 0..TRIES {
            self.repository.expire(Some(owner), None).await?;
            let row = self.repository.find(owner, version).await?;
            let plan = plan(row.as_ref())?;
            let place = self.place(subject, tree, &plan, options.dry_run).await?;
            self.check(&plan, &place)?;
            if options.dry_run {
                return self.dry_run(subject, &plan, &place, row.as_ref()).await;
            }
            if plan.is_python() && subject.generation.is_err() {
                let why = subject
                    .generation
                    .as_ref()
                    .err()
                    .cloned()
                    .unwrap_or_default();
                return Err(EntityError::Unavailable(why));
            }
            let row = match row {
                Some(row) => row,
                None => {
                    let more = doc! { "plugin_name": &subject.display_name };
                    self.repository.add(owner, &plan.migration, &more).await?;
                    continue;
                }
            };
            let taking = Taking {
                migration: &plan.migration,
                direction: plan.direction,
                position: plan.position,
                begun: plan.begun,
                by: options.by.as_deref(),
                gateway: &self.config.gateway,
                lease: self.config.lease,
            };
            let claim = match self.repository.take(&row, &taking).await {
                Ok(Some(claim)) => claim,
                Ok(None) => continue,
                Err(EntityError::Store(error)) if error.kind == StoreErrorKind::Conflict => {
                    match self.repository.running(owner).await? {
                        Some(version) => return Err(EntityError::Running(version)),
                        None => continue,
                    }
                }
                Err(error) => return Err(error),
            };
            // Whoever asked may go away; what was begun goes on.
            let (machine, subject, plan) = (Arc::clone(self), subject.clone(), Arc::new(plan));
            let (tree, of) = (tree.clone(), Arc::clone(&plan));
            let run = tokio::spawn(async move {
                machine
                    .see_through(&subject, &tree, &of, &place, &claim)
                    .await
            });
            if run.await.is_err() {
                tracing::error!(version, "a migration's run has ended with a panic");
            }
            let row = self.repository.find(owner, version).await?;
            let file = Some(&plan.migration);
            let migration = MigrationView::of(file, row.as_ref()).ok_or_else(|| none(version))?;
            return Ok(RunReport {
                migration,
                dry_run: false,
                direction: plan.direction.as_str(),
                commands: Vec::new(),
            });
        }
        Err(EntityError::Conflict(
            "the migration keeps changing under the run; try again".into(),
        ))
    }

    /// Where a migration's commands are done: the plugin's own collections, with the tables of its entities
    /// that the migration is about made its own.
    async fn place(
        &self,
        subject: &Subject,
        tree: &Tree,
        plan: &Plan,
        dry_run: bool,
    ) -> Result<Place, EntityError> {
        let mut own = subject.own();
        own.others = self
            .tables
            .of_others(&subject.owner.app_id, &subject.owner.plugin);
        let claimed = self.repository.entity_rows(Some(&subject.owner)).await?;
        own.tables
            .extend(claimed.iter().map(|row| row.table_name.clone()));
        let is_about = |table: &str| match &plan.migration.script {
            Script::Commands { up, down } => up.iter().chain(down).any(|command| {
                look(command)
                    .is_ok_and(|found| found.collection == table || found.to == Some(table))
            }),
            Script::Python { .. } => true,
        };
        for file in &tree.entities {
            let is_known = claimed.iter().any(|row| {
                row.entity_name == file.entity.entity_name
                    && row.table_name == file.entity.table_name
            });
            if is_known || !is_about(&file.entity.table_name) {
                continue;
            }
            self.take_table(subject, file, dry_run).await?;
            own.tables.insert(file.entity.table_name.clone());
        }
        Ok(Place::App(subject.owner.clone(), Arc::new(own)))
    }

    /// Makes a table the plugin's own: one that is nobody's, or that the plugin may change anyway.
    pub(crate) async fn take_table(
        &self,
        subject: &Subject,
        file: &EntityFile,
        dry_run: bool,
    ) -> Result<(), EntityError> {
        let table = &file.entity.table_name;
        let is_others = match self.tables.owner(&subject.owner.app_id, table) {
            Some(owner) => owner != subject.owner.plugin,
            None => subject.owner_by_name(table).is_some(),
        };
        if is_others {
            return Err(taken(&file.entity));
        }
        let is_own = subject.own().has(table);
        if !is_own
            && !subject.may_change(table)
            && self
                .repository
                .has_collection(&subject.owner.app_id, table)
                .await?
        {
            return Err(taken(&file.entity));
        }
        if dry_run {
            return Ok(());
        }
        let more = doc! { "plugin_name": &subject.display_name, "checksum": Bson::Null };
        self.repository
            .claim_table(&subject.owner, file, &more)
            .await?;
        self.refresh().await
    }

    /// Holds both lists of a migration against what they may be.
    fn check(&self, plan: &Plan, place: &Place) -> Result<(), EntityError> {
        let (Script::Commands { up, down }, Place::App(_, own)) = (&plan.migration.script, place)
        else {
            return Ok(());
        };
        let own: &OwnCollections = own;
        let file = plan.migration.file_name.as_deref();
        let file = file.map_or_else(
            || "the migration".to_owned(),
            |name| format!("migrations/{name}"),
        );
        for (list, commands) in [("up", up), ("down", down)] {
            check_list(list, commands, |name| own.has(name))
                .map_err(|error| error.within(&file))?;
            for (at, command) in commands.iter().enumerate() {
                self.repository
                    .check(place, command)
                    .map_err(|error| error.within(&format!("{list}[{at}]")).within(&file))?;
            }
        }
        Ok(())
    }

    /// Ends migrations that run nowhere any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn recover(&self) -> Result<u64, EntityError> {
        let before = self.config.alone.then_some(self.started);
        let plugins = self.repository.expire(None, before).await?;
        Ok(plugins + self.own.expire(None, before).await?)
    }

    /// Reads which collections are whose.
    ///
    /// # Errors
    /// What the database says.
    pub async fn refresh(&self) -> Result<(), EntityError> {
        self.tables.refresh(&self.repository).await
    }

    /// As [`Self::refresh`], where something has changed since.
    ///
    /// # Errors
    /// What the database says.
    pub async fn follow(&self) -> Result<(), EntityError> {
        self.tables.follow(&self.repository).await
    }
}

fn problems(tree: &Tree, folder: &str) -> Vec<(String, String)> {
    (tree.odd.iter())
        .filter(|(path, _)| path.starts_with(folder))
        .map(|(path, error)| (path.clone(), error.public_message()))
        .collect()
}

fn none(version: &str) -> EntityError {
    EntityError::NotFound(format!("there is no migration {version:?}"))
}

/// Whether a row says that a migration was run, and not undone.
pub(crate) fn is_completed(row: &MigrationRow) -> bool {
    row.status == MigrationStatus::Completed
}

/// As [`Migration`] was when it was run.
pub(crate) fn of_row(row: &MigrationRow) -> Option<Migration> {
    Some(Migration {
        version: row.version.clone(),
        name: row.name.clone(),
        description: row.description.clone(),
        file_name: row.file_name.clone(),
        entity_name: row.entity_name.clone(),
        checksum: row.checksum.clone(),
        script: row.script.clone()?,
    })
}
