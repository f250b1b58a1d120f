//! Paths as plugins write them, and the names of apps as directories.

use super::FilesError;

/// Bytes of a path, and of one part of it.
const MAX_PATH_BYTES: usize = 1024;
const MAX_PART_BYTES: usize = 255;
/// Directories in each other.
const MAX_DEPTH: usize = 32;
/// Bytes of an app's id that can be written out as a directory's name.
const MAX_PLAIN_BYTES: usize = 100;

/// A path below a plugin's directory, without `..` and never absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(String);

impl FilePath {
    /// Reads a path; an empty one and `.` are the whole directory.
    ///
    /// # Errors
    /// [`FilesError::Outside`] for what leads out, [`FilesError::Invalid`] for what is no path.
    pub fn parse(text: &str) -> Result<Self, FilesError> {
        if text.len() > MAX_PATH_BYTES {
            let what = format!("a path has at most {MAX_PATH_BYTES} bytes");
            return Err(FilesError::Invalid(what));
        }
        if text.contains(char::is_control) {
            let what = "a path holds no control characters";
            return Err(FilesError::Invalid(what.into()));
        }
        if matches!(text, "" | "." | "./") {
            return Ok(Self(".".into()));
        }
        if text.starts_with('/') || text.contains('\\') || text.split('/').any(|part| part == "..")
        {
            return Err(FilesError::Outside(text.to_owned()));
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        let parts = || text.split('/');
        if parts().any(|part| part.is_empty() || part == "." || part.len() > MAX_PART_BYTES)
            || parts().count() > MAX_DEPTH
        {
            return Err(FilesError::Invalid(format!("{text:?} is no path")));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the whole directory.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "."
    }

    /// The directory that it is in, and its name there.
    ///
    /// # Errors
    /// [`FilesError::Invalid`] for the whole directory.
    pub(crate) fn split(&self) -> Result<(&str, &str), FilesError> {
        if self.is_root() {
            let what = "this is the plugin's directory itself";
            return Err(FilesError::Invalid(what.into()));
        }
        Ok(self.0.rsplit_once('/').unwrap_or((".", &self.0)))
    }

    /// Something in it.
    pub(crate) fn child(&self, name: &str) -> String {
        if self.is_root() {
            return name.to_owned();
        }
        format!("{}/{name}", self.0)
    }
}

/// An app's id as the name of a directory: no two have one, also where a file system does not tell cases
/// apart, and none is `.` or `..`. What is not plain is written in hexadecimal digits, the longest ones
/// over several levels.
pub(crate) fn directory_of_app(app_id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !app_id.is_empty() && app_id.len() <= MAX_PLAIN_BYTES && app_id.bytes().all(is_plain) {
        return format!("app_{app_id}");
    }
    let mut name = String::from("hex_");
    for (at, byte) in app_id.bytes().enumerate() {
        // `+` says that the name goes on one level below: what ends is never the beginning of another.
        if at > 0 && at % MAX_PLAIN_BYTES == 0 {
            name.push_str("+/");
        }
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_leads_out_is_told_from_what_is_no_path() {
        for text in ["/etc/passwd", "..", "a/../b", "a/..", "../a", "a\\b", "/"] {
            let error = FilePath::parse(text).unwrap_err();
            assert!(matches!(error, FilesError::Outside(_)), "{text}: {error:?}");
        }
        let deep = "a/".repeat(40);
        let long = "a".repeat(256);
        for text in ["a//b", "a/./b", "./a", "a\0b", "a\nb", &deep, &long] {
            let error = FilePath::parse(text).unwrap_err();
            assert!(matches!(error, FilesError::Invalid(_)), "{text}: {error:?}");
        }
        for (text, path) in [
            ("", "."),
            (".", "."),
            ("a/", "a"),
            ("a/b.c", "a/b.c"),
            ("...", "..."),
        ] {
            assert_eq!(FilePath::parse(text).expect(text).as_str(), path);
        }
    }

    #[test]
    fn no_two_apps_have_one_directory() {
        let long = "x".repeat(250);
        let ids = [
            "a",
            "A",
            "default",
            "../b",
            "",
            ".",
            "..",
            "a/b",
            "61",
            "hex_61",
            "ä",
            &long,
            &long[1..],
        ];
        let names: HashSet<String> = ids.iter().map(|id| directory_of_app(id)).collect();
        assert_eq!(names.len(), ids.len());
        for name in &names {
            assert!(name.split('/').all(|part| part.len() <= 255), "{name}");
            assert!(!name.contains(".."), "{name}");
        }
        // Nor is one within another's files: those are in a directory of their own below.
        assert_eq!(directory_of_app("default"), "app_default");
    }
}
