//! Which paths a file of a stored plugin may have. They are laid down on disks of any kind, so what some
//! file system would read as another path is no path here.

/// Bytes of a path.
const MAX_PATH: usize = 255;
/// Folders in folders.
const MAX_DEPTH: usize = 8;
/// Endings of what an interpreter or a system would run as machine code or bytecode.
const COMPILED: [&str; 8] = [
    ".so", ".pyd", ".pyc", ".pyo", ".dll", ".dylib", ".exe", ".pth",
];
/// Names of devices, whatever their ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com1", "lpt1"];

/// Why a path cannot be a file's; `None` where it can.
pub(crate) fn refusal(path: &str) -> Option<String> {
    if path.is_empty() || path.len() > MAX_PATH {
        return Some(format!("a path has 1 to {MAX_PATH} bytes"));
    }
    if path.split('/').count() > MAX_DEPTH {
        return Some(format!("a path has at most {MAX_DEPTH} parts"));
    }
    path.split('/').find_map(part_refusal)
}

fn part_refusal(part: &str) -> Option<String> {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || " ._-@+()".contains(letter);
    let lower = part.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let reason = if part.is_empty() {
        "a path is relative, without empty parts"
    } else if part.bytes().all(|byte| byte == b'.') {
        "a path has no `.` or `..`"
    } else if !part.chars().all(is_known) {
        "a path has letters of ASCII, digits and ` ._-@+()`"
    } else if part.starts_with(['.', ' ']) || part.ends_with(['.', ' ']) {
        "no part of a path starts or ends with a dot or a space"
    } else if ["__pycache__", "node_modules"].contains(&&*lower) {
        "this folder is nobody's source"
    } else if DEVICES.contains(&stem) {
        "this is the name of a device"
    } else if COMPILED.iter().any(|ending| lower.ends_with(ending)) {
        "compiled code is not stored"
    } else {
        return None;
    };
    Some(format!("{part:?}: {reason}"))
}

/// What two paths have in common that some file system takes for one.
pub(crate) fn key(path: &str) -> String {
    path.to_ascii_lowercase()
}

/// A path's last part.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path's last part without its ending.
pub(crate) fn stem(path: &str) -> &str {
    let name = name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Of these paths two that are one to some file system, or of which one is a folder of the other.
pub(crate) fn clash<'a>(paths: impl Iterator<Item = &'a str>) -> Option<(String, String)> {
    let mut keyed: Vec<(String, &str)> = paths.map(|path| (key(path) + "/", path)).collect();
    keyed.sort();
    keyed.windows(2).find_map(|pair| match pair {
        [(one, first), (other, second)] if other.starts_with(one.as_str()) => {
            Some(((*first).to_owned(), (*second).to_owned()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tricks_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x.py",
            "a/../b.py",
            "a//b.py",
            "a/",
            "./a.py",
            "a/..../b",
            "C:\\x.py",
            "a\\b.py",
            "logic.py.",
            "logic.py ",
            " logic.py",
            ".env",
            "a/.git/config",
            "__pycache__/logic.cpython-312.pyc",
            "__PyCache__/x.py",
            "native.so",
            "native.SO",
            "x.abi3.so",
            "x.pth",
            "lögic.py",
            "logic\u{200b}.py",
            "lo\u{ff0e}gic.py",
            "a\0b",
            "a\nb",
            "NUL",
            "con.py",
            "1/2/3/4/5/6/7/8/9",
            &"a".repeat(256),
        ] {
            assert!(refusal(path).is_some(), "{path:?}");
        }
        for path in [
            "logic.py",
            "__init__.py",
            "controllers/trackVisit.py",
            "static/img/logo@2x (1).png",
            "README.md",
        ] {
            assert_eq!(refusal(path), None, "{path:?}");
        }
    }

    #[test]
    fn paths_that_some_file_system_takes_for_one_clash() {
        let clashes = |paths: &[&str]| clash(paths.iter().copied()).is_some();
        assert!(clashes(&["a.py", "A.py"]));
        assert!(clashes(&["a", "b", "A/b.py"]));
        assert!(clashes(&["a", "a-b", "a/b"]));
        assert!(!clashes(&["a", "a-b", "ab/c", "b/a"]));
    }
}
