//! One migration as its file says it: a list of commands and the list that undoes them, or Python with
//! `up(db)` and `down(db)`.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use bson::Document;
use serde_json::Value;

use crate::{
    allowed,
    error::EntityError,
    extended::{self, Ordered},
};

/// Commands of one list.
const MAX_COMMANDS: usize = 1000;

/// What a migration does.
#[derive(Debug, Clone, PartialEq)]
pub enum Script {
    /// Commands in their order.
    Commands {
        /// There.
        up: Vec<Document>,
        /// And back; empty where there is no way.
        down: Vec<Document>,
    },
    /// A module with `up` and maybe `down`.
    Python {
        /// Its text.
        source: String,
    },
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// There.
    Up,
    /// And back.
    Down,
}

impl Direction {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One migration.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    /// `20250129_143000`
    pub version: String,
    /// `create_hamid_cart`
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Its file below `migrations/`; none where an entity has made it.
    pub file_name: Option<String>,
    /// The entity that has made it.
    pub entity_name: Option<String>,
    /// SHA-256 of the file.
    pub checksum: String,
    /// What it does.
    pub script: Script,
}

impl Migration {
    /// Reads a file by its name.
    ///
    /// # Errors
    /// [`EntityError::Invalid`].
    pub fn read(file_name: &str, text: &[u8]) -> Result<Self, EntityError> {
        let Some((version, name, form)) = parts_of(file_name) else {
            return Err(EntityError::invalid(
                file_name,
                "a migration's file is named like 20250129_143000_create_cart.json or .py",
            ));
        };
        let source = std::str::from_utf8(text)
            .map_err(|_| EntityError::invalid(file_name, "is not UTF-8"))?;
        let (header, script) = match form {
            Form::Json => read_json(source),
            Form::Python => Ok(read_python(source)),
        }
        .map_err(|error| error.within(file_name))?;
        if let Some(said) = &header.version
            && said != version
        {
            let what = format!("its version is {said:?}, its name says {version:?}");
            return Err(EntityError::invalid(file_name, what));
        }
        Ok(Self {
            version: version.to_owned(),
            name: name.to_owned(),
            description: header.description.or(header.title),
            file_name: Some(file_name.to_owned()),
            entity_name: None,
            checksum: checksum(text),
            script,
        })
    }

    /// Whether something says how to undo it.
    pub fn has_way_back(&self) -> bool {
        match &self.script {
            Script::Commands { down, .. } => !down.is_empty(),
            Script::Python { source } => defines(source, "down"),
        }
    }
}

/// Whether a text is a version.
pub fn is_version(text: &str) -> bool {
    text.len() == 15
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'_',
            _ => byte.is_ascii_digit(),
        })
}

/// SHA-256 in hexadecimal.
pub fn checksum(bytes: &[u8]) -> String {
    let sum = digest::digest(&digest::SHA256, bytes);
    sum.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Commands as they are stored: names with signs of the server's are data there.
pub(crate) fn to_text(commands: &[Document]) -> String {
    let mut text = String::from("[");
    for (at, command) in commands.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        extended::write_document(command, &mut text);
    }
    text.push(']');
    text
}

/// As [`to_text`] has written them.
pub(crate) fn of_text(text: &str) -> Option<Vec<Document>> {
    match serde_json::from_str(text) {
        Ok(Ordered::Array(commands)) => commands.into_iter().map(Ordered::into_document).collect(),
        _ => None,
    }
}

enum Form {
    Json,
    Python,
}

fn parts_of(file_name: &str) -> Option<(&str, &str, Form)> {
    let (stem, form) = match file_name.strip_suffix(".json") {
        Some(stem) => (stem, Form::Json),
        None => (file_name.strip_suffix(".py")?, Form::Python),
    };
    let (version, name) = (stem.get(..15)?, stem.get(15..)?);
    let name = name.strip_prefix('_')?;
    let is_name = !name.is_empty()
        && name.len() <= 200
        && (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    (is_version(version) && is_name).then_some((version, name, form))
}

#[derive(Default)]
struct Header {
    title: Option<String>,
    version: Option<String>,
    description: Option<String>,
}

impl Header {
    fn note(&mut self, key: &str, value: &str) {
        let place = match key.trim().to_ascii_lowercase().as_str() {
            "migration" => &mut self.title,
            "version" => &mut self.version,
            "description" => &mut self.description,
            _ => return,
        };
        place.get_or_insert_with(|| value.trim().to_owned());
    }
}

fn read_json(source: &str) -> Result<(Header, Script), EntityError> {
    let wrong = |path: &str, message: String| EntityError::invalid(path, message);
    let written: Ordered = serde_json::from_str(source)
        .map_err(|error| wrong("", format!("is not valid JSON: {error}")))?;
    let Ordered::Object(fields) = written else {
        let what = "a migration is an object with `up` and `down`";
        return Err(wrong("", what.into()));
    };
    let mut header = Header::default();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for (key, value) in fields {
        match (key.to_ascii_lowercase().as_str(), value) {
            ("up", list) => up = commands(list, "up")?,
            ("down", list) => down = commands(list, "down")?,
            (
                "migration" | "plugin" | "version" | "description",
                Ordered::Plain(Value::String(text)),
            ) => header.note(&key, &text),
            ("migration" | "plugin" | "version" | "description", _) => {
                return Err(wrong(&key, "must be a text".into()));
            }
            _ => {
                let what = "is not known here; there are migration, plugin, version, description, up, down";
                return Err(wrong(&key, what.into()));
            }
        }
    }
    if up.is_empty() {
        return Err(wrong("up", "has no commands".into()));
    }
    Ok((header, Script::Commands { up, down }))
}

fn commands(written: Ordered, list: &str) -> Result<Vec<Document>, EntityError> {
    let items = match written {
        Ordered::Plain(Value::Null) => return Ok(Vec::new()),
        Ordered::Array(items) if items.len() <= MAX_COMMANDS => items,
        Ordered::Array(_) => {
            let what = format!("has over {MAX_COMMANDS} commands");
            return Err(EntityError::invalid(list, what));
        }
        _ => return Err(EntityError::invalid(list, "must be an array of commands")),
    };
    let mut commands = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let place = format!("{list}[{at}]");
        let Some(command) = item.into_document() else {
            return Err(EntityError::invalid(place, "is no command"));
        };
        let command = allowed::named_first(command);
        allowed::look(&command).map_err(|error| error.within(&place))?;
        commands.push(command);
    }
    Ok(commands)
}

