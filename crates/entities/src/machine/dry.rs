//! What a migration would do, without doing it.

use std::sync::{Arc, atomic::AtomicBool};

use bson::{Bson, Document};

use super::{CommandReport, Machine, RunReport, plan::Plan};
use crate::{
    error::EntityError,
    extended::document_to_json,
    repository::Place,
    rows::{MigrationRow, MigrationView},
    subject::Subject,
};

impl Machine {
    /// Tells what a plan would do. Python's code is run, against a database that only reads.
    pub(super) async fn dry_run(
        &self,
        subject: &Subject,
        plan: &Plan,
        place: &Place,
        row: Option<&MigrationRow>,
    ) -> Result<RunReport, EntityError> {
        let noted;
        let commands = if plan.is_python() {
            if let Err(why) = &subject.generation {
                return Err(EntityError::Unavailable(why.clone()));
            }
            let held = Arc::new(AtomicBool::new(true));
            let running = self.repository.running_of(place, &held, true)?;
            self.call_python(subject, plan, &running).await?;
            noted = running.noted();
            &noted[..]
        } else {
            &plan.commands()[plan.position..]
        };
        let mut reports = Vec::with_capacity(commands.len());
        for command in commands {
            let name = command
                .keys()
                .next()
                .map(String::as_str)
                .unwrap_or_default();
            let collection = command.get_str(name).unwrap_or_default().to_owned();
            reports.push(CommandReport {
                command: document_to_json(command),
                documents: self.documents(&subject.owner.app_id, name, command).await?,
                collection,
            });
        }
        let migration = MigrationView::of(Some(&plan.migration), row)
            .ok_or_else(|| super::none(&plan.migration.version))?;
        Ok(RunReport {
            migration,
            dry_run: true,
            direction: plan.direction.as_str(),
            commands: reports,
        })
    }

    /// How many documents a command is about, as they are now.
    async fn documents(
        &self,
        app_id: &str,
        name: &str,
        command: &Document,
    ) -> Result<Option<u64>, EntityError> {
        let (list, filter) = match name {
            "insert" => {
                let documents = command.get_array("documents").map_or(0, Vec::len);
                return Ok(Some(documents as u64));
            }
            "create" | "dropIndexes" => return Ok(Some(0)),
            "drop" | "renameCollection" | "createIndexes" | "collMod" => {
                let collection = command.get_str(name).unwrap_or_default();
                let all = self
                    .repository
                    .count(app_id, collection, Document::new())
                    .await;
                return all.map(Some);
            }
            "update" => ("updates", "q"),
            "delete" => ("deletes", "q"),
            _ => return Ok(None),
        };
        let collection = command.get_str(name).unwrap_or_default();
        let mut sum = 0;
        let statements = command.get_array(list).into_iter().flatten();
        for statement in statements.filter_map(Bson::as_document) {
            let filter = statement.get_document(filter).cloned().unwrap_or_default();
            let found = self.repository.count(app_id, collection, filter).await?;
            let takes_one = statement.get_bool("multi").is_ok_and(|multi| !multi)
                || matches!(
                    statement.get("limit"),
                    Some(Bson::Int32(1) | Bson::Int64(1))
                )
                || (list == "updates" && !statement.contains_key("multi"));
            sum += if takes_one { found.min(1) } else { found };
        }
        Ok(Some(sum))
    }
}
