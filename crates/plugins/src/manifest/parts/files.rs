//! The files of the parts: those that are named are there, and those that are there are named or say
//! themselves what they are.

use std::path::Path;

use super::{
    ControllerPart, EventPart, HookPart, JobPart, MAX_PARTS, MiddlewarePart, Part, Parts,
    ScriptPart, WidgetPart,
};

/// Files of a folder that are looked at.
const MAX_FILES: usize = 2000;
/// Bytes of a file that are looked through for a decorator.
const MAX_LOOKED_BYTES: u64 = 512 * 1024;
/// What a part's function is decorated with; `on_event` and `on_hook` are the imports' own.
const DECORATORS: [&str; 7] = [
    "controller",
    "hook",
    "job",
    "listener",
    "middleware",
    "on_event",
    "on_hook",
];

/// Adds the files that say by a decorator what they are; gives sentences about those that nobody names.
///
/// # Errors
/// A sentence that names the entry whose file is not there.
pub(in crate::manifest) fn look(dir: &Path, parts: &mut Parts) -> Result<Vec<String>, String> {
    let root = dir
        .canonicalize()
        .map_err(|error| format!("its path cannot be resolved: {error}"))?;
    let mut warnings = Vec::new();
    section::<ControllerPart>(&root, &mut parts.controllers, &mut warnings)?;
    section::<HookPart>(&root, &mut parts.hooks, &mut warnings)?;
    section::<EventPart>(&root, &mut parts.events, &mut warnings)?;
    section::<MiddlewarePart>(&root, &mut parts.middleware, &mut warnings)?;
    section::<JobPart>(&root, &mut parts.jobs, &mut warnings)?;
    named::<WidgetPart>(&root.join("widgets"), &root, &parts.widgets)?;
    named::<ScriptPart>(&root, &root, &parts.scripts)?;
    Ok(warnings)
}

fn section<P: Part + Default>(
    root: &Path,
    parts: &mut Vec<P>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let folder = root.join(P::SECTION);
    named::<P>(&folder, root, parts)?;
    let Ok(listed) = std::fs::read_dir(&folder) else {
        return Ok(());
    };
    let mut others: Vec<String> = listed
        .take(MAX_FILES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".py") && !name.starts_with(['_', '.']))
        .filter(|name| !parts.iter().any(|part| part.file() == name))
        .collect();
    // In the same order each time: equal priorities go by it.
    others.sort();
    for name in others {
        let path = folder.join(&name);
        if is_below(&path, root) && decorates(&path) && parts.len() < MAX_PARTS {
            let mut part = P::default();
            part.set_file(name);
            parts.push(part);
        } else {
            let section = P::SECTION;
            warnings.push(format!(
                "{section}/{name}: is no part: it has neither an entry under {section:?} in plugin.json \
                 nor a function with a decorator of core.plugin"
            ));
        }
    }
    Ok(())
}

fn named<P: Part>(folder: &Path, root: &Path, parts: &[P]) -> Result<(), String> {
    for part in parts.iter().filter(|part| part.is_enabled()) {
        let path = folder.join(part.file());
        let at = format!("{}.{}", P::SECTION, part.file());
        if !path.is_file() {
            return Err(format!("{at}: there is no such file"));
        }
        if !is_below(&path, root) {
            return Err(format!("{at}: it is a link to outside the plugin"));
        }
    }
    Ok(())
}

fn is_below(path: &Path, root: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| real.starts_with(root))
}

/// Whether a line begins with one of the decorators: a file that is imported for nothing would run for
/// nothing.
fn decorates(path: &Path) -> bool {
    let is_small = std::fs::metadata(path).is_ok_and(|found| found.len() <= MAX_LOOKED_BYTES);
    if !is_small {
        return false;
    }
    let Ok(text) = std::fs::read_to_string(path) else {
        return false;
    };
    text.lines().any(|line| {
        let Some(written) = line.strip_prefix('@') else {
            return false;
        };
        let end = written.find(|letter: char| !(letter.is_alphanumeric() || "_.".contains(letter)));
        let name = &written[..end.unwrap_or(written.len())];
        let last = name.rsplit('.').next().unwrap_or_default();
        DECORATORS.contains(&last)
    })
}
