//! `mozaiks plugin pull|push`: a stored plugin of a running gateway as a directory, and back, byte by byte.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::{
    Failure, print,
    remote::{RemoteArgs, printable, segment},
};
use mozaiks_catalog::{MAX_FILES, Tree};
use mozaiks_plugins::{
    manifest,
    tree::{Concern, concern},
};

/// Says what a directory was pulled from; hidden, so that it is never pushed.
const MARK: &str = ".mozaiks-plugin";

#[derive(Debug, clap::Args)]
pub(super) struct PullArgs {
    /// The plugin's name.
    name: String,
    /// The directory: new, empty, or pulled before.
    dir: PathBuf,
    /// Write over changes that were not pushed.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    /// The directory.
    dir: PathBuf,
    /// The plugin's name, where it is not the one that was pulled or the directory's.
    #[arg(long)]
    name: Option<String>,
    /// Push also where the plugin was changed since it was pulled.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Writes a stored plugin's files into a directory.
pub(super) fn pull(args: &PullArgs) -> Result<(), Failure> {
    let (tree, name) = fetch(args)?;
    let dir = &args.dir;
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let old = read(dir)?;
    match mark(dir) {
        None if old.files().next().is_some() => {
            return Err(anyhow!("{} is not empty, and was not pulled", dir.display()).into());
        }
        Some((_, digest)) if digest != stored_digest(&old)? && !args.force => {
            let why = "has changes that were not pushed; --force writes over them";
            return Err(anyhow!("{} {why}", dir.display()).into());
        }
        _ => {}
    }
    for (path, _) in old.files() {
        fs::remove_file(dir.join(path)).with_context(|| format!("{path} cannot be replaced"))?;
    }
    for (path, content) in tree.files() {
        let place = dir.join(path);
        let written = place
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&place, content));
        written.with_context(|| format!("{} cannot be written", place.display()))?;
    }
    keep_mark(dir, &name, &stored_digest(&tree)?)?;
    let count = tree.files().count();
    Ok(print(&format!("pulled {name}: {count} files\n"))?)
}

fn fetch(args: &PullArgs) -> Result<(Tree, String), Failure> {
    let remote = args.remote.connect()?;
    let answer = remote.get(&format!("/api/plugins/registry/{}", segment(&args.name)))?;
    let files = answer["source_code"].as_array();
    let files = files.ok_or_else(|| anyhow!("the answer has no files"))?;
    let files = files.iter().map(|file| {
        let text = |key: &str| file[key].as_str();
        let (path, content) = (text("path"), text("content"));
        let (Some(path), Some(content)) = (path, content) else {
            return Err(anyhow!("the answer has files without paths"));
        };
        let content = match text("encoding") {
            None => Bytes::copy_from_slice(content.as_bytes()),
            Some(_) => STANDARD.decode(content).map(Bytes::from)?,
        };
        Ok((path.to_owned(), content))
    });
    let files = files.collect::<Result<Vec<_>, _>>()?;
    // Whatever the gateway says: these are paths below the directory.
    let tree = Tree::new(files).map_err(anyhow::Error::new)?;
    let name = answer["name"].as_str().unwrap_or(&args.name).to_owned();
    Ok((tree, name))
}

/// Makes a stored plugin what a directory is.
pub(super) fn push(args: &PushArgs) -> Result<(), Failure> {
    let tree = read(&args.dir)?;
    let mark = mark(&args.dir);
    let name = match (&args.name, &mark) {
        (Some(name), _) => name.clone(),
        (None, Some((name, _))) => name.clone(),
        (None, None) => own_name(&args.dir)?,
    };
    let pulled = mark.filter(|(of, _)| *of == name && !args.force);
    let files = tree
        .files()
        .map(|(path, content)| match std::str::from_utf8(content) {
            Ok(text) => json!({ "name": path, "content": text }),
            Err(_) => {
                json!({ "name": path, "content": STANDARD.encode(content), "encoding": "base64" })
            }
        });
    let body = json!({
        "files": files.collect::<Vec<_>>(),
        "digest": pulled.map(|(_, digest)| digest),
    });
    let remote = args.remote.connect()?;
    let answer = remote.put(
        &format!("/api/plugins/registry/{}/tree", segment(&name)),
        &body,
    )?;
    keep_mark(&args.dir, &name, &stored_digest(&tree)?)?;
    let problems = answer["problems"].as_array().map(Vec::as_slice);
    let mut told = format!("pushed {name}: {} changes", answer["changed"]);
    if answer["active"] == true {
        told.push_str(", and it serves");
    }
    told.push('\n');
    for problem in problems.unwrap_or_default() {
        let text = |key: &str| printable(problem[key].as_str().unwrap_or_default());
        let line = problem["line"].as_u64();
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        told.push_str(&format!(
            "warn  {}{line}: {}\n",
            text("file"),
            text("message")
        ));
    }
    Ok(print(&told)?)
}

/// The files of a directory, but those that no plugin has.
fn read(dir: &Path) -> Result<Tree, Failure> {
    let mut files = Vec::new();
    collect(dir, Path::new(""), &mut files)
        .with_context(|| format!("{} cannot be read", dir.display()))?;
    Ok(Tree::new(files).map_err(anyhow::Error::new)?)
}

fn collect(dir: &Path, below: &Path, files: &mut Vec<(String, Bytes)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir.join(below))? {
        let entry = entry?;
        let relative = below.join(entry.file_name());
        let inside = relative.strip_prefix("tests").unwrap_or(&relative);
        if concern(inside) == Concern::Nothing {
            continue;
        }
        let kind = entry.file_type()?;
        let path = relative.to_str();
        let path = path.ok_or_else(|| anyhow!("{} is not UTF-8", relative.display()))?;
        if kind.is_dir() {
            collect(dir, &relative, files)?;
        } else if kind.is_file() && files.len() <= MAX_FILES {
            files.push((path.to_owned(), fs::read(entry.path())?.into()));
        } else {
            return Err(anyhow!(
                "{path}: only files are stored, and at most {MAX_FILES} of them"
            ));
        }
    }
    Ok(())
}

/// The digest of what is stored of a directory: there a plugin always has a manifest.
fn stored_digest(tree: &Tree) -> Result<String, Failure> {
    let mut files: Vec<_> = tree
        .files()
        .map(|(path, content)| (path.to_owned(), content.clone()))
        .collect();
    if files.iter().all(|(path, _)| path != "plugin.json") {
        files.push(("plugin.json".to_owned(), Bytes::from_static(b"{}\n")));
    }
    Ok(Tree::new(files).map_err(anyhow::Error::new)?.digest())
}

fn mark(dir: &Path) -> Option<(String, String)> {
    let text = fs::read(dir.join(MARK)).ok()?;
    let mark: Value = serde_json::from_slice(&text).ok()?;
    let text = |key: &str| mark[key].as_str().map(str::to_owned);
    Some((text("name")?, text("digest")?))
}

fn keep_mark(dir: &Path, name: &str, digest: &str) -> Result<(), Failure> {
    let mark = json!({ "name": name, "digest": digest });
    let place = dir.join(MARK);
    fs::write(&place, format!("{mark}\n"))
        .with_context(|| format!("{} cannot be written", place.display()))?;
    Ok(())
}

/// The name of a directory that was never pulled.
fn own_name(dir: &Path) -> Result<String, Failure> {
    let real = dir
        .canonicalize()
        .with_context(|| format!("{} cannot be read", dir.display()))?;
    let folder = real
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let read = manifest::read(&real, folder).map_err(|reason| anyhow!("{reason}"))?;
    Ok(read.other_name.unwrap_or_else(|| folder.to_owned()))
}
