//! What a plugin has as files of their own, and what `plugin.json` says beside each: under the folder's
//! name an object by file, or a list whose entries name theirs.
//!
//! What it says wins over a decorator in the file; what neither says has the default that is told here.

mod check;
mod files;
mod read;

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use check::is_hook_name;
pub(super) use files::look;
pub(super) use read::read;
pub use read::{PartError, read_section};

use super::document::seconds;

/// Entries of one section at most.
pub const MAX_PARTS: usize = 500;

/// The parts of a plugin, by folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// Routes.
    pub controllers: Vec<ControllerPart>,
    /// Filters and actions.
    pub hooks: Vec<HookPart>,
    /// Event listeners.
    pub events: Vec<EventPart>,
    /// What goes round routes and `execute`.
    pub middleware: Vec<MiddlewarePart>,
    /// Scheduled jobs.
    pub jobs: Vec<JobPart>,
    /// What pages may place.
    pub widgets: Vec<WidgetPart>,
    /// What pages load.
    pub scripts: Vec<ScriptPart>,
}

/// How a section is written.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes a shape to the schema")]
pub(super) enum Section<Part> {
    ByFile(std::collections::BTreeMap<String, Part>),
    List(Vec<Part>),
}

/// What all parts have.
pub trait Part: Sized + for<'de> Deserialize<'de> {
    /// The folder, and the key of the manifest.
    const SECTION: &'static str;
    /// Other names that keys of an entry are met under.
    const ALIASES: &'static [(&'static str, &'static str)];
    /// Keys of an entry, for telling slips.
    fn keys() -> Vec<String>;
    /// Its file, below the folder.
    fn file(&self) -> &str;
    /// Says which file it is.
    fn set_file(&mut self, file: String);
    /// Whether it counts.
    fn is_enabled(&self) -> bool;
    /// What is wrong with it: the key and a sentence.
    ///
    /// # Errors
    /// The first thing.
    fn check(&self) -> Result<(), (&'static str, String)>;
    /// Whether a file's ending is one of this section's.
    fn takes(file: &str) -> bool {
        file.ends_with(".py")
    }
}

macro_rules! part {
    ($name:ident, $section:literal, [$($alias:literal => $key:literal),*]) => {
        impl Part for $name {
            const SECTION: &'static str = $section;
            const ALIASES: &'static [(&'static str, &'static str)] = &[$(($alias, $key)),*];
            fn keys() -> Vec<String> {
                let schema = schemars::schema_for!($name).to_value();
                let keys = schema["properties"].as_object();
                keys.into_iter().flat_map(|keys| keys.keys().cloned()).collect()
            }
            fn file(&self) -> &str {
                &self.file
            }
            fn set_file(&mut self, file: String) {
                self.file = file;
            }
            fn is_enabled(&self) -> bool {
                self.is_enabled
            }
            fn check(&self) -> Result<(), (&'static str, String)> {
                self.check_entry()
            }
            fn takes(file: &str) -> bool {
                Self::takes_file(file)
            }
        }
    };
}

part!(ControllerPart, "controllers", ["roles" => "allowed_roles", "handler" => "function", "url" => "path"]);
part!(HookPart, "hooks", ["name" => "hook_name", "type" => "hook_type"]);
part!(EventPart, "events", ["event" => "event_name", "order" => "priority"]);
part!(MiddlewarePart, "middleware", ["order" => "priority"]);
part!(JobPart, "jobs", ["schedule" => "cron"]);
part!(WidgetPart, "widgets", ["id" => "widget_id", "name" => "widget_name"]);
part!(ScriptPart, "scripts", ["priority" => "load_priority", "type" => "script_type"]);

/// One file below `controllers/`: a route.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ControllerPart {
    /// Its name below `controllers/`; needed in a list only.
    pub file: String,
    /// The function; else `handler`, else the one named as the file is.
    pub function: Option<String>,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: Option<String>,
    /// Below `/api/plugins/{name}`, at most 500 bytes; parameters as `{id}` or `:id`.
    pub path: Option<String>,
    /// Whether a token is wanted; `true` where it does not say.
    pub requires_auth: Option<bool>,
    /// Roles of which the caller must have one.
    pub allowed_roles: Option<Vec<String>>,
    /// Calls a minute of one user, or of one address.
    pub rate_limit: Option<NonZeroU32>,
    /// JSON Schema (2020-12) over `{body, query, params}`.
    pub request_schema: Option<Value>,
    /// JSON Schema of the answer.
    pub response_schema: Option<Value>,
    /// One call, in seconds.
    #[serde(deserialize_with = "seconds")]
    pub timeout_seconds: Option<f64>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

/// What a hook does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookType {
    /// It gives the value that the next one takes.
    #[default]
    Filter,
    /// What it gives is of no interest.
    Action,
}

