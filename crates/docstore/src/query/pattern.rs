//! Regular expressions with PCRE's meaning on top of the `regex` crate, and `fancy-regex` with a
//! backtrack limit where a pattern needs look-around or back-references.

use bson::{Bson, Regex as BsonRegex};

use crate::error::{CommandError, Result};

/// Steps that a backtracking match may take before it is given up with an error.
const BACKTRACK_LIMIT: usize = 1_000_000;

const INVALID_PATTERN: i32 = 51091;
const INVALID_OPTION: i32 = 51108;
const MATCH_FAILED: i32 = 51156;

#[derive(Debug, Clone)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// A compiled pattern with the text it came from.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: String,
    options: String,
    engine: Engine,
}

impl Pattern {
    /// Compiles a pattern with options out of `imsxu`.
    pub(crate) fn new(source: &str, options: &str) -> Result<Self> {
        if let Some(flag) = options.chars().find(|flag| !"imsxu".contains(*flag)) {
            return Err(CommandError::location(
                INVALID_OPTION,
                format!("invalid flag in regex options: {flag}"),
            ));
        }
        let has = |flag| options.contains(flag);
        let translated = translate(source, has('m'), has('x'), has('u'));
        let linear = regex::RegexBuilder::new(&translated)
            .case_insensitive(has('i'))
            .multi_line(has('m'))
            .dot_matches_new_line(has('s'))
            .ignore_whitespace(has('x'))
            .build();
        let engine = match linear {
            Ok(regex) => Engine::Linear(regex),
            Err(_) => {
                let built = fancy_regex::RegexBuilder::new(source)
                    .case_insensitive(has('i'))
                    .multi_line(has('m'))
                    .dot_matches_new_line(has('s'))
                    .ignore_whitespace(has('x'))
                    .backtrack_limit(BACKTRACK_LIMIT)
                    .build();
                let regex = built.map_err(|error| {
                    CommandError::location(
                        INVALID_PATTERN,
                        format!("Regular expression is invalid: {error}"),
                    )
                })?;
                Engine::Backtracking(Box::new(regex))
            }
        };
        let mut options: Vec<char> = options.chars().collect();
        options.sort_unstable();
        options.dedup();
        Ok(Self {
            source: source.to_owned(),
            options: options.into_iter().collect(),
            engine,
        })
    }

    /// Compiles a BSON regex.
    pub(crate) fn of(regex: &BsonRegex) -> Result<Self> {
        Self::new(regex.pattern.as_str(), regex.options.as_str())
    }

    /// Whether a value matches: strings by content, a stored regex by being the same one.
    pub(crate) fn matches(&self, value: &Bson) -> Result<bool> {
        match value {
            Bson::String(text) | Bson::Symbol(text) => self.is_match(text),
            Bson::RegularExpression(other) => {
                Ok(other.pattern.as_str() == self.source && other.options.as_str() == self.options)
            }
            _ => Ok(false),
        }
    }

    /// Whether the pattern is found in `text`; fails where the backtrack limit is reached.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(|error| {
                CommandError::location(
                    MATCH_FAILED,
                    format!(
                        "Error occurred while executing the regular expression '{}': {error}",
                        self.source
                    ),
                )
            }),
        }
    }
}

/// Rewrites what PCRE and the `regex` crate read differently: `$` before a final newline, ASCII
/// classes, literal braces, and set operators inside brackets.
fn translate(source: &str, multi_line: bool, extended: bool, unicode: bool) -> String {
    let mut out = String::with_capacity(source.len() + 8);
    let mut rest = source.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    while let Some(c) = rest.next() {
        let first_in_class = std::mem::take(&mut class_start);
        match c {
            '\\' => match rest.next() {
                Some(escaped) => push_escape(escaped, in_class, unicode, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            '[' if rest.peek() == Some(&':') => {
                // A POSIX class is copied to its end.
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if in_class && first_in_class => out.push_str("\\]"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' | '&' | '~' | '#' if in_class => {
                out.push('\\');
                out.push(c);
            }
            ' ' | '\t' | '\n' if in_class && extended => {
                out.push_str(&format!("\\x{{{:x}}}", c as u32));
            }
            '-' if in_class && rest.peek() == Some(&'-') => out.push_str("\\-"),
            '#' if extended => {
                for c in rest.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            '$' if !in_class && !multi_line => out.push_str("(?:\\n?\\z)"),
            '{' if !in_class && !is_quantifier(rest.clone()) => out.push_str("\\{"),
            _ => out.push(c),
        }
    }
    out
}

fn push_escape(escaped: char, in_class: bool, unicode: bool, out: &mut String) {
    match escaped {
        'd' if !unicode => out.push_str("[0-9]"),
        'D' if !unicode => out.push_str("[^0-9]"),
        'w' if !unicode => out.push_str("[0-9A-Za-z_]"),
        'W' if !unicode => out.push_str("[^0-9A-Za-z_]"),
        's' if !unicode => out.push_str("[\\t\\n\\v\\f\\r\\x20]"),
        'S' if !unicode => out.push_str("[^\\t\\n\\v\\f\\r\\x20]"),
        'b' if in_class => out.push_str("\\x08"),
        'b' if !unicode => out.push_str("(?-u:\\b)"),
        'Z' if !in_class => out.push_str("(?:\\n?\\z)"),
        'e' => out.push_str("\\x1b"),
        'h' => out.push_str("[\\t\\x20]"),
        '<' | '>' => out.push(escaped),
        _ => {
            out.push('\\');
            out.push(escaped);
        }
    }
}

/// Whether `{n}`, `{n,}` or `{n,m}` goes on here.
fn is_quantifier(rest: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let inside: String = rest.take_while(|c| *c != '}').take(16).collect();
    let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}
