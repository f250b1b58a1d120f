//! Requirements as authors write them: names with versions, extras and conditions, and nothing else. Whatever
//! could make an installer take code from elsewhere than the operator's index is refused by name.

use std::{collections::BTreeMap, path::Path};

/// The file beside the manifest.
const FILE: &str = "requirements.txt";
/// A longer file is no list of requirements.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Requirements of one plugin.
const MAX_REQUIREMENTS: usize = 256;
/// One requirement.
const MAX_LENGTH: usize = 512;
/// Signs that compare versions, the longer ones first.
const COMPARISONS: [&str; 8] = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];

/// One package that a plugin needs, as PEP 508 writes it, without an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    name: String,
}

impl Requirement {
    /// Takes a requirement such as `httpx[http2]>=0.28; python_version < "3.13"`.
    ///
    /// # Errors
    /// A sentence that says what of it is not allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let shown: String = text.chars().take(80).collect();
        if text.len() > MAX_LENGTH {
            return Err(format!("{shown:?}… is longer than {MAX_LENGTH} bytes"));
        }
        if let Some(option) = text.split_whitespace().find(|word| word.starts_with('-')) {
            let option = option.split('=').next().unwrap_or_default();
            return Err(format!(
                "{option:?} is an option of an installer; only requirements such as \"httpx>=0.28\" are taken. \
                 Which index is asked is the operator's word (PIP_INDEX_URL, UV_INDEX_URL)"
            ));
        }
        if text.starts_with('.') || text.contains(['@', '/', '\\']) || text.contains(':') {
            return Err(format!(
                "{shown:?} names a place to take a package from; only requirements such as \"httpx>=0.28\" are \
                 taken, from the operator's index"
            ));
        }
        let name = read_name(text).ok_or_else(|| {
            format!("{shown:?} is no requirement such as \"httpx>=0.28\" (PEP 508)")
        })?;
        Ok(Self {
            text: text.to_owned(),
            name: normalized(name),
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The distribution's name, as PEP 503 normalizes it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A distribution's name as all its spellings become one.
pub(crate) fn normalized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            letter => out.push(letter.to_ascii_lowercase()),
        }
    }
    out
}

/// The name of a requirement, where all of it has the right shape. What its parts mean is the installer's
/// to know.
fn read_name(text: &str) -> Option<&str> {
    let (package, condition) = match text.split_once(';') {
        Some((package, condition)) => (package.trim_end(), Some(condition.trim())),
        None => (text, None),
    };
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let end = package
        .find(|letter| !is_of_name(letter))
        .unwrap_or(package.len());
    let (name, rest) = package.split_at(end);
    let ends_well = |letter: Option<char>| letter.is_some_and(|it| it.is_ascii_alphanumeric());
    if !ends_well(name.chars().next()) || !ends_well(name.chars().last()) {
        return None;
    }
    let rest = rest.trim_start();
    let versions = match rest.strip_prefix('[') {
        None => rest,
        Some(rest) => {
            let (extras, rest) = rest.split_once(']')?;
            let mut extras = extras.split(',').map(str::trim);
            let are_names = extras.all(|extra| extra.is_empty() || extra.chars().all(is_of_name));
            are_names.then_some(rest.trim_start())?
        }
    };
    let versions = match versions.strip_prefix('(') {
        None => versions,
        Some(inside) => inside.trim_end().strip_suffix(')')?,
    };
    let is_right = versions.trim().is_empty() || versions.split(',').all(is_comparison);
    let is_condition = |text: &str| {
        let allowed = |letter: char| letter == ' ' || letter.is_ascii_graphic();
        !text.is_empty() && text.chars().all(allowed)
    };
    (is_right && condition.is_none_or(is_condition)).then_some(name)
}

fn is_comparison(clause: &str) -> bool {
    let clause = clause.trim();
    let sign = COMPARISONS.iter().find(|sign| clause.starts_with(**sign));
    let Some(sign) = sign else {
        return false;
    };
    let version = clause[sign.len()..].trim();
    let is_of_version = |letter: char| letter.is_ascii_alphanumeric() || ".*+!_-".contains(letter);
    !version.is_empty() && version.chars().all(is_of_version)
}

/// What the plugin in a directory needs: the manifest's list, and the file's. Sorted, each once.
///
/// # Errors
/// A sentence that says where something stands that is not allowed, and what.
pub fn read(dir: &Path, manifest: &[String]) -> Result<Vec<Requirement>, String> {
    let mut all = BTreeMap::new();
    let mut add = |place: &dyn Fn() -> String, text: &str| {
        let requirement =
            Requirement::parse(text).map_err(|reason| format!("{}: {reason}", place()))?;
        all.insert(requirement.text.clone(), requirement);
        if all.len() > MAX_REQUIREMENTS {
            return Err(format!(
                "there are more than {MAX_REQUIREMENTS} requirements"
            ));
        }
        Ok(())
    };
    for (at, text) in manifest.iter().enumerate() {
        add(&|| format!("requirements[{at}]"), text)?;
    }
    for (line, text) in lines(&read_file(dir)?) {
        add(&|| format!("{FILE}, line {line}"), &text)?;
    }
    Ok(all.into_values().collect())
}

