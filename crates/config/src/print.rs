//! Prints the configuration: the effective values with their origins, and the table of all keys for
//! the documentation. Secrets never leave this module in the clear.

use std::fmt::Write as _;

use crate::{KEYS, Loaded, keys::Settings};

/// The effective configuration, one key a line: name, value, origin. Secrets are redacted.
pub fn effective(loaded: &Loaded) -> String {
    let mut settings = loaded.settings.clone();
    let rows: Vec<(&str, String, String)> = KEYS
        .iter()
        .map(|key| {
            let value = key
                .show(&mut settings)
                .map_or_else(|| "(unset)".to_owned(), |value| key.redact(&value));
            (key.name, value, loaded.origin(key.name).to_string())
        })
        .collect();
    let widths = rows.iter().fold((0, 0), |(name, value), row| {
        (name.max(row.0.len()), value.max(row.1.chars().count()))
    });
    let mut text = String::new();
    for (name, value, origin) in rows {
        let _ = writeln!(
            text,
            "{name:<name_width$}  {value:<value_width$}  {origin}",
            name_width = widths.0,
            value_width = widths.1
        );
    }
    text
}

/// The table of all keys in Markdown.
pub fn markdown_table() -> String {
    let mut settings = Settings::default();
    let mut text = String::from(
        "| `mozaiks.toml` | environment | flag | default | allowed | what it does |\n\
         |---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = key
            .show(&mut settings)
            .map_or_else(|| "unset".to_owned(), |value| format!("`{value}`"));
        let mut variables = format!("`{}`", key.variable);
        for alias in key.aliases {
            let _ = write!(variables, ", `{alias}`");
        }
        let _ = writeln!(
            text,
            "| `{}` | {variables} | `--{}` | {default} | {} | {} |",
            key.name,
            key.flag,
            escape(&key.allowed()),
            escape(key.about)
        );
    }
    text
}

/// Keeps a text from being read as table structure.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}