/// One file below `hooks/`: a filter or an action.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct HookPart {
    /// Its name below `hooks/`; needed in a list only.
    pub file: String,
    /// The function; else `handler`, else the one named as the file is, else the only public one.
    pub function: Option<String>,
    /// The hook: `product.price`.
    pub hook_name: Option<String>,
    /// `filter` where it does not say.
    pub hook_type: Option<HookType>,
    /// Lower ones come first; 10 where it does not say.
    #[schemars(range(min = -10_000, max = 10_000))]
    pub priority: Option<i32>,
    /// Whether its failure is that of the whole chain.
    pub required: Option<bool>,
    /// Whether pages may apply the hook.
    pub public: Option<bool>,
    /// Where it runs: `backend` where it does not say.
    pub scope: Option<Side>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

/// Where something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// In pages.
    Frontend,
    /// In the gateway.
    Backend,
}

/// One file below `events/`: a listener.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct EventPart {
    /// Its name below `events/`; needed in a list only.
    pub file: String,
    /// The function; else `listener` or `handler`, else the one named as the file is, else the only public
    /// one.
    pub function: Option<String>,
    /// The event's name or pattern.
    pub event_name: Option<String>,
    /// Lower ones come first; 10 where it does not say.
    #[schemars(range(min = -10_000, max = 10_000))]
    pub priority: Option<i32>,
    /// Whether pages may publish it.
    pub client: Option<bool>,
    /// `frontend`: it is told to its user's pages; `backend` where it does not say.
    pub scope: Option<Side>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

/// When a middleware runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before the call, with the request.
    Request,
    /// After it, with the request and its result.
    Response,
    /// Round it.
    Both,
}

/// One file below `middleware/`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct MiddlewarePart {
    /// Its name below `middleware/`; needed in a list only.
    pub file: String,
    /// The function; else `middleware` or `handler`, else the one named as the file is, else the only public
    /// one.
    pub function: Option<String>,
    /// `both` where it does not say.
    pub phase: Option<Phase>,
    /// Lower ones are outer ones; 10 where it does not say.
    #[schemars(range(min = -10_000, max = 10_000))]
    pub priority: Option<i32>,
    /// Paths of routes, with `*` for any characters, and `execute`; everything where it does not say.
    pub applies_to: Option<Vec<String>>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

/// One file below `jobs/`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct JobPart {
    /// Its name below `jobs/`; needed in a list only.
    pub file: String,
    /// The function; else `run` or `handler`, else the one named as the file is, else the only public one.
    pub function: Option<String>,
    /// Five or six fields: (second,) minute, hour, day of the month, month, day of the week.
    pub cron: Option<String>,
    /// The job's name; that of the file where it is missing.
    pub name: Option<String>,
    /// An IANA name; `UTC` where it is missing.
    pub timezone: Option<String>,
    /// `skip` (where it is missing) or `run_once`: what becomes of runs whose time passed.
    pub missed: Option<String>,
    /// One run, in seconds.
    #[serde(deserialize_with = "seconds")]
    pub timeout_seconds: Option<f64>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

/// One file below `widgets/`: a module for pages, or `render(config, data)` in Python.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct WidgetPart {
    /// Its name below `widgets/`; needed in a list only.
    pub file: String,
    /// The function of a Python file; `render` where it does not say.
    pub function: Option<String>,
    /// What pages name it by, of which an app has one each.
    pub widget_id: Option<String>,
    /// For people.
    pub widget_name: Option<String>,
    /// What it is configured with where a page says nothing else.
    pub default_config: Option<Map<String, Value>>,
    /// Such as `functional` or `promotional`.
    pub category: Option<String>,
    /// The name of an icon.
    pub icon: Option<String>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

