//! What an entry may say: names, methods, paths, schemas, times, ranges.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    ControllerPart, EventPart, HookPart, JobPart, MiddlewarePart, Part as _, PartError, Parts,
    ScriptPart, ScriptScope, Side, WidgetPart,
};
use crate::routes;
use mozaiks_schedule::{Schedule, ScheduleError};

/// What a priority is within.
const PRIORITIES: std::ops::RangeInclusive<i32> = -10_000..=10_000;
/// Bytes of a name: of a hook, an event, a widget, a role.
const MAX_NAME_BYTES: usize = 200;
/// Patterns of one middleware.
const MAX_PATTERNS: usize = 100;
/// Folders whose files pages may load.
const SCRIPT_FOLDERS: [&str; 6] = [
    "components",
    "utils",
    "services",
    "styles",
    "admin",
    "static",
];

type Checked = Result<(), (&'static str, String)>;

impl ControllerPart {
    pub(super) fn check_entry(&self) -> Checked {
        if let Some(method) = &self.method
            && !routes::METHODS.contains(&&*method.to_ascii_uppercase())
        {
            let wanted = routes::METHODS.join(", ");
            return Err(("method", format!("{} is none of {wanted}", shown(method))));
        }
        if let Some(path) = &self.path {
            routes::pattern(path).map_err(|error| ("path", error.to_string()))?;
        }
        for role in self.allowed_roles.iter().flatten() {
            name(role).map_err(|reason| ("allowed_roles", reason))?;
        }
        schema("request_schema", self.request_schema.as_ref())?;
        schema("response_schema", self.response_schema.as_ref())?;
        function(self.function.as_deref())
    }

    pub(super) fn takes_file(file: &str) -> bool {
        file.ends_with(".py")
    }
}

impl HookPart {
    pub(super) fn check_entry(&self) -> Checked {
        if let Some(hook) = &self.hook_name
            && !is_hook_name(hook)
        {
            let reason = format!(
                "{} is no name of a hook: 1 to 200 letters, digits, '.', '_', '-' and ':', a letter first",
                shown(hook)
            );
            return Err(("hook_name", reason));
        }
        side(&self.file, self.scope)?;
        priority("priority", self.priority)?;
        function(self.function.as_deref())
    }

    pub(super) fn takes_file(file: &str) -> bool {
        file.ends_with(".py") || file.ends_with(".js")
    }
}

impl EventPart {
    pub(super) fn check_entry(&self) -> Checked {
        if let Some(event) = &self.event_name {
            let odd = |letter: char| letter.is_control() || letter.is_whitespace();
            if event.is_empty() || event.chars().count() > MAX_NAME_BYTES || event.contains(odd) {
                let reason = format!(
                    "{} is no name of an event: 1 to 200 characters without spaces and control \
                     characters",
                    shown(event)
                );
                return Err(("event_name", reason));
            }
            if self.client == Some(true) && event.contains('*') {
                let reason = "what pages may publish has a name, and no pattern".into();
                return Err(("event_name", reason));
            }
        }
        side(&self.file, self.scope)?;
        priority("priority", self.priority)?;
        function(self.function.as_deref())
    }

    pub(super) fn takes_file(file: &str) -> bool {
        file.ends_with(".py") || file.ends_with(".js")
    }
}

impl MiddlewarePart {
    pub(super) fn check_entry(&self) -> Checked {
        let patterns = self.applies_to.as_deref().unwrap_or_default();
        if patterns.len() > MAX_PATTERNS {
            let reason = format!(
                "has {} patterns; {MAX_PATTERNS} are allowed",
                patterns.len()
            );
            return Err(("applies_to", reason));
        }
        for pattern in patterns {
            let is_one = pattern == "*" || pattern == "execute" || pattern.starts_with('/');
            if !is_one || pattern.len() > 500 {
                let reason = format!(
                    "{} is neither `*`, `execute` nor a path that begins with '/'",
                    shown(pattern)
                );
                return Err(("applies_to", reason));
            }
        }
        priority("priority", self.priority)?;
        function(self.function.as_deref())
    }

    pub(super) fn takes_file(file: &str) -> bool {
        file.ends_with(".py")
    }
}

impl JobPart {
    pub(super) fn check_entry(&self) -> Checked {
        let zone = self.timezone.as_deref().unwrap_or("UTC");
        // A time zone is one also where a decorator says when.
        let cron = self.cron.as_deref().unwrap_or("* * * * *");
        Schedule::parse(cron, zone).map_err(|error| {
            let key = match error {
                ScheduleError::Cron(..) | ScheduleError::Never(_) => "cron",
                ScheduleError::TimeZone(_) => "timezone",
            };
            (key, error.to_string())
        })?;
        if let Some(missed) = &self.missed
            && !["skip", "run_once"].contains(&&**missed)
        {
            let reason = format!("{} is neither `skip` nor `run_once`", shown(missed));
            return Err(("missed", reason));
        }
        function(self.function.as_deref())
    }

    pub(super) fn takes_file(file: &str) -> bool {
        file.ends_with(".py")
    }
}

impl WidgetPart {
    pub(super) fn check_entry(&self) -> Checked {
        if let Some(id) = &self.widget_id {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            let first = id.bytes().next();
            if id.len() > 128
                || !id.bytes().all(plain)
                || !first.is_some_and(|first| first.is_ascii_alphanumeric())
            {
                let reason = format!(
                    "{} is no widget's id: 1 to 128 letters, digits, '_', '-' and '.'",
                    shown(id)
                );
                return Err(("widget_id", reason));
            }
        }
        for (key, text) in [
            ("widget_name", &self.widget_name),
            ("category", &self.category),
            ("icon", &self.icon),
        ] {
            if let Some(text) = text {
                name(text).map_err(|reason| (key, reason))?;
            }
        }
        function(self.function.as_deref())
    }

    pub(super) fn takes_file(file: &str) -> bool {
        [".js", ".mjs", ".py"]
            .iter()
            .any(|ending| file.ends_with(ending))
    }
}

impl ScriptPart {
    pub(super) fn check_entry(&self) -> Checked {
        let folder = self.file.split('/').next().unwrap_or_default();
        if !SCRIPT_FOLDERS.contains(&folder) || !self.file.contains('/') {
            let wanted = SCRIPT_FOLDERS.join("/, ");
            let reason = match folder {
                "events" | "hooks" | "entities" | "controllers" | "migrations" | "middleware"
                | "jobs" | "widgets" => format!("has a place of its own in the manifest: {folder}"),
                _ => format!("stands in none of {wanted}/"),
            };
            return Err(("file", reason));
        }
        let ending = self.file.rsplit_once('.').map_or("", |(_, ending)| ending);
        if let Some(kind) = &self.script_type
            && *kind != ending.replace("mjs", "js")
        {
            let reason = format!("{} is not what a .{ending} file is", shown(kind));
            return Err(("script_type", reason));
        }
        match (self.scope, ending == "py") {
            (Some(ScriptScope::Backend) | None, _) => {}
            (Some(_), false) => {}
            (Some(_), true) => return Err(("scope", "Python runs in the backend alone".into())),
        }
        priority("load_priority", self.load_priority)
    }

    pub(super) fn takes_file(file: &str) -> bool {
        [".js", ".mjs", ".css", ".py"]
            .iter()
            .any(|ending| file.ends_with(ending))
    }
}

/// Whether a text is the name of a hook.
pub fn is_hook_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
}

