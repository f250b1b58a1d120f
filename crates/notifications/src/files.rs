//! The two files that an operator writes: types of notifications, and templates. Read once, before
//! anything is started.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{NotificationsConfig, catalogue::Catalogue, channels, templates::Templates};

/// Such a file is small; a larger one is the wrong file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// What the operator has written.
#[derive(Debug, Default)]
pub struct Definitions {
    /// The types, those of plugins not yet among them.
    pub catalogue: Catalogue,
    /// The templates.
    pub templates: Templates,
}

/// Reads `notifications_config.json` and `notification_templates.json`: where they are configured, else
/// beside the plugins directory, else in the working directory. Checks the channels' settings too.
///
/// # Errors
/// A sentence that names the file or setting, the place in it and what is wrong.
pub fn read_definitions(
    config: &NotificationsConfig,
    plugins_dir: &Path,
) -> Result<Definitions, String> {
    channels::senders(&config.channels)?;
    let mut definitions = Definitions::default();
    let types = config.types_file.as_deref();
    if let Some((path, value)) = read(types, plugins_dir, "notifications_config.json")? {
        definitions
            .catalogue
            .declare_all(&value)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let templates = config.templates_file.as_deref();
    if let Some((path, value)) = read(templates, plugins_dir, "notification_templates.json")? {
        definitions.templates = Templates::from_value(&value)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(definitions)
}

fn read(
    configured: Option<&Path>,
    plugins_dir: &Path,
    name: &str,
) -> Result<Option<(PathBuf, Value)>, String> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => {
            let beside = plugins_dir.parent().map(|parent| parent.join(name));
            let found = beside.into_iter().chain([PathBuf::from(name)]);
            match found.into_iter().find(|path| path.is_file()) {
                Some(path) => path,
                None => return Ok(None),
            }
        }
    };
    let unreadable = |what: String| format!("{}: {what}", path.display());
    let bytes = std::fs::metadata(&path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if bytes > MAX_FILE_BYTES {
        return Err(unreadable(format!(
            "{bytes} bytes are more than {MAX_FILE_BYTES}"
        )));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    Ok(Some((path, value)))
}
