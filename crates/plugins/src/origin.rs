//! Where a plugin's code comes from, by which its defaults of trust differ; nothing else does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    manifest::{Manifest, PluginKind},
    permissions::Scope,
};

/// Where plugins come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A directory of the operator's own.
    Directory,
    /// A package file.
    Package,
    /// A checkout.
    Git,
    /// Rows in the database.
    Database,
    /// Written by a machine.
    Generated,
    /// Shipped with the gateway.
    Builtin,
}

impl Origin {
    /// Where the plugin of a manifest comes from.
    pub fn of(manifest: &Manifest) -> Self {
        match (manifest.origin, manifest.kind) {
            (Self::Directory, PluginKind::Static) => Self::Builtin,
            (origin, _) => origin,
        }
    }

    /// Whether the operator has put it there with his own hands.
    pub fn is_operators(self) -> bool {
        match self {
            Self::Directory | Self::Builtin => true,
            Self::Package | Self::Git | Self::Database | Self::Generated => false,
        }
    }

    /// Whose documents its collections give it, where its manifest does not say.
    pub fn default_scope(self) -> Scope {
        match self {
            Self::Database | Self::Generated => Scope::User,
            Self::Directory | Self::Builtin | Self::Package | Self::Git => Scope::App,
        }
    }
}
