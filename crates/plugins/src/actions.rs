//! The typed actions of one load of a plugin: what each takes and gives, and whether a call fits.
//!
//! Knows of Python only what a load has said: names and JSON Schemas. A worker's word is no more trusted than
//! a plugin's, so everything here has a bound.

mod locate;
mod value;

use std::collections::HashMap;

use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::locate::misfit;
use crate::{
    body,
    dispatch::DispatchError,
    host::HostError,
    runtime::CallError,
    schema::{Misfit, cheap_to_refuse},
};

/// Actions of one plugin.
const MAX_ACTIONS: usize = 500;
/// Bytes of one schema.
const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Bytes of all schemas of a plugin.
const MAX_ALL_BYTES: usize = 4 << 20;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 64;
/// Bytes of a description.
const MAX_DESCRIPTION_BYTES: usize = 16 << 10;
/// How many names an error lists.
const LISTED: usize = 50;
/// How alike a name must be to be what was meant.
const ALIKE: f64 = 0.6;

/// What the gateway puts over whatever a client sends, or takes out of it: neither asked for nor looked at.
const RESERVED: [&str; 5] = ["user_id", "app_id", "_context", "_entitlements", "user_jwt"];

/// What a load says of an action; schemas are JSON text, which travels from a worker as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeclaredAction {
    /// What clients put under `action`.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// Of what a client sends.
    pub input: String,
    /// Of the answer.
    pub result: String,
}

/// One action.
pub struct Action {
    /// What clients put under `action`.
    pub name: Box<str>,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of what a client sends.
    pub input: Value,
    /// JSON Schema of the answer.
    pub result: Value,
    fits: Validator,
    /// What says where a value does not fit, where that is another.
    locates: Option<Validator>,
}

/// The actions of a load.
pub struct Actions {
    /// In the order of their declaration.
    actions: Vec<Action>,
    by_name: HashMap<Box<str>, usize>,
    /// Whether what names none of them is `execute`'s.
    has_execute: bool,
}

impl Actions {
    /// Reads what a load says.
    ///
    /// # Errors
    /// A sentence that names the action.
    pub fn of(declared: &[DeclaredAction], has_execute: bool) -> Result<Self, String> {
        if declared.len() > MAX_ACTIONS {
            return Err(format!(
                "a plugin has at most {MAX_ACTIONS} actions, not {}",
                declared.len()
            ));
        }
        let bytes = declared
            .iter()
            .map(|each| each.input.len() + each.result.len());
        if bytes.sum::<usize>() > MAX_ALL_BYTES {
            return Err(format!(
                "the schemas of the actions have more than {MAX_ALL_BYTES} bytes"
            ));
        }
        let mut actions = Vec::with_capacity(declared.len());
        let mut by_name = HashMap::with_capacity(declared.len());
        for each in declared {
            let action = Action::of(each)?;
            if by_name.insert(action.name.clone(), actions.len()).is_some() {
                return Err(format!("there are two actions {:?}", each.name));
            }
            actions.push(action);
        }
        Ok(Self {
            actions,
            by_name,
            has_execute,
        })
    }

    /// All of them, in the order of their declaration.
    pub fn list(&self) -> &[Action] {
        &self.actions
    }

    /// Whether calls that name none of them are answered too.
    pub fn has_execute(&self) -> bool {
        self.has_execute
    }

    /// Whether what a client sends is what its action takes.
    ///
    /// # Errors
    /// What is wrong with it: [`DispatchError::Misfit`], or that it is no JSON object.
    pub(crate) fn check(&self, body: &[u8], max_depth: usize) -> Result<(), DispatchError> {
        let found = body::walk_object(body, max_depth, &mut value::Values);
        let mut object = found.map_err(CallError::from)?.unwrap_or_default();
        let action = match object.get("action").and_then(Value::as_str) {
            Some(name) => self.by_name.get(name).map(|at| &self.actions[*at]),
            None => None,
        };
        let Some(action) = action else {
            return if self.has_execute {
                Ok(())
            } else {
                Err(DispatchError::Misfit(self.unknown(object.get("action"))))
            };
        };
        for name in RESERVED {
            object.remove(name);
        }
        match action.misfit(object) {
            None => Ok(()),
            Some(misfit) => Err(DispatchError::Misfit(action.refusal(&misfit))),
        }
    }

