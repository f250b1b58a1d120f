//! What can be said of Python source without running it.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Problem {
    /// Its path below the plugin's directory.
    pub file: String,
    /// Where, from 1; none where it is about the whole.
    pub line: Option<u32>,
    /// What, in a sentence.
    pub message: String,
}

/// What was found, or why nothing could be said.
pub type Checked<'a> = Pin<Box<dyn Future<Output = Result<Vec<Problem>, String>> + Send + 'a>>;

/// Looks at source: syntax, imports, names. Runs nothing of it.
pub trait SourceCheck: Send + Sync + 'static {
    /// What is wrong with these files, of which the Python ones are looked at; `packages` are those that the
    /// plugin may import beside the standard library and its own modules.
    fn check<'a>(&'a self, files: Vec<(String, Bytes)>, packages: Vec<String>) -> Checked<'a>;
}
