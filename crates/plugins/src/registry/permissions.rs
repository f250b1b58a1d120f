//! What plugins want to do beyond their own, and what their own is.

use std::{ops::Bound, sync::Arc};

use super::Registry;
use crate::{
    manifest::Manifest,
    origin::Origin,
    permissions::{ConsentPolicy, Permissions},
};

impl Registry {
    /// What a plugin of this manifest wants to do beyond its own.
    pub fn wanted(&self, manifest: &Manifest) -> Permissions {
        let origin = Origin::of(manifest);
        Permissions::wanted(manifest.permissions.as_ref(), origin, self.consent_policy())
    }

    /// Whose permissions an admin must have granted.
    pub fn consent_policy(&self) -> ConsentPolicy {
        ConsentPolicy {
            for_directories: self.config.permissions_consent,
        }
    }

    /// Whether a collection is a plugin's own: its name begins with the plugin's and `_`, and with that
    /// of no plugin whose name is longer.
    pub fn owns_collection(&self, plugin: &str, collection: &str) -> bool {
        let rest = collection
            .strip_prefix(plugin)
            .and_then(|rest| rest.strip_prefix('_'));
        let Some(rest) = rest else {
            return false;
        };
        let plugins = self.plugins.read();
        let begin = plugin.len() + 1;
        !rest
            .match_indices('_')
            .any(|(at, _)| plugins.contains_key(&collection[..begin + at]))
    }

    /// The names of plugins that begin with this one's and `_`: what is theirs is not its own.
    pub fn longer_names(&self, plugin: &str) -> Vec<Arc<str>> {
        let prefix = format!("{plugin}_");
        let plugins = self.plugins.read();
        let from = plugins.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        from.map(|(name, _)| name)
            .take_while(|name| name.starts_with(&prefix))
            .cloned()
            .collect()
    }
}