/// The header stands in comments or in the docstring at the beginning.
fn read_python(source: &str) -> (Header, Script) {
    let mut header = Header::default();
    for line in source.lines().take(40) {
        let line = line.trim().trim_start_matches(['#', '"', '\'']);
        if let Some((key, value)) = line.split_once(':') {
            header.note(key, value.trim_end_matches(['"', '\'']));
        }
    }
    let source = source.to_owned();
    (header, Script::Python { source })
}

/// Whether a module defines a function at its outermost level. Only a guess for lists: whoever runs it looks.
fn defines(source: &str, function: &str) -> bool {
    source.lines().any(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("def ").map(str::trim_start);
        rest.and_then(|rest| rest.strip_prefix(function))
            .is_some_and(|rest| rest.trim_start().starts_with('('))
    })
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};
    use serde_json::json;

    use super::*;

    const FILE: &str = "20250129_143000_create_hamid_cart.json";

    fn read(written: &Value) -> Result<Migration, EntityError> {
        Migration::read(FILE, written.to_string().as_bytes())
    }

    #[test]
    fn a_file_says_what_it_does() {
        let written = json!({
            "Migration": "Create hamid_cart", "Plugin": "cart-hamid", "Version": "20250129_143000",
            "Description": "For visits",
            "up": [{ "create": "hamid_cart" }, { "insert": "hamid_cart", "documents": [{ "at": { "$date": "2026-01-01T00:00:00Z" } }] }],
            "down": [{ "drop": "hamid_cart" }],
        });
        let migration = read(&written).unwrap();
        assert_eq!(migration.version, "20250129_143000");
        assert_eq!(migration.name, "create_hamid_cart");
        assert_eq!(migration.description.as_deref(), Some("For visits"));
        assert_eq!(migration.checksum, checksum(written.to_string().as_bytes()));
        assert!(migration.has_way_back());
        let Script::Commands { up, down } = &migration.script else {
            panic!("{migration:?}");
        };
        assert_eq!(down[0], doc! { "drop": "hamid_cart" });
        let at = up[1].get_array("documents").unwrap()[0]
            .as_document()
            .unwrap()
            .get("at");
        assert!(matches!(at, Some(Bson::DateTime(_))));
        assert_eq!(of_text(&to_text(up)).as_ref(), Some(up));
        let without = read(&json!({ "up": [{ "create": "a" }] })).unwrap();
        assert!(!without.has_way_back());
    }

    #[test]
    fn python_has_a_header_too() {
        let source = "\"\"\"Migration: Fill it\n\nDescription: all of it\n\"\"\"\n\nasync def up(db):\n    pass\n";
        let migration = Migration::read("20250129_143001_fill.py", source.as_bytes()).unwrap();
        assert_eq!(migration.description.as_deref(), Some("all of it"));
        assert!(!migration.has_way_back());
        let back = format!("# Version: 20250129_143001\n{source}\ndef down (db):\n    pass\n");
        let migration = Migration::read("20250129_143001_fill.py", back.as_bytes()).unwrap();
        assert!(migration.has_way_back());
        let other = "# Version: 20250129_143009\n";
        assert!(Migration::read("20250129_143001_fill.py", other.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_migration_is_refused() {
        for (name, text) in [
            ("create.json", "{}"),
            ("20250129_create.json", "{}"),
            ("20250129_143000.json", "{}"),
            ("20250129_143000_a.sql", "{}"),
            ("20250129_143000_../../x.json", "{}"),
            (FILE, "["),
            (FILE, "[]"),
            (FILE, "{}"),
            (FILE, r#"{"up": []}"#),
            (FILE, r#"{"up": {}}"#),
            (FILE, r#"{"up": [1]}"#),
            (FILE, r#"{"up": [{"find": "a"}]}"#),
            (
                FILE,
                r#"{"up": [{"drop": "a"}], "down": [{"aggregate": "a"}]}"#,
            ),
            (
                FILE,
                r#"{"up": [{"drop": "a"}], "version": "20250129_143001"}"#,
            ),
            (FILE, r#"{"up": [{"drop": "a"}], "sql": "DROP TABLE a"}"#),
            (FILE, r#"{"up": [{"drop": "a"}], "version": 1}"#),
        ] {
            let refused = Migration::read(name, text.as_bytes());
            assert!(
                matches!(refused, Err(EntityError::Invalid { .. })),
                "{name} {text}"
            );
        }
        let many = json!({ "up": vec![json!({ "drop": "a" }); 1001] });
        assert!(read(&many).is_err());
        assert!(Migration::read(FILE, b"\xff").is_err());
    }
}
