//! The kinds of files that a stored plugin is made of: which folder is whose, in which collection its rows
//! are, and what a row says of a file in the words of the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{error::CatalogError, paths, tree::MANIFEST};

/// What a file is to its plugin.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Routes.
    Controllers,
    /// Filters and actions.
    Hooks,
    /// Listeners.
    Events,
    /// What stands before and behind routes.
    Middleware,
    /// What is done at certain times.
    Jobs,
    /// What pages show.
    Widgets,
    /// Collections.
    Entities,
    /// Changes of collections.
    Migrations,
    /// What is read by people.
    Docs,
    /// Every other file: modules, components, styles.
    Scripts,
}

/// Where a file belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is what the plugin says of itself.
    Manifest,
    /// It is a row of this kind.
    Row(Kind),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Controllers,
        Self::Hooks,
        Self::Events,
        Self::Middleware,
        Self::Jobs,
        Self::Widgets,
        Self::Entities,
        Self::Migrations,
        Self::Docs,
        Self::Scripts,
    ];

    /// Its name in addresses, and of its folder where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Controllers => "controllers",
            Self::Hooks => "hooks",
            Self::Events => "events",
            Self::Middleware => "middleware",
            Self::Jobs => "jobs",
            Self::Widgets => "widgets",
            Self::Entities => "entities",
            Self::Migrations => "migrations",
            Self::Docs => "docs",
            Self::Scripts => "scripts",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The collection of its rows. What migrations have done stands elsewhere.
    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::Controllers => "plugin_controllers",
            Self::Hooks => "plugin_hooks",
            Self::Events => "plugin_events",
            Self::Middleware => "plugin_middleware",
            Self::Jobs => "plugin_job_files",
            Self::Widgets => "plugin_widgets",
            Self::Entities => "plugin_entity_files",
            Self::Migrations => "plugin_migration_files",
            Self::Docs => "plugin_docs",
            Self::Scripts => "plugin_scripts",
        }
    }

    /// The field of a row, and of the wire, that holds the file's content.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Controllers | Self::Middleware | Self::Jobs => "handler_code",
            Self::Hooks => "handler_function",
            Self::Events => "listener_function",
            Self::Widgets => "component_code",
            Self::Scripts => "file_content",
            Self::Entities | Self::Migrations | Self::Docs => "content",
        }
    }

    /// Whether what a row says beside its code stands in `plugin.json` under the kind's name.
    pub(crate) fn has_section(self) -> bool {
        !matches!(self, Self::Entities | Self::Migrations | Self::Docs)
    }

    /// Whether its files lie in a folder of its name.
    pub(crate) fn has_folder(self) -> bool {
        !matches!(self, Self::Docs | Self::Scripts)
    }

    /// The field that names a row where the file has none yet, and the file's ending.
    pub(crate) fn naming(self) -> (&'static str, &'static str) {
        match self {
            Self::Controllers => ("controller_name", "py"),
            Self::Hooks => ("hook_name", "py"),
            Self::Events => ("event_name", "py"),
            Self::Middleware | Self::Jobs => ("name", "py"),
            Self::Widgets => ("widget_id", "js"),
            Self::Entities => ("entity_name", "json"),
            Self::Migrations => ("migration_name", "json"),
            Self::Docs | Self::Scripts => ("file_name", ""),
        }
    }

    /// What a row may say of its file, in the words of the wire.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Controllers => &[
                "description",
                "method",
                "path",
                "request_schema",
                "response_schema",
                "requires_auth",
                "allowed_roles",
                "rate_limit",
                "timeout_seconds",
                "function",
            ],
            Self::Hooks => &[
                "description",
                "hook_name",
                "hook_type",
                "priority",
                "scope",
                "required",
                "public",
                "function",
            ],
            Self::Events => &[
                "description",
                "event_name",
                "priority",
                "scope",
                "client",
                "function",
            ],
            Self::Middleware => &["description", "phase", "priority", "applies_to", "function"],
            Self::Jobs => &[
                "description",
                "cron",
                "timezone",
                "missed",
                "timeout_seconds",
                "name",
                "function",
            ],
            Self::Widgets => &[
                "description",
                "widget_id",
                "widget_name",
                "default_config",
                "category",
                "icon",
                "function",
            ],
            Self::Scripts => &["description", "scope", "load_priority", "script_type"],
            Self::Docs => &[
                "description",
                "doc_type",
                "format",
                "is_visible",
                "display_order",
            ],
            Self::Entities => &[
                "entity_name",
                "table_name",
                "description",
                "schema_definition",
                "model_code",
            ],
            Self::Migrations => &["description"],
        }
    }

    /// A file's name within its folder: what the row and `plugin.json` call it.
    pub(crate) fn file_name(self, path: &str) -> &str {
        if self.has_folder() {
            path.split_once('/').map_or(path, |(_, rest)| rest)
        } else {
            path
        }
    }

    /// The path of a file of that name.
    pub(crate) fn path_of(self, file_name: &str) -> String {
        if self.has_folder() && !file_name.starts_with(&format!("{}/", self.name())) {
            format!("{}/{file_name}", self.name())
        } else {
            file_name.to_owned()
        }
    }
}

