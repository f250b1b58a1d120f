//! Plugins carried elsewhere and brought back: export, import, templates and copies. What comes in is
//! checked whole before anything is written, and switched off.

use serde_json::{Map, Value, json};

use crate::{
    activation::Saved,
    assembly::Pieces,
    catalog::{Catalog, check_manifest, check_name, may_write},
    error::CatalogError,
    kinds::Kind,
    live::Author,
    manifest_file,
    package::{self, Package},
    repository::{NewPlugin, Repository, Whose},
    rows::{PluginRow, PluginView},
    tree::Tree,
};

/// Numbers that are tried behind a name that is taken.
const MAX_TRIES: usize = 100;

impl Catalog {
    /// A plugin as one document.
    ///
    /// # Errors
    /// Where there is none that the caller may read.
    pub async fn export(&self, by: &Author, id: &str) -> Result<Package, CatalogError> {
        let plugin = self.readable(by, id).await?;
        let (pieces, _) = self.pieces(&plugin).await?;
        Package::of(&pieces, &plugin.name, plugin.category.as_deref())
    }

    /// A new plugin of a package, switched off; with a number behind its name where that is taken.
    ///
    /// # Errors
    /// Whatever is wrong with any part of it; then nothing is left of it.
    pub async fn import(
        &self,
        by: &Author,
        package: Map<String, Value>,
    ) -> Result<(PluginView, Vec<String>), CatalogError> {
        may_write(by)?;
        let unpacked = package::read(package)?;
        let category = unpacked.category.as_deref();
        let view = self
            .add(by, &unpacked.slug, unpacked.pieces, category, None)
            .await?;
        let note = json!({ "id": view.id });
        self.note(by, &view.name, "import", Value::Null, note).await;
        Ok((view, unpacked.warnings))
    }

    /// The plugins of the app that may be copied.
    ///
    /// # Errors
    /// What the database says.
    pub async fn templates(&self, by: &Author) -> Result<Vec<PluginView>, CatalogError> {
        may_write(by)?;
        let rows = self
            .repository
            .plugins(&by.app_id, None, Some(true))
            .await?;
        Ok(rows.iter().map(PluginRow::view).collect())
    }

    /// A copy of a plugin, which is the caller's own.
    ///
    /// # Errors
    /// Where there is none that the caller may read.
    pub async fn copy(
        &self,
        by: &Author,
        id: &str,
        name: Option<&str>,
        only_templates: bool,
    ) -> Result<PluginView, CatalogError> {
        let from = self.readable(by, id).await?;
        if only_templates && !from.is_template {
            return Err(CatalogError::NoPlugin);
        }
        let (pieces, _) = self.pieces(&from).await?;
        let category = from.category.as_deref();
        let view = self
            .add(
                by,
                name.unwrap_or(&from.name),
                pieces,
                category,
                Some(&from.id),
            )
            .await?;
        let (before, after) = (json!({ "of": from.name }), json!({ "id": view.id }));
        self.note(by, &view.name, "clone", before, after).await;
        Ok(view)
    }

    /// Writes a plugin of pieces: its files, which nobody finds yet, and then its row.
    async fn add(
        &self,
        by: &Author,
        slug: &str,
        pieces: Pieces,
        category: Option<&str>,
        template_of: Option<&str>,
    ) -> Result<PluginView, CatalogError> {
        check_name(slug)?;
        let (name, number) = self.free_name(slug).await?;
        let pieces = self.named(by, pieces, &name, number).await?;
        drop(pieces.tree()?);
        check_manifest(&pieces.manifest, &name)?;
        let id = Repository::new_id();
        let whose = Whose {
            app_id: &by.app_id,
            plugin_id: &id,
        };
        let new = NewPlugin {
            name: &name,
            app_id: &by.app_id,
            creator_id: &by.user_id,
            manifest: &pieces.manifest,
            category,
            template_of,
        };
        let written = async {
            for file in &pieces.files {
                self.repository
                    .insert_file(whose, file, 1, &by.user_id)
                    .await?;
            }
            self.insert(&id, &new).await
        };
        if let Err(error) = written.await {
            // All or nothing; what cannot be taken away is found by nobody.
            if let Err(error) = self.repository.delete_all_of(whose).await {
                tracing::warn!(%error, "plugins.import_left");
            }
            return Err(if error.is_duplicate() {
                CatalogError::conflict("something of it is there already", None)
            } else {
                error
            });
        }
        self.get(by, &id).await
    }