fn read_file(dir: &Path) -> Result<String, String> {
    use std::io::Read as _;

    let wrong = |error: std::io::Error| format!("{FILE} cannot be read: {error}");
    let path = dir.join(FILE);
    let metadata = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        found => found.map_err(wrong)?,
    };
    let (real, root) = (path.canonicalize(), dir.canonicalize());
    if !real.map_err(wrong)?.starts_with(root.map_err(wrong)?) {
        return Err(format!("{FILE} is a link to outside the plugin"));
    }
    // Looked at before it is opened: opening a pipe would wait for somebody to write.
    if !metadata.is_file() {
        return Err(format!("{FILE} is no file"));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(wrong)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{FILE} is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}

/// The lines of a file that say something, with their numbers; a `\` at the end joins the next.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| {
            line[..*at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
        });
        let line = &line[..comment.unwrap_or(line.len())];
        let (number, mut whole) = open.take().unwrap_or_else(|| (at + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(more) => {
                whole.push_str(more);
                open = Some((number, whole));
            }
            None => {
                whole.push_str(line);
                found.push((number, whole));
            }
        }
    }
    found.extend(open);
    found.retain(|(_, line)| !line.trim().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_requirements_are_taken() {
        for (text, name) in [
            ("httpx", "httpx"),
            ("httpx>=0.28", "httpx"),
            (" Jinja_2 == 3.1.* ", "jinja-2"),
            ("a.b-c_d [x, y-1] ~= 1.0, != 1.5", "a-b-c-d"),
            ("one(>=1,<2)", "one"),
            ("one[]===1.0+local.1", "one"),
            (
                "tomli>=1; python_version < \"3.11\" and extra == 'x'",
                "tomli",
            ),
        ] {
            let parsed = Requirement::parse(text).unwrap();
            assert_eq!((parsed.name(), parsed.text()), (name, text.trim()));
        }
    }

    #[test]
    fn whatever_leads_elsewhere_is_refused_by_name() {
        for (text, named) in [
            ("--index-url=http://evil.example", "\"--index-url\""),
            ("-r other.txt", "\"-r\""),
            ("-e .", "\"-e\""),
            ("httpx --hash=sha256:00", "\"--hash\""),
            ("httpx --extra-index-url http://x", "\"--extra-index-url\""),
            ("file:///tmp/x.whl", "names a place"),
            ("file:x", "names a place"),
            ("git+https://example.com/x.git", "names a place"),
            ("x @ https://example.com/x.whl", "names a place"),
            ("x@file:x.whl", "names a place"),
            ("./x", "names a place"),
            ("..", "names a place"),
            ("sub/x.whl", "names a place"),
            ("", "no requirement"),
            ("x y", "no requirement"),
            ("x==", "no requirement"),
            ("x=1", "no requirement"),
            ("x>=1,", "no requirement"),
            ("x[a b]", "no requirement"),
            ("x[a", "no requirement"),
            ("x(>=1", "no requirement"),
            ("x;", "no requirement"),
            ("x; \u{7}", "no requirement"),
            ("x\n-r y", "\"-r\""),
            ("x\0", "no requirement"),
            ("täst", "no requirement"),
            ("_x", "no requirement"),
            ("x-", "no requirement"),
            ("$(id)", "no requirement"),
        ] {
            let refused = Requirement::parse(text).unwrap_err();
            assert!(refused.contains(named), "{text:?}: {refused}");
        }
        assert!(Requirement::parse(&"x".repeat(600)).is_err());
    }

    #[test]
    fn the_manifest_and_the_file_are_read_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let texts = |manifest: &[&str]| {
            let manifest: Vec<String> = manifest.iter().map(|text| (*text).to_owned()).collect();
            read(dir.path(), &manifest).map(|all| {
                let texts = all.iter().map(|one| one.text().to_owned());
                texts.collect::<Vec<_>>()
            })
        };
        assert_eq!(texts(&[]), Ok(vec![]));
        assert_eq!(texts(&["b", "a", "b"]), Ok(vec!["a".into(), "b".into()]));
        let text = "\u{feff}# all of it\n\nb>=1  # why\nc \\\n  ==2\r\n";
        std::fs::write(&file, text).unwrap();
        let all = vec!["a".into(), "b>=1".into(), "c   ==2".into()];
        assert_eq!(texts(&["a"]), Ok(all));
        assert!(
            texts(&["a", "-r x"])
                .unwrap_err()
                .starts_with("requirements[1]: \"-r\"")
        );
        std::fs::write(&file, "a\n\n--find-links /tmp\n").unwrap();
        assert!(
            texts(&[])
                .unwrap_err()
                .starts_with("requirements.txt, line 3: \"--find-links\"")
        );
        std::fs::write(&file, "a\n".repeat(40_000)).unwrap();
        assert!(texts(&[]).unwrap_err().contains("larger than"));
        let many: String = (0..300).map(|at| format!("a{at}\n")).collect();
        std::fs::write(&file, many).unwrap();
        assert!(texts(&[]).unwrap_err().contains("more than 256"));
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
        assert!(texts(&[]).unwrap_err().contains("link to outside"));
    }
}