/// Where a file belongs, by its path, which has been checked.
///
/// # Errors
/// Where it would be nothing there, with the place that is meant.
pub(crate) fn place(path: &str) -> Result<Place, CatalogError> {
    let invalid = |message: String| Err(CatalogError::invalid(path, message));
    let (folder, below) = match path.split_once('/') {
        Some((folder, below)) => (folder, Some(below)),
        None => (path, None),
    };
    let lower = folder.to_ascii_lowercase();
    let Some(below) = below else {
        return match &*lower {
            MANIFEST if folder == MANIFEST => Ok(Place::Manifest),
            "plugin.json" | "manifest.json" => {
                invalid(format!("the manifest of a stored plugin is {MANIFEST}"))
            }
            _ if is_doc(&lower) => Ok(Place::Row(Kind::Docs)),
            _ if Kind::named(&lower).is_some_and(Kind::has_folder) => {
                invalid(format!("{lower}/ is a folder"))
            }
            _ => Ok(Place::Row(Kind::Scripts)),
        };
    };
    let Some(kind) = Kind::named(&lower).filter(|kind| kind.has_folder()) else {
        return Ok(Place::Row(Kind::Scripts));
    };
    if folder != lower {
        return invalid(format!("the folder is {lower}/"));
    }
    let endings: &[&str] = match kind {
        Kind::Entities => &["json"],
        Kind::Migrations => &["json", "py"],
        Kind::Widgets => return Ok(Place::Row(kind)),
        _ => &["py"],
    };
    let ending = below.rsplit_once('.').map_or("", |(_, ending)| ending);
    if below.contains('/') || !endings.contains(&ending) {
        let wanted = endings.join(" or .");
        return invalid(format!(
            "a file of {lower}/ lies in that folder and ends in .{wanted}"
        ));
    }
    Ok(Place::Row(kind))
}

fn is_doc(lower: &str) -> bool {
    let (name, ending) = lower.rsplit_once('.').unwrap_or((lower, ""));
    ["readme", "changelog", "license", "contributing"].contains(&name)
        && ["", "md", "txt"].contains(&ending)
}

/// What a document is, by its name.
pub(crate) fn doc_type(path: &str) -> &'static str {
    match &*paths::stem(path).to_ascii_lowercase() {
        "changelog" => "changelog",
        "license" => "license",
        "contributing" => "contributing",
        _ => "readme",
    }
}

/// Other names of fields, under which older clients and packages give them.
pub(crate) const CONTENT_ALIASES: [&str; 9] = [
    "handler_code",
    "handler_function",
    "listener_function",
    "listener_code",
    "component_code",
    "file_content",
    "code",
    "script_content",
    "content",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_routed_by_folder() {
        for (path, kind) in [
            ("controllers/trackVisit.py", Kind::Controllers),
            ("hooks/a.py", Kind::Hooks),
            ("events/a.py", Kind::Events),
            ("entities/A.json", Kind::Entities),
            ("migrations/1_a.py", Kind::Migrations),
            ("widgets/deep/a.js", Kind::Widgets),
            ("README.md", Kind::Docs),
            ("LICENSE", Kind::Docs),
            ("docs/README.md", Kind::Scripts),
            ("components/A.js", Kind::Scripts),
            ("logic.py", Kind::Scripts),
            ("scripts/x.py", Kind::Scripts),
        ] {
            assert_eq!(place(path).unwrap(), Place::Row(kind), "{path}");
            let name = kind.file_name(path);
            assert_eq!(kind.path_of(name), path);
            assert_eq!(kind.path_of(path), path);
        }
        assert_eq!(place("plugin.json").unwrap(), Place::Manifest);
        for path in [
            "manifest.json",
            "Plugin.json",
            "controllers",
            "Controllers/a.py",
            "controllers/a.js",
            "controllers/deep/a.py",
            "entities/a.py",
        ] {
            assert!(place(path).is_err(), "{path}");
        }
    }
}