    fn unknown(&self, named: Option<&Value>) -> HostError {
        let names: Vec<&str> = self.actions.iter().map(|action| &*action.name).collect();
        let listed = &names[..names.len().min(LISTED)];
        let mut message = match named {
            Some(Value::String(name)) => {
                let shown: String = name.chars().take(MAX_NAME_BYTES).collect();
                format!("there is no action {shown:?} here")
            }
            Some(_) => "an action's name is a string".to_owned(),
            None => "an action is wanted".to_owned(),
        };
        message.push_str(&format!(": one of {}", listed.join(", ")));
        let mut details = json!({ "path": "/action", "actions": listed });
        if let Some(Value::String(name)) = named
            && let Some(nearest) = nearest(name, &names)
        {
            message.push_str(&format!("; did you mean {nearest:?}?"));
            details["nearest"] = nearest.into();
        }
        refusal(message, &details)
    }
}

impl Action {
    fn of(declared: &DeclaredAction) -> Result<Self, String> {
        let DeclaredAction {
            name,
            description,
            input,
            result,
        } = declared;
        if !is_name(name) {
            return Err(format!(
                "{:?} is no name of an action",
                name.chars().take(MAX_NAME_BYTES).collect::<String>()
            ));
        }
        let wrong = |reason: &str| format!("the action {name:?}: {reason}");
        if description
            .as_ref()
            .is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES)
        {
            return Err(wrong("its description is too long"));
        }
        let input = schema(input).map_err(|reason| wrong(&reason))?;
        let result = schema(result).map_err(|reason| wrong(&format!("its result: {reason}")))?;
        let compiled = |schema: &Value| {
            jsonschema::draft202012::options()
                .should_validate_formats(true)
                // A time of day without a zone is one for Python.
                .with_format("time", |_: &str| true)
                .build(schema)
                .map_err(|error| wrong(&format!("what it takes has no JSON Schema: {error}")))
        };
        let cheap = cheap_to_refuse(&input);
        Ok(Self {
            fits: compiled(&input)?,
            locates: (cheap != input).then(|| compiled(&cheap)).transpose()?,
            name: name.as_str().into(),
            description: description.clone(),
            input,
            result,
        })
    }

    fn misfit(&self, object: Map<String, Value>) -> Option<Misfit> {
        let object = Value::Object(object);
        if self.fits.is_valid(&object) {
            return None;
        }
        Some(misfit(self.locates.as_ref().unwrap_or(&self.fits), &object))
    }

    fn refusal(&self, misfit: &Misfit) -> HostError {
        let place = match &*misfit.path {
            "" => "the body",
            path => path,
        };
        refusal(
            format!(
                "the action {} does not take this: {place}: {}",
                self.name, misfit.message
            ),
            &json!({ "path": misfit.path, "action": self.name }),
        )
    }
}

impl std::fmt::Debug for Actions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.actions.iter().map(|action| &action.name);
        formatter.debug_list().entries(names).finish()
    }
}

fn refusal(message: String, details: &Value) -> HostError {
    HostError {
        code: "VALIDATION_ERROR",
        message,
        details: Some(details.to_string().into()),
    }
}

fn schema(text: &str) -> Result<Value, String> {
    if text.len() > MAX_SCHEMA_BYTES {
        return Err(format!(
            "its JSON Schema has more than {MAX_SCHEMA_BYTES} bytes"
        ));
    }
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| format!("its JSON Schema cannot be read: {error}"))?;
    if schema.is_object() {
        Ok(schema)
    } else {
        Err("its JSON Schema is no object".into())
    }
}

fn is_name(name: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    let first = name.bytes().next();
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(sign)
        && first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    if wanted.len() > MAX_NAME_BYTES {
        return None;
    }
    let alike = names
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wanted, name), *name))
        .filter(|(alike, _)| *alike >= ALIKE);
    let best = alike.max_by(|one, other| one.0.total_cmp(&other.0));
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
