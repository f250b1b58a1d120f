//! `mozaiks init`: a folder to begin an app in, with a plugin that runs as it is.

use std::{fs, io, path::Path, path::PathBuf};

use super::{
    Failure,
    plugin::create::{self, Template},
    print,
};

/// What the plugin is called.
const PLUGIN: &str = "hello";
/// Where it lies; `mozaiks.toml` says so too.
const PLUGINS: &str = "plugins";
/// What stands for the folder's name in a file.
const NAME: &str = "{{name}}";

const FILES: [(&str, &str); 4] = [
    (".gitignore", include_str!("init/gitignore")),
    ("README.md", include_str!("init/README.md")),
    ("compose.yaml", include_str!("init/compose.yaml")),
    ("mozaiks.toml", include_str!("init/mozaiks.toml")),
];

#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// The folder; made where it is not there, else it must be empty.
    dir: PathBuf,
    /// What its plugin begins with.
    #[arg(long, value_enum, default_value_t = Template::Minimal)]
    template: Template,
}

pub(super) fn run(args: &InitArgs) -> Result<(), Failure> {
    let dir = &args.dir;
    let shown = dir.display();
    let fail = |error: io::Error| Failure::Failed(anyhow::anyhow!("cannot make {shown}: {error}"));
    refuse_what_is_there(dir)?;
    fs::create_dir_all(dir).map_err(fail)?;
    // `.` has a name too.
    let full = dir.canonicalize().map_err(fail)?;
    let name = full.file_name().unwrap_or_default().to_string_lossy();
    for (file, text) in FILES {
        fs::write(dir.join(file), text.replace(NAME, &name)).map_err(fail)?;
    }
    create::create(&dir.join(PLUGINS), PLUGIN, args.template)?;
    let enter = if full == std::env::current_dir().unwrap_or_default() {
        String::new()
    } else {
        format!("enter it: cd {shown}\n")
    };
    Ok(print(&format!(
        "made {shown}\n{enter}try it: mozaiks serve --dev\ntest it: mozaiks plugin test {PLUGINS}/{PLUGIN}\n"
    ))?)
}

/// Nothing of anybody's is overwritten, nor mixed with.
fn refuse_what_is_there(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Failure::Usage(format!(
                "{shown} is a file; nothing was changed"
            )));
        }
        Err(error) => {
            return Err(Failure::Failed(anyhow::anyhow!(
                "{shown} cannot be read: {error}"
            )));
        }
    };
    match entries.next() {
        None => Ok(()),
        Some(entry) => {
            let found = entry.map_or_else(
                |error| error.to_string(),
                |entry| entry.file_name().display().to_string(),
            );
            Err(Failure::Usage(format!(
                "{shown} is not empty (it holds {found}); nothing was changed"
            )))
        }
    }
}
