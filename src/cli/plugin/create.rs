//! `mozaiks plugin new`: a plugin that runs as it is, short enough to be read at once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::super::Failure;
use mozaiks_plugins::discovery::is_plugin_name;

const LOGIC: &str = r#""""What the plugin does, in one sentence."""


async def execute(data: dict) -> dict:
    """Answer one call: `data` is the request's body and who asks."""
    if data.get("action") == "greet":
        name = data["_context"]["username"] or data["user_id"]
        return {"message": f"Hello, {name}!"}
    return {"error": "Unknown action", "error_code": "VALIDATION_ERROR"}
"#;

/// Makes the plugin's directory and files; gives the directory.
pub(super) fn create(plugins_dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    if !is_plugin_name(name) {
        return Err(Failure::Usage(format!(
            "\"{name}\" cannot be a plugin's name: a lower-case letter, then up to 63 lower-case \
             letters, digits, - or _"
        )));
    }
    let dir = plugins_dir.join(name);
    let fail = |error: io::Error| {
        Failure::Failed(anyhow::anyhow!("cannot make {}: {error}", dir.display()))
    };
    fs::create_dir_all(plugins_dir).map_err(fail)?;
    match fs::create_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::Usage(format!(
                "{} exists already; nothing was changed",
                dir.display()
            )));
        }
        made => made.map_err(fail)?,
    }
    fs::write(dir.join("__init__.py"), "").map_err(fail)?;
    fs::write(dir.join("logic.py"), LOGIC).map_err(fail)?;
    fs::write(dir.join("plugin.json"), manifest(name)).map_err(fail)?;
    Ok(dir)
}

fn manifest(name: &str) -> String {
    let display_name: Vec<String> = name
        .split(['-', '_'])
        .filter(|word| !word.is_empty())
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect();
    format!(
        "{{\n  \"name\": \"{name}\",\n  \"version\": \"0.1.0\",\n  \"display_name\": \"{}\",\n  \
         \"description\": \"What the plugin does, in one sentence.\"\n}}\n",
        display_name.join(" ")
    )
}
