//! Plugins stored in the database: their files as rows with revisions, checks at save, what activates
//! them, packages to carry them elsewhere.
//!
//! Knows neither HTTP nor Python nor how a plugin is loaded: source is looked at through
//! [`mozaiks_plugins::source_check::SourceCheck`], what serves is told through [`Live`].

mod activation;
mod assembly;
mod catalog;
mod copies;
mod dependencies;
mod digest;
mod error;
mod files;
mod kinds;
mod live;
mod manifest_file;
mod moves;
pub mod package;
mod parts;
mod paths;
mod repository;
mod rows;
mod source;
mod tree;
mod trees;

pub use activation::Saved;
pub use catalog::{Catalog, Wanted};
pub use dependencies::DependencyView;
pub use error::CatalogError;
pub use files::{FileView, NewContent};
pub use kinds::Kind;
pub use live::{Author, Live, Told};
pub use moves::RevisionView;
pub use package::Package;
pub use parts::PartView;
pub use repository::COLLECTIONS;
pub use rows::{PluginRow, PluginView};
pub use source::SourceFile;
pub use tree::{MAX_FILE_BYTES, MAX_FILES, MAX_TREE_BYTES, Tree};
pub use trees::Trees;
