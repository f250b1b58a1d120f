//! `files.*`: files of a plugin in an app, below the directories that it may use.

use std::sync::Arc;

use bytes::Bytes;
use mozaiks_files::{Change, ENTRY_BYTES, FilePath, FilesError, MAX_LISTED, Owner, PluginFiles};
use mozaiks_lifecycle::quotas::{Charge, Quotas};
use mozaiks_plugins::{Caller, HostError, permissions::Access};
use serde::Deserialize;
use serde_json::json;

use super::{
    Apps, Guard, HostFuture, HostPart, host_error, json::head_and_body, life_error, read_json,
    unknown, write_json,
};

/// `files.*`: files of plugins.
pub struct FilesPart {
    files: Arc<PluginFiles>,
    quotas: Arc<Quotas>,
    guard: Arc<Guard>,
    apps: Apps,
}

impl FilesPart {
    /// Over the gateway's files of plugins.
    pub fn new(
        files: Arc<PluginFiles>,
        quotas: &Arc<Quotas>,
        guard: &Arc<Guard>,
        apps: &Apps,
    ) -> Self {
        Self {
            files,
            quotas: Arc::clone(quotas),
            guard: Arc::clone(guard),
            apps: apps.clone(),
        }
    }
}

/// What is wanted of what is at a path.
#[derive(Deserialize)]
struct Wanted {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    append: bool,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl HostPart for FilesPart {
    fn prefix(&self) -> &'static str {
        "files."
    }

    /// JSON both ways, but that what is read is the file itself, and that `files.write` has the length of
    /// its JSON in four bytes before it, and the file after it.
    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let asked = Asked {
            files: Arc::clone(&self.files),
            quotas: Arc::clone(&self.quotas),
            guard: Arc::clone(&self.guard),
            app_id: match self.apps.require(&caller) {
                Ok(app_id) => app_id,
                Err(error) => return Box::pin(async move { Err(error) }),
            },
            caller,
            operation: operation.to_owned(),
        };
        Box::pin(async move { asked.answer(payload).await })
    }
}

/// One request.
struct Asked {
    files: Arc<PluginFiles>,
    quotas: Arc<Quotas>,
    guard: Arc<Guard>,
    app_id: Arc<str>,
    caller: Caller,
    operation: String,
}

impl Asked {
    async fn answer(&self, payload: Bytes) -> Result<Bytes, HostError> {
        let (wanted, content): (Wanted, Bytes) = match &*self.operation {
            "files.write" => {
                let (head, body) = head_and_body(&payload)?;
                (read_json(head)?, body)
            }
            "files.read" | "files.delete" | "files.list" | "files.stat" | "files.mkdir" => {
                (read_json(&payload)?, Bytes::new())
            }
            other => return Err(unknown(other)),
        };
        let access = match &*self.operation {
            "files.read" | "files.list" | "files.stat" => Access::Read,
            _ => Access::Write,
        };
        let path = self.permitted(&wanted.path, access)?;
        let (files, owner) = (&self.files, self.owner());
        match &*self.operation {
            "files.read" => files
                .read(&owner, path)
                .await
                .map_err(|error| self.error(error, access)),
            "files.write" => {
                // Before room is taken for it.
                if content.len() as u64 > files.max_file_bytes() {
                    return Err(self.error(
                        FilesError::TooLarge {
                            path: wanted.path,
                            bytes: content.len() as u64,
                            limit: files.max_file_bytes(),
                        },
                        access,
                    ));
                }
                let charge = self.charge(content.len() as u64).await?;
                let written = match wanted.append {
                    true => files.append(&owner, path, content).await,
                    false => files.write(&owner, path, content).await,
                };
                self.settled(charge, written)?;
                write_json(&true)
            }
            "files.mkdir" => {
                let charge = self.charge(0).await?;
                let made = files.make_directory(&owner, path).await;
                let made = self.settled(charge, made)?;
                write_json(&!made.existed)
            }
            "files.delete" => {
                let deleted = files.delete(&owner, path, wanted.recursive).await;
                let deleted = deleted.map_err(|error| self.error(error, access))?;
                self.quotas
                    .free(&self.caller.plugin, &self.app_id, deleted.freed);
                write_json(&deleted.existed)
            }
            "files.list" => {
                let limit = wanted.limit.unwrap_or(MAX_LISTED);
                let page = files.list(&owner, path, limit, wanted.cursor).await;
                write_json(&page.map_err(|error| self.error(error, access))?)
            }
            "files.stat" => {
                let stat = files.stat(&owner, path).await;
                write_json(&stat.map_err(|error| self.error(error, access))?)
            }
            other => Err(unknown(other)),
        }
    }

    fn owner(&self) -> Owner {
        Owner {
            plugin: Arc::clone(&self.caller.plugin),
            app_id: Arc::clone(&self.app_id),
        }
    }

    fn permitted(&self, text: &str, access: Access) -> Result<FilePath, HostError> {
        let path = FilePath::parse(text).map_err(|error| self.error(error, access))?;
        let permissions = self.guard.permissions(&self.caller);
        if permissions.may_use_path(path.as_str(), access) {
            return Ok(path);
        }
        Err(self.denied(path.as_str(), access))
    }

    fn denied(&self, path: &str, access: Access) -> HostError {
        let permission = match access {
            Access::Read => format!("filesystem:{path}:ro"),
            Access::Write => format!("filesystem:{path}"),
        };
        self.guard.deny(&self.caller, &self.operation, permission)
    }

    async fn charge(&self, bytes: u64) -> Result<Charge, HostError> {
        let (plugin, app_id) = (&self.caller.plugin, &self.app_id);
        let charged = self.quotas.charge(plugin, app_id, bytes + ENTRY_BYTES);
        charged.await.map_err(life_error)
    }

    /// What was written has freed what it has replaced; what was not frees all that was taken for it.
    fn settled(
        &self,
        charge: Charge,
        done: Result<Change, FilesError>,
    ) -> Result<Change, HostError> {
        match done {
            Ok(change) => {
                charge.freed(change.freed);
                Ok(change)
            }
            Err(error) => {
                charge.give_back();
                Err(self.error(error, Access::Write))
            }
        }
    }

    fn error(&self, error: FilesError, access: Access) -> HostError {
        let message = error.to_string();
        match error {
            FilesError::Outside(path) => self.denied(&path, access),
            FilesError::Invalid(_) => host_error("VALIDATION_ERROR", message),
            FilesError::TooLarge { limit, .. } => HostError {
                code: "VALIDATION_ERROR",
                message,
                details: Some(json!({ "limit_bytes": limit }).to_string().into()),
            },
            FilesError::NotFound(_) => host_error("NOT_FOUND", message),
            FilesError::Conflict(_) => host_error("CONFLICT", message),
            FilesError::TooMuch => host_error("LIMIT_EXCEEDED", message),
            FilesError::Full => host_error("STORAGE_FULL", message),
            FilesError::Io(_) => {
                // It names files of the gateway's.
                tracing::warn!(
                    plugin.name = &*self.caller.plugin,
                    error = message,
                    "a plugin's files were not read or written"
                );
                host_error("INTERNAL_ERROR", "the files were not read or written")
            }
        }
    }
}
