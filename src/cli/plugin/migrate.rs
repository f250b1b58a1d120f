//! `mozaiks plugin migrate list|run|rollback|status`: the migrations of plugins of a running gateway.

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::{
    Failure, print,
    remote::{Remote, RemoteArgs, printable, segment},
};

#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Print migrations, of one plugin or of all: version, how far it is, name.
    List {
        /// The plugin.
        plugin: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Run a migration by its file, or all of a plugin that were not run yet, in the order of their versions.
    Run {
        /// A file such as 20250129_143000_create_cart.json, with or without its path, or a plugin.
        #[arg(value_name = "FILE|PLUGIN")]
        what: String,
        /// Print what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Run it also where it was run already, or has changed since.
        #[arg(long)]
        force: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Undo a migration.
    Rollback {
        /// The plugin.
        plugin: String,
        /// Such as 20250129_143000.
        version: String,
        /// Print what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Undo what there is of one that failed.
        #[arg(long)]
        force: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Print for each plugin how many migrations are done and how many are not, and entities that are not.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Lists, runs or undoes migrations.
pub(super) fn run(args: &MigrateArgs) -> Result<(), Failure> {
    match &args.command {
        MigrateCommand::List {
            plugin,
            json,
            remote,
        } => {
            let remote = remote.connect()?;
            let plugins = match plugin {
                Some(plugin) => vec![plugin.clone()],
                None => all_plugins(&remote)?,
            };
            let mut lists = Vec::new();
            for plugin in plugins {
                lists.push((migrations(&remote, &plugin)?, plugin));
            }
            list(&lists, *json)
        }
        MigrateCommand::Run {
            what,
            dry_run,
            force,
            json,
            remote,
        } => {
            let remote = remote.connect()?;
            let options = json!({ "dry_run": dry_run, "force": force });
            let mut ends = Vec::new();
            for (plugin, version) in meant(&remote, what, *force)? {
                let path = format!("{}/{}/run", path(&plugin), segment(&version));
                ends.push(remote.post(&path, &options)?);
                if ends.last().is_some_and(has_failed) {
                    break;
                }
            }
            if ends.is_empty() {
                eprintln!("{}: nothing is left to run", printable(what));
            }
            tell(&ends, *json)
        }
        MigrateCommand::Rollback {
            plugin,
            version,
            dry_run,
            force,
            json,
            remote,
        } => {
            let path = format!("{}/{}/rollback", path(plugin), segment(version));
            let options = json!({ "dry_run": dry_run, "force": force });
            let end = remote.connect()?.post(&path, &options)?;
            tell(&[end], *json)
        }
        MigrateCommand::Status { json, remote } => {
            let remote = remote.connect()?;
            let mut all = Vec::new();
            for plugin in all_plugins(&remote)? {
                let listed = migrations(&remote, &plugin)?;
                let path = format!("/api/plugins/registry/{}/entities", segment(&plugin));
                let entities = remote.get(&path)?;
                all.push(status(&plugin, &listed, &entities));
            }
            all.retain(|plugin| plugin["total"] != 0 || plugin["problems"] != 0);
            if *json {
                return Ok(print(&format!("{:#}\n", json!({ "plugins": all })))?);
            }
            let lines: String = all.iter().map(status_line).collect();
            Ok(print(&printable(&lines))?)
        }
    }
}

fn path(plugin: &str) -> String {
    format!("/api/plugins/registry/{}/migrations", segment(plugin))
}

fn migrations(remote: &Remote, plugin: &str) -> Result<Value, Failure> {
    remote.get(&path(plugin))
}

fn items<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[][..], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn all_plugins(remote: &Remote) -> Result<Vec<String>, Failure> {
    let answer = remote.get("/api/plugins")?;
    let names = items(&answer, "plugins").iter();
    Ok(names
        .filter_map(|plugin| plugin["name"].as_str().map(str::to_owned))
        .collect())
}

/// The migrations that a file or a plugin names, with their plugins.
fn meant(remote: &Remote, what: &str, force: bool) -> Result<Vec<(String, String)>, Failure> {
    let is_file = what.ends_with(".json") || what.ends_with(".py");
    if !is_file {
        let listed = migrations(remote, what)?;
        let left = items(&listed, "migrations").iter().filter(|each| {
            // One that an entity has made is run by running the entity's again.
            (force || !matches!(text(&each["status"]), "completed"))
                && each["file_name"].is_string()
        });
        let versions = left.filter_map(|each| each["version"].as_str());
        return Ok(versions
            .map(|version| (what.to_owned(), version.to_owned()))
            .collect());
    }
    let mut parts = what.rsplit('/');
    let name = parts.next().unwrap_or_default();
    // `plugins/shop/migrations/2025….json` says whose it is.
    let plugins = match (parts.next(), parts.next()) {
        (Some("migrations"), Some(plugin)) if !matches!(plugin, "" | "." | "..") => {
            vec![plugin.to_owned()]
        }
        _ => all_plugins(remote)?,
    };
    let mut found = Vec::new();
    for plugin in plugins {
        let listed = migrations(remote, &plugin)?;
        let named = items(&listed, "migrations")
            .iter()
            .filter(|each| each["file_name"] == name);
        found.extend(
            named.filter_map(|each| Some((plugin.clone(), each["version"].as_str()?.to_owned()))),
        );
    }
    match found.len() {
        1 => Ok(found),
        0 => Err(Failure::Usage(format!("no plugin has a migration {name}"))),
        _ => {
            let names: Vec<_> = found.iter().map(|(plugin, _)| &**plugin).collect();
            let names = names.join(", ");
            Err(Failure::Usage(format!(
                "{name} is a migration of {names}: say PLUGIN/migrations/{name}"
            )))
        }
    }
}

fn list(lists: &[(Value, String)], json: bool) -> Result<(), Failure> {
    if json {
        let all: Vec<Value> = lists
            .iter()
            .map(|(listed, plugin)| {
                json!({
                    "plugin": plugin,
                    "migrations": listed["migrations"],
                    "problems": listed["problems"],
                })
            })
            .collect();
        return Ok(print(&format!("{:#}\n", json!({ "plugins": all })))?);
    }
    let mut lines = String::new();
    for (listed, plugin) in lists {
        for each in items(listed, "migrations") {
            lines.push_str(&line(plugin, each));
        }
        for each in items(listed, "problems") {
            let (file, problem) = (text(&each["file_name"]), text(&each["problem"]));
            lines.push_str(&format!("{plugin}  FAIL  {file}: {problem}\n"));
        }
    }
    Ok(print(&printable(&lines))?)
}

fn line(plugin: &str, migration: &Value) -> String {
    let mut state = text(&migration["status"]).to_owned();
    if migration["changed"] == true {
        state.push_str(", changed since");
    }
    let why = match migration["error_message"].as_str() {
        Some(why) => format!("  {}", why.lines().next().unwrap_or_default()),
        None => String::new(),
    };
    format!(
        "{plugin}  {}  {state}  {}{why}\n",
        text(&migration["version"]),
        text(&migration["name"]),
    )
}

fn has_failed(end: &Value) -> bool {
    end["dry_run"] != true && end["migration"]["status"] == "failed"
}

/// Says what has become of migrations; one that has failed fails the command.
fn tell(ends: &[Value], json: bool) -> Result<(), Failure> {
    if json {
        print(&format!("{:#}\n", json!({ "runs": ends })))?;
    } else {
        let mut lines = String::new();
        for end in ends {
            let migration = &end["migration"];
            let name = format!(
                "{} {}",
                text(&migration["version"]),
                text(&migration["name"])
            );
            if end["dry_run"] == true {
                lines.push_str(&format!("{name}: would do, {}:\n", text(&end["direction"])));
                for command in items(end, "commands") {
                    let about = match command["documents"].as_u64() {
                        Some(number) => format!("  ({number} documents)"),
                        None => String::new(),
                    };
                    lines.push_str(&format!("  {}{about}\n", command["command"]));
                }
                continue;
            }
            let took = migration["execution_time_ms"].as_i64().unwrap_or(0);
            lines.push_str(&format!(
                "{name}: {} in {took} ms\n",
                text(&migration["status"])
            ));
            if let Some(why) = migration["error_message"].as_str() {
                lines.push_str(&format!("{}\n", why.trim_end()));
            }
        }
        print(&printable(&lines))?;
    }
    match ends.iter().any(has_failed) {
        true => Err(Failure::Reported),
        false => Ok(()),
    }
}

fn status(plugin: &str, listed: &Value, entities: &Value) -> Value {
    let all = items(listed, "migrations");
    let count = |status: &str| all.iter().filter(|each| each["status"] == status).count();
    let left = items(entities, "entities").iter();
    let left: Vec<&str> = left
        .filter(|entity| entity["migration_status"] != "migrated")
        .map(|entity| text(&entity["entity_name"]))
        .collect();
    json!({
        "plugin": plugin,
        "total": all.len() + items(entities, "entities").len(),
        "completed": count("completed"),
        "pending": count("pending"),
        "running": count("running"),
        "failed": count("failed"),
        "rolled_back": count("rolled_back"),
        "entities_not_migrated": left,
        "problems": items(listed, "problems").len() + items(entities, "problems").len(),
    })
}

fn status_line(status: &Value) -> String {
    let mut line = text(&status["plugin"]).to_owned();
    for key in [
        "completed",
        "pending",
        "running",
        "failed",
        "rolled_back",
        "problems",
    ] {
        if status[key] != 0 {
            line.push_str(&format!("  {} {}", key.replace('_', " "), status[key]));
        }
    }
    let left: Vec<_> = items(status, "entities_not_migrated")
        .iter()
        .map(text)
        .collect();
    if !left.is_empty() {
        line.push_str(&format!("  not migrated: {}", left.join(", ")));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_one_line() {
        let failed = json!({
            "version": "20250129_143000", "name": "create_cart", "status": "failed", "changed": true,
            "error_message": "command 1 (`insert`): no\nmore",
        });
        assert_eq!(
            line("shop", &failed),
            "shop  20250129_143000  failed, changed since  create_cart  command 1 (`insert`): no\n"
        );
    }

    #[test]
    fn a_status_says_what_is_left() {
        let listed = json!({ "migrations": [{ "status": "completed" }, { "status": "pending" }], "problems": [] });
        let entities = json!({ "entities": [
            { "entity_name": "Cart", "migration_status": "migrated" },
            { "entity_name": "Line", "migration_status": "pending" },
        ] });
        let status = status("shop", &listed, &entities);
        assert_eq!(
            status_line(&status),
            "shop  completed 1  pending 1  not migrated: Line\n"
        );
    }
}
