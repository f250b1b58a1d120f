//! What is kept of a migration and of an entity, and what admins see of it.

use bson::{Bson, DateTime, Document};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    definition::EntityStatus,
    migration::{Migration, Script, of_text},
};

/// How far a migration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationStatus {
    /// It has not been run.
    Pending,
    /// Some gateway runs it.
    Running,
    /// It was run.
    Completed,
    /// It was not run to its end, or not undone to it.
    Failed,
    /// It was undone.
    RolledBack,
}

impl MigrationStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "pending" => Self::Pending,
            "running" => Self::Running,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "rolled_back" => Self::RolledBack,
            _ => return None,
        })
    }
}

/// Something that has happened to a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Happening {
    /// When, in ISO 8601.
    pub at: String,
    /// `running`, `rolling_back`, `completed`, `failed`, `rolled_back`.
    pub what: String,
    /// Who asked, where somebody did.
    pub by: Option<String>,
    /// Which gateway.
    pub gateway: Option<String>,
}

/// A migration as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct MigrationRow {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) file_name: Option<String>,
    pub(crate) entity_name: Option<String>,
    pub(crate) status: MigrationStatus,
    pub(crate) checksum: String,
    /// What was run, which may be other than what the file says now.
    pub(crate) script: Option<Script>,
    /// Whether it goes back, or went.
    pub(crate) goes_back: bool,
    /// The entity as it was before, where one has made it of another version.
    pub(crate) before: Option<Definition>,
    /// Commands of the list that are done.
    pub(crate) position: usize,
    /// Whether the next was begun.
    pub(crate) begun: bool,
    /// Whether that one was refused, and is known not to be done.
    pub(crate) refused: bool,
    /// A number for those that are done.
    pub(crate) done_checksum: Option<String>,
    pub(crate) executed_at: Option<DateTime>,
    pub(crate) completed_at: Option<DateTime>,
    pub(crate) rolled_back_at: Option<DateTime>,
    pub(crate) execution_time_ms: Option<i64>,
    pub(crate) error_message: Option<String>,
    pub(crate) history: Vec<Happening>,
}

impl MigrationRow {
    /// Reads a document; the field that is wrong where it is none.
    pub(crate) fn of(document: &Document) -> Result<Self, &'static str> {
        let text = |key: &str| document.get_str(key).ok().map(str::to_owned);
        let moment = |key: &str| document.get_datetime(key).ok().copied();
        let commands = |key: &str| text(key).and_then(|text| of_text(&text));
        let script = match document.get_str("form") {
            Ok("python") => text("source").map(|source| Script::Python { source }),
            _ => commands("up").map(|up| Script::Commands {
                up,
                down: commands("down").unwrap_or_default(),
            }),
        };
        let history = document.get_array("history").into_iter().flatten();
        Ok(Self {
            id: text("_id").ok_or("_id")?,
            version: text("migration_version").ok_or("migration_version")?,
            name: text("migration_name").unwrap_or_default(),
            description: text("migration_description"),
            file_name: text("file_name"),
            entity_name: text("entity_name"),
            status: text("status")
                .and_then(|status| MigrationStatus::of(&status))
                .ok_or("status")?,
            checksum: text("checksum").unwrap_or_default(),
            script,
            goes_back: document.get_str("direction").is_ok_and(|way| way == "down"),
            before: text("before_definition")
                .zip(text("before_checksum"))
                .map(|(written, checksum)| Definition { written, checksum }),
            position: whole(document, "position")
                .and_then(|position| usize::try_from(position).ok())
                .unwrap_or(0),
            begun: document.get_bool("begun").unwrap_or(false),
            refused: document.get_bool("refused").unwrap_or(false),
            done_checksum: text("done_checksum"),
            executed_at: moment("executed_at"),
            completed_at: moment("completed_at"),
            rolled_back_at: moment("rolled_back_at"),
            execution_time_ms: whole(document, "execution_time_ms"),
            error_message: text("error_message"),
            history: history
                .filter_map(Bson::as_document)
                .map(happening)
                .collect(),
        })
    }
}

fn happening(document: &Document) -> Happening {
    let text = |key: &str| document.get_str(key).ok().map(str::to_owned);
    Happening {
        at: document
            .get_datetime("at")
            .ok()
            .map(|at| iso(*at))
            .unwrap_or_default(),
        what: text("what").unwrap_or_default(),
        by: text("by"),
        gateway: text("gateway"),
    }
}

pub(crate) fn whole(document: &Document, key: &str) -> Option<i64> {
    match document.get(key)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    }
}

pub(crate) fn iso(at: DateTime) -> String {
    at.try_to_rfc3339_string().unwrap_or_default()
}