    /// A name that no plugin has: the one that is wished for, or that with a number.
    async fn free_name(&self, slug: &str) -> Result<(String, Option<usize>), CatalogError> {
        for number in 1..=MAX_TRIES {
            let tail = if number == 1 {
                String::new()
            } else {
                format!("-{number}")
            };
            let head = &slug[..slug.len().min(64 - tail.len())];
            let name = format!("{head}{tail}");
            if !self.repository.is_taken(&name).await? {
                return Ok((name, Some(number).filter(|number| *number > 1)));
            }
        }
        Err(CatalogError::conflict(
            format!("there are too many plugins named {slug}"),
            None,
        ))
    }

    /// The pieces under another name: what must be unique in the app gets the number too.
    async fn named(
        &self,
        by: &Author,
        mut pieces: Pieces,
        name: &str,
        number: Option<usize>,
    ) -> Result<Pieces, CatalogError> {
        let mut manifest = manifest_file::parse(&pieces.manifest)?;
        if manifest.get("name").is_some_and(|given| given != name) {
            manifest.insert("name".into(), name.into());
            pieces.manifest = manifest_file::canonical(&manifest);
        }
        for file in &mut pieces.files {
            let widget = match file.meta.get("widget_id") {
                Some(Value::String(widget)) if file.kind == Kind::Widgets => widget.clone(),
                _ => continue,
            };
            if self.repository.has_widget(&by.app_id, &widget).await? {
                let widget = format!("{widget}-{}", number.unwrap_or(2));
                file.meta.insert("widget_id".into(), widget.into());
            }
        }
        Ok(pieces)
    }

    /// Makes a plugin what a tree is: files that differ are saved, those that are not in it go. One that
    /// is not there is made.
    ///
    /// # Errors
    /// Whatever is wrong with the tree, before anything is written; `Conflict` where the plugin is not
    /// what `digest` says, which is what the caller has pulled.
    pub async fn push(
        &self,
        by: &Author,
        name: &str,
        tree: Tree,
        digest: Option<&str>,
    ) -> Result<(PluginView, Saved, usize), CatalogError> {
        may_write(by)?;
        let wanted = Pieces::of(&tree)?;
        check_manifest(&wanted.manifest, name)?;
        if self.repository.plugin(&by.app_id, name).await?.is_none() {
            self.create(by, name, Map::new(), None).await?;
        }
        let plugin = self.writable(by, name).await?;
        let _turn = self.turn(&plugin).await;
        let (now, rows) = self.pieces(&plugin).await?;
        let there = now.tree()?.digest();
        if digest.is_some_and(|digest| digest != there) {
            let details = json!({ "digest": there, "yours": digest });
            let message = format!("{name} was changed since it was pulled");
            return Err(CatalogError::conflict(message, Some(details)));
        }
        let mut changed = 0;
        for row in &rows {
            if wanted.files.iter().all(|file| file.path != row.file.path) {
                self.drop_row(by, &plugin, row).await?;
                changed += 1;
            }
        }
        for mut file in wanted.files {
            let before = rows.iter().find(|row| row.file.path == file.path);
            if let Some(before) = before
                && !file.kind.has_section()
            {
                // What a tree does not say stays.
                file.meta = before.file.meta.clone();
            }
            if before.is_none_or(|row| row.file != file) {
                self.write(by, &plugin, before, &file).await?;
                changed += 1;
            }
        }
        if wanted.manifest != now.manifest()? {
            changed += 1;
            let replaced = self.repository.replace_manifest(&plugin, &wanted.manifest);
            if !replaced.await? {
                return Err(crate::catalog::stale_manifest(&plugin, Value::Null));
            }
        }
        let (before, after) = (
            json!({ "digest": there }),
            json!({ "digest": tree.digest() }),
        );
        self.note(by, &plugin.name, "push", before, after).await;
        let saved = self.settle(by, &plugin).await?;
        Ok((self.get(by, &plugin.id).await?, saved, changed))
    }
}
