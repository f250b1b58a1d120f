//! What the catalogue needs of the rest of the gateway.

use std::{future::Future, pin::Pin, sync::Arc};

use serde_json::Value;

use crate::error::CatalogError;

/// Who acts.
#[derive(Debug, Clone)]
pub struct Author {
    /// The app; what is of another is not there.
    pub app_id: Arc<str>,
    /// The user.
    pub user_id: Arc<str>,
    /// Whether this is an admin of the app.
    pub is_admin: bool,
    /// Whether this one may write plugins at all.
    pub may_write: bool,
    /// The request.
    pub request_id: Arc<str>,
}

/// What is told, once it was done.
pub type Told<'a> = Pin<Box<dyn Future<Output = Result<(), CatalogError>> + Send + 'a>>;

/// Takes stored plugins through their life, and writes down who did what.
pub trait Live: Send + Sync + 'static {
    /// A revision serves from here on; `switch_on` says that an admin wants it to.
    fn serve<'a>(
        &'a self,
        plugin: &'a str,
        digest: &'a str,
        switch_on: bool,
        by: &'a Author,
    ) -> Told<'a>;

    /// A plugin is switched off.
    fn switch_off<'a>(&'a self, plugin: &'a str, by: &'a Author) -> Told<'a>;

    /// A plugin is unloaded; its rows go after that.
    fn forget<'a>(&'a self, plugin: &'a str, by: &'a Author) -> Told<'a>;

    /// Writes down what was done.
    fn note<'a>(
        &'a self,
        by: &'a Author,
        plugin: &'a str,
        action: &'a str,
        before: Value,
        after: Value,
    ) -> Told<'a>;
}