/// A migration as admins see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MigrationView {
    /// `20250129_143000`
    pub version: String,
    /// `create_hamid_cart`
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Its file below `migrations/`; none where an entity has made it, or where the file has gone.
    pub file_name: Option<String>,
    /// The entity that has made it.
    pub entity_name: Option<String>,
    /// `commands` or `python`.
    pub form: Option<&'static str>,
    /// How far it has come.
    pub status: MigrationStatus,
    /// SHA-256 of what was run, else of the file.
    pub checksum: String,
    /// Whether the file has changed since it was run.
    pub changed: bool,
    /// Whether it can be undone.
    pub has_rollback: bool,
    /// Commands of the list that are done, while it runs or where it failed.
    pub position: usize,
    /// When it was begun last, in ISO 8601.
    pub executed_at: Option<String>,
    /// When it was done.
    pub completed_at: Option<String>,
    /// When it was undone.
    pub rolled_back_at: Option<String>,
    /// How long that took.
    pub execution_time_ms: Option<i64>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// What has happened to it, the latest last.
    pub history: Vec<Happening>,
}

impl MigrationView {
    /// Of a file and a row, of which there is one at least.
    pub(crate) fn of(file: Option<&Migration>, row: Option<&MigrationRow>) -> Option<Self> {
        let script = file
            .map(|file| &file.script)
            .or(row.and_then(|row| row.script.as_ref()));
        let was_run = row.filter(|row| row.status != MigrationStatus::Pending);
        let moment = |at: Option<DateTime>| at.map(iso);
        Some(Self {
            version: file
                .map(|file| &file.version)
                .or(row.map(|row| &row.version))?
                .clone(),
            name: file
                .map(|file| &file.name)
                .or(row.map(|row| &row.name))?
                .clone(),
            description: file
                .and_then(|file| file.description.clone())
                .or(row.and_then(|row| row.description.clone())),
            file_name: file.and_then(|file| file.file_name.clone()),
            entity_name: row.and_then(|row| row.entity_name.clone()),
            form: script.map(|script| match script {
                Script::Commands { .. } => "commands",
                Script::Python { .. } => "python",
            }),
            status: row.map_or(MigrationStatus::Pending, |row| row.status),
            checksum: was_run
                .map(|row| &row.checksum)
                .or(file.map(|file| &file.checksum))
                .or(row.map(|row| &row.checksum))?
                .clone(),
            changed: (file.zip(was_run)).is_some_and(|(file, row)| file.checksum != row.checksum),
            has_rollback: match (was_run.and_then(|row| row.script.clone()), file) {
                (Some(script), _) => has_way_back(script),
                (None, Some(file)) => file.has_way_back(),
                (None, None) => row
                    .and_then(|row| row.script.clone())
                    .is_some_and(has_way_back),
            },
            position: row.map_or(0, |row| row.position),
            executed_at: moment(row.and_then(|row| row.executed_at)),
            completed_at: moment(row.and_then(|row| row.completed_at)),
            rolled_back_at: moment(row.and_then(|row| row.rolled_back_at)),
            execution_time_ms: row.and_then(|row| row.execution_time_ms),
            error_message: row.and_then(|row| row.error_message.clone()),
            history: row.map(|row| row.history.clone()).unwrap_or_default(),
        })
    }
}

fn has_way_back(script: Script) -> bool {
    Migration {
        version: String::new(),
        name: String::new(),
        description: None,
        file_name: None,
        entity_name: None,
        checksum: String::new(),
        script,
    }
    .has_way_back()
}

/// An entity as its collection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    /// Its file.
    pub(crate) written: String,
    /// Of that.
    pub(crate) checksum: String,
}

/// What the database knows of an entity.
#[derive(Debug, Clone)]
pub(crate) struct EntityRow {
    pub(crate) app_id: String,
    pub(crate) plugin: String,
    pub(crate) entity_name: String,
    pub(crate) table_name: String,
    pub(crate) status: EntityStatus,
    pub(crate) migration_version: Option<String>,
    pub(crate) migrated_at: Option<DateTime>,
    /// As the collection is; none where there is none.
    pub(crate) migrated: Option<Definition>,
}

impl EntityRow {
    /// Reads a document.
    pub(crate) fn of(document: &Document) -> Option<Self> {
        let text = |key: &str| document.get_str(key).ok().map(str::to_owned);
        Some(Self {
            app_id: text("app_id")?,
            plugin: text("plugin")?,
            entity_name: text("entity_name")?,
            table_name: text("table_name")?,
            status: EntityStatus::of(&text("migration_status").unwrap_or_default()),
            migration_version: text("migration_version"),
            migrated_at: document.get_datetime("migrated_at").ok().copied(),
            migrated: text("migrated_definition")
                .zip(text("checksum"))
                .map(|(written, checksum)| Definition { written, checksum }),
        })
    }
}

/// An entity as admins see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EntityView {
    /// `HamidCart`
    pub entity_name: String,
    /// `hamid_cart`
    pub table_name: String,
    /// For people.
    pub description: Option<String>,
    /// Its file.
    pub file_name: String,
    /// How far it has come; `pending` also where its file has changed since.
    pub migration_status: EntityStatus,
    /// The migration that made the collection as it is.
    pub migration_version: Option<String>,
    /// When, in ISO 8601.
    pub migrated_at: Option<String>,
    /// As its file says.
    pub schema_definition: serde_json::Value,
    /// What makes its collection.
    pub create_commands: Vec<serde_json::Value>,
    /// What takes it away.
    pub drop_commands: Vec<serde_json::Value>,
    /// What is to be done so that the collection is as the file says.
    pub pending_commands: Vec<serde_json::Value>,
}