/// What two entries cannot both have.
pub(super) fn clashes(parts: &Parts) -> Result<(), PartError> {
    let mut routes_of: HashMap<(String, String), &str> = HashMap::new();
    for part in parts.controllers.iter().filter(|part| part.is_enabled) {
        let (Some(method), Some(path)) = (&part.method, &part.path) else {
            continue;
        };
        // Checked: it is one.
        let Ok((pattern, _)) = routes::pattern(path) else {
            continue;
        };
        let method = method.to_ascii_uppercase();
        let reason = format!("{method} {path} is the route of ");
        if let Some(other) = routes_of.insert((method, pattern), part.file()) {
            return Err(PartError {
                at: format!("controllers.{}.path", part.file),
                reason: format!("{reason}controllers/{other} already"),
            });
        }
    }
    let mut widgets: HashMap<&str, &str> = HashMap::new();
    for part in parts.widgets.iter().filter(|part| part.is_enabled) {
        let Some(id) = &part.widget_id else { continue };
        if let Some(other) = widgets.insert(id, part.file()) {
            return Err(PartError {
                at: format!("widgets.{}.widget_id", part.file),
                reason: format!("{id:?} is the widget of widgets/{other} already"),
            });
        }
    }
    Ok(())
}

fn side(file: &str, side: Option<Side>) -> Checked {
    if file.ends_with(".js") && side != Some(Side::Frontend) {
        return Err((
            "scope",
            "a .js file runs in pages: `frontend` is wanted".into(),
        ));
    }
    Ok(())
}

fn schema(key: &'static str, schema: Option<&Value>) -> Checked {
    routes::validator(key, schema)
        .map(drop)
        .map_err(|error| (key, error.to_string()))
}

fn priority(key: &'static str, priority: Option<i32>) -> Checked {
    match priority {
        Some(number) if !PRIORITIES.contains(&number) => {
            let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
            Err((key, format!("must be {least} to {most}, not {number}")))
        }
        _ => Ok(()),
    }
}

fn function(function: Option<&str>) -> Checked {
    let Some(name) = function else { return Ok(()) };
    let good = |letter: char| letter == '_' || letter.is_alphanumeric();
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(good) {
        return Err((
            "function",
            format!("{} is no name of a function", shown(name)),
        ));
    }
    Ok(())
}

fn name(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.contains(char::is_control) {
        return Err(format!(
            "{} has not 1 to {MAX_NAME_BYTES} bytes without control characters",
            shown(text)
        ));
    }
    Ok(())
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}
