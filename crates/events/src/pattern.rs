//! Event names, and patterns in which `*` stands for any characters.

use super::EventError;

const MAX_NAME_BYTES: usize = 200;

/// Which events a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    has_star: bool,
}

impl Pattern {
    /// Reads `task:created`, `task:*` or `*`.
    ///
    /// # Errors
    /// [`EventError::BadPattern`].
    pub fn parse(text: &str) -> Result<Self, EventError> {
        if !is_plain(text) {
            return Err(EventError::BadPattern);
        }
        Ok(Self {
            text: text.into(),
            has_star: text.contains('*'),
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one event it stands for, where it has no `*`.
    pub fn exact(&self) -> Option<&str> {
        (!self.has_star).then_some(&*self.text)
    }

    /// Whether an event of that name is wanted.
    pub fn matches(&self, name: &str) -> bool {
        if !self.has_star {
            return *self.text == *name;
        }
        // The first and the last part are anchored, those between are taken leftmost: greedy
        // matching from the left is enough where `*` is the only wildcard.
        let mut parts = self.text.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// Checks the name of an event.
pub(super) fn check_name(name: &str) -> Result<(), EventError> {
    if is_plain(name) && !name.contains('*') {
        Ok(())
    } else {
        Err(EventError::BadName)
    }
}

fn is_plain(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic();
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && (text.bytes().all(visible) || !text.chars().any(|c| c.is_whitespace() || c.is_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let cases = [
            ("task:created", "task:created", true),
            ("task:created", "task:created2", false),
            ("task:*", "task:created", true),
            ("task:*", "task:", true),
            ("task:*", "tasks:created", false),
            ("*", "anything:at_all", true),
            ("*:created", "task:created", true),
            ("*:created", "task:created:again", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            ("a**z", "az", true),
        ];
        for (pattern, name, expected) in cases {
            let parsed = Pattern::parse(pattern).expect("a pattern");
            assert_eq!(parsed.matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", "a b", "a\n", "task:*", &"x".repeat(201)] {
            assert_eq!(check_name(name), Err(EventError::BadName), "{name:?}");
        }
        assert!(Pattern::parse("a b").is_err());
        assert!(check_name("aufgaben:erledigt_ä").is_ok());
    }
}