/// Whom a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScriptScope {
    /// Pages.
    Frontend,
    /// The plugin's own Python.
    Backend,
    /// Pages of admins.
    Admin,
}

/// One file that pages load: below `components/`, `utils/`, `services/`, `styles/` or `admin/`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ScriptPart {
    /// Its path below the plugin's directory; needed in a list only.
    pub file: String,
    /// `admin` below `admin/` and `backend` for Python, `frontend` else, where it does not say.
    pub scope: Option<ScriptScope>,
    /// `js`, `css` or `py`; by the file's ending where it does not say.
    pub script_type: Option<String>,
    /// Lower ones are loaded first; 10 where it does not say.
    #[schemars(range(min = -10_000, max = 10_000))]
    pub load_priority: Option<i32>,
    /// Whether it counts; `true` where it does not say.
    pub is_enabled: bool,
    /// For people.
    pub description: Option<String>,
}

macro_rules! enabled_by_default {
    ($($name:ident { $($key:ident),* })*) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self { file: String::new(), is_enabled: true, description: None, $($key: None),* }
            }
        }
    )*};
}

enabled_by_default! {
    ControllerPart {
        function, method, path, requires_auth, allowed_roles, rate_limit, request_schema,
        response_schema, timeout_seconds
    }
    HookPart { function, hook_name, hook_type, priority, required, public, scope }
    EventPart { function, event_name, priority, client, scope }
    MiddlewarePart { function, phase, priority, applies_to }
    JobPart { function, cron, name, timezone, missed, timeout_seconds }
    WidgetPart { function, widget_id, widget_name, default_config, category, icon }
    ScriptPart { scope, script_type, load_priority }
}

impl Parts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.widgets.is_empty() && self.scripts.is_empty() && !self.has_code() && self.all_off()
    }

    fn all_off(&self) -> bool {
        self.controllers.is_empty()
            && self.hooks.is_empty()
            && self.events.is_empty()
            && self.middleware.is_empty()
            && self.jobs.is_empty()
    }

    /// Whether any is imported with the plugin.
    pub fn has_code(&self) -> bool {
        !self.modules().is_empty()
    }

    /// The files that are imported with the plugin, below its directory, each once.
    pub fn modules(&self) -> Vec<String> {
        fn of<P: Part>(parts: &[P], counts: impl Fn(&P) -> bool) -> impl Iterator<Item = String> {
            let files = parts
                .iter()
                .filter(|part| part.is_enabled() && part.file().ends_with(".py") && counts(part));
            let files = files.map(|part| format!("{}/{}", P::SECTION, part.file()));
            files.collect::<Vec<_>>().into_iter()
        }
        let mut modules: Vec<String> = of(&self.middleware, |_| true)
            .chain(of(&self.controllers, |_| true))
            .chain(of(&self.hooks, |part| part.scope != Some(Side::Frontend)))
            .chain(of(&self.events, |part| part.scope != Some(Side::Frontend)))
            .chain(of(&self.jobs, |_| true))
            .chain(of(&self.widgets, |_| true))
            .collect();
        let mut seen = std::collections::HashSet::new();
        modules.retain(|module| seen.insert(module.clone()));
        modules
    }

    /// What those files are registered for, as the plugin's own side reads it.
    pub fn for_code(&self) -> Value {
        fn of<P: Part + Serialize>(parts: &[P]) -> Value {
            let parts = parts.iter().filter(|part| part.is_enabled());
            json!(parts.collect::<Vec<_>>())
        }
        json!({
            "controllers": of(&self.controllers),
            "hooks": of(&self.hooks),
            "events": of(&self.events),
            "middleware": of(&self.middleware),
            "jobs": of(&self.jobs),
            "widgets": of(&self.widgets),
        })
    }
}

#[cfg(test)]
mod tests;
