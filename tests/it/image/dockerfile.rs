//! Reads the Dockerfile and what it is not given.

use std::path::Path;

use super::repository;

/// One `COPY`.
#[derive(Debug)]
pub struct Copy {
    pub from: Option<String>,
    pub sources: Vec<String>,
}

/// What follows a `FROM`.
#[derive(Debug, Default)]
pub struct Stage {
    pub copies: Vec<Copy>,
    /// The lines of `ENV`, joined.
    environment: String,
}

/// The Dockerfile of the repository.
pub struct Dockerfile {
    pub stages: Vec<Stage>,
}

impl Dockerfile {
    /// Reads it.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(repository().join("Dockerfile")).unwrap();
        let mut stages = Vec::new();
        for line in text.replace("\\\n", " ").lines() {
            let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
            if instruction == "FROM" {
                stages.push(Stage::default());
            }
            let Some(stage) = stages.last_mut() else {
                continue;
            };
            match instruction {
                "COPY" => stage.copies.push(copy(rest)),
                // Fetches and unpacks, too: what it brings is not to be seen here.
                "ADD" => panic!("ADD {rest}: use COPY"),
                "ENV" => {
                    stage.environment.push_str(rest);
                    stage.environment.push(' ');
                }
                _ => {}
            }
        }
        Self { stages }
    }

    /// Whether a stage takes that file or folder of the repository.
    pub fn copies(&self, file: &Path) -> bool {
        let mut copies = self.stages.iter().flat_map(|stage| &stage.copies);
        copies.any(|copy| {
            copy.from.is_none() && copy.sources.iter().any(|source| file.starts_with(source))
        })
    }

    /// The variables that the image sets.
    pub fn environment(&self) -> Vec<(String, String)> {
        let last = self.stages.last().expect("a stage");
        last.environment
            .split_whitespace()
            .map(|pair| {
                let (name, value) = pair.split_once('=').expect("NAME=value");
                (name.to_owned(), value.to_owned())
            })
            .collect()
    }
}

fn copy(rest: &str) -> Copy {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let from = words[0].strip_prefix("--from=").map(str::to_owned);
    if from.is_some() {
        words.remove(0);
    }
    words.pop().expect("where to");
    Copy {
        from,
        sources: words.into_iter().map(str::to_owned).collect(),
    }
}

/// What `.dockerignore` keeps back.
pub struct Ignored(Vec<String>);

impl Ignored {
    /// Reads it.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(repository().join(".dockerignore")).unwrap();
        let lines = text.lines().map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(patterns.map(str::to_owned).collect())
    }

    /// Whether a file is kept back: the last pattern that fits it or one of its folders decides.
    pub fn has(&self, file: &Path) -> bool {
        let mut kept_back = false;
        for pattern in &self.0 {
            let (back, pattern) = match pattern.strip_prefix('!') {
                Some(pattern) => (false, pattern),
                None => (true, pattern.as_str()),
            };
            if file
                .ancestors()
                .any(|part| fits(part.to_str().unwrap(), pattern))
            {
                kept_back = back;
            }
        }
        kept_back
    }
}

/// Whether a path fits a pattern of the kinds that are used: a path, `*`, and `**/` before a name.
fn fits(path: &str, pattern: &str) -> bool {
    if path.is_empty() {
        return false;
    }
    if let Some(name) = pattern.strip_prefix("**/") {
        return fits_name(path.rsplit('/').next().unwrap(), name);
    }
    !pattern.contains("**") && path.split('/').count() == pattern.split('/').count() && {
        let mut parts = path.split('/').zip(pattern.split('/'));
        parts.all(|(part, pattern)| fits_name(part, pattern))
    }
}

/// A name with at most one `*` in its pattern.
fn fits_name(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, end)) => {
            assert!(!end.contains('*'), "{pattern}: more than is read here");
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[test]
fn patterns_are_read_as_docker_reads_them() {
    let ignored = Ignored(
        ["*", "!a", "!b/c", "**/x", "**/.*_cache"]
            .map(str::to_owned)
            .to_vec(),
    );
    let has = |path: &str| ignored.has(Path::new(path));
    assert!(has("z") && has("z/a") && has("b/d") && has("b"));
    assert!(!has("a") && !has("a/q") && !has("b/c/d"));
    assert!(has("a/x") && has("a/q/x/y") && has("a/.some_cache/y") && !has("a/xy"));
}
