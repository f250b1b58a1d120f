//! Commands about the server itself.

use std::sync::atomic::Ordering;

use bson::{Bson, DateTime, Document, RawBsonRef, doc};

use super::{call::Call, insert};
use crate::{bail, error::Result, query::Filter, wire::BsonWriter};

/// The MongoDB version whose behaviour is kept.
pub const VERSION: &str = "7.0.14";

/// `ping`.
pub fn ping(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    Call::ok(out);
    Ok(())
}

/// `buildInfo`.
pub fn build_info(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    insert::finish(
        doc! {
            "version": VERSION,
            "gitVersion": concat!("docstore-", env!("CARGO_PKG_VERSION")),
            "modules": Vec::<Bson>::new(),
            "allocator": "system",
            "javascriptEngine": "none",
            "sysInfo": "deprecated",
            "versionArray": [7, 0, 14, 0],
            "openssl": { "running": "none" },
            "buildEnvironment": { "target_os": std::env::consts::OS, "target_arch": std::env::consts::ARCH },
            "bits": 64,
            "debug": cfg!(debug_assertions),
            "maxBsonObjectSize": 16_777_216,
            "storageEngines": ["sqlite"],
            "docstore": { "version": env!("CARGO_PKG_VERSION") },
        },
        out,
    )
}

/// `whatsmyuri`.
pub fn whats_my_uri(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    insert::finish(doc! { "you": &call.connection.peer_address }, out)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `serverStatus`.
pub fn server_status(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let counters = &call.service.counters;
    let count = |counter: &std::sync::atomic::AtomicU64| number(counter.load(Ordering::Relaxed));
    let uptime = call.service.started.elapsed();
    let (file_bytes, log_bytes) = call.service.store.file_bytes();
    let reply = doc! {
        "host": &call.connection.local_address,
        "version": VERSION,
        "process": "docstore",
        "pid": i64::from(std::process::id()),
        "uptime": uptime.as_secs_f64(),
        "uptimeMillis": i64::try_from(uptime.as_millis()).unwrap_or(i64::MAX),
        "uptimeEstimate": number(uptime.as_secs()),
        "localTime": DateTime::now(),
        "connections": {
            "current": counters.connections.load(Ordering::Relaxed),
            "totalCreated": counters.connections_total.load(Ordering::Relaxed),
        },
        "opcounters": {
            "insert": count(&counters.inserts),
            "query": count(&counters.queries),
            "update": count(&counters.updates),
            "delete": count(&counters.deletes),
            "getmore": count(&counters.get_mores),
            "command": count(&counters.commands),
        },
        "metrics": { "cursor": { "open": { "total": number(call.service.cursors.count() as u64) } } },
        "transactions": {
            "currentOpen": number(call.service.store.open_transactions() as u64),
        },
        "storageEngine": {
            "name": "sqlite",
            "persistent": true,
            "supportsCommittedReads": true,
        },
        "spill": { "bytes": number(call.service.spill.used_bytes()), "files": number(call.service.spill.files()) },
        "sqlite": { "fileBytes": number(file_bytes), "logBytes": number(log_bytes) },
    };
    insert::finish(reply, out)
}

/// `getParameter`.
pub fn get_parameter(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let known = doc! {
        "featureCompatibilityVersion": { "version": "7.0" },
        "enableTestCommands": false,
        "maxTimeMSForHelloCommand": 0,
        "transactionLifetimeLimitSeconds":
            number(call.service.store.options.transaction_lifetime_ms / 1000),
        "cursorTimeoutMillis":
            i64::try_from(call.service.config.cursor_timeout.as_millis()).unwrap_or(i64::MAX),
        "requireApiVersion": false,
        "authenticationMechanisms": ["SCRAM-SHA-256"],
    };
    let all = matches!(
        call.args.get("getParameter")?,
        Some(RawBsonRef::String("*"))
    );
    let mut reply = Document::new();
    for (name, value) in &known {
        if all
            || call
                .request
                .body
                .get(name.as_str())
                .ok()
                .flatten()
                .is_some()
        {
            reply.insert(name.clone(), value.clone());
        }
    }
    if reply.is_empty() {
        bail!(InvalidOptions, "no option found to get");
    }
    insert::finish(reply, out)
}

/// `getCmdLineOpts`.
pub fn get_cmd_line_opts(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let path = call.service.store.options.path.display().to_string();
    let mut parsed = doc! { "storage": { "dbPath": path } };
    if call.service.config.user.is_some() {
        parsed.insert("security", doc! { "authorization": "enabled" });
    }
    insert::finish(doc! { "argv": ["docstore"], "parsed": parsed }, out)
}

/// `hostInfo`.
pub fn host_info(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    insert::finish(
        doc! {
            "system": {
                "currentTime": DateTime::now(),
                "cpuAddrSize": 64,
                "numCores": number(cores as u64),
                "cpuArch": std::env::consts::ARCH,
            },
            "os": { "type": std::env::consts::OS },
            "extra": {},
        },
        out,
    )
}

/// `getLog`: the log goes to the standard error, not into memory.
pub fn get_log(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    match call.args.string("getLog")? {
        Some("*") => insert::finish(doc! { "names": ["global", "startupWarnings"] }, out),
        Some("global" | "startupWarnings") => insert::finish(
            doc! { "totalLinesWritten": 0, "log": Vec::<Bson>::new() },
            out,
        ),
        other => bail!(
            OperationFailed,
            "No log named '{}'",
            other.unwrap_or_default()
        ),
    }
}

/// `listCommands`.
pub fn list_commands(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let mut commands = Document::new();
    for name in super::command_names() {
        commands.insert(name, doc! { "help": "" });
    }
    insert::finish(doc! { "commands": commands }, out)
}

/// `replSetGetStatus`.
pub fn repl_set_get_status(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(name) = &call.service.config.replica_set else {
        return Err(crate::error::CommandError {
            code_name: "NoReplicationEnabled".to_owned(),
            ..crate::error::CommandError::location(76, "not running with --replSet")
        });
    };
    let me = doc! {
        "_id": 0,
        "name": &call.connection.local_address,
        "health": 1.0,
        "state": 1,
        "stateStr": "PRIMARY",
        "self": true,
    };
    insert::finish(
        doc! { "set": name, "date": DateTime::now(), "myState": 1, "members": [me] },
        out,
    )
}

/// `fsync`: flushes the log to the disk.
pub fn fsync(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    if call.args.flag("lock")? {
        bail!(CommandNotSupported, "fsync with lock is not supported");
    }
    call.service.store.write(true, |_| Ok(()))?;
    insert::finish(doc! { "numFiles": 1 }, out)
}

/// `top`: times by collection are not kept.
pub fn top(_: &mut Call<'_>, _: &mut BsonWriter) -> Result<()> {
    bail!(CommandNotSupported, "the command 'top' is not supported")
}

/// `currentOp`: the commands under way that the fields of the command match.
pub fn current_op(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let mut filter = call.args.all()?;
    for name in ["$ownOps", "$truncateOps", "$all"] {
        let Some(wanted) = filter.remove(name) else {
            continue;
        };
        if name == "$all" && crate::expr::is_truthy(Some(&wanted)) {
            bail!(
                CommandNotSupported,
                "currentOp's '$all' is not supported: idle connections are not listed"
            );
        }
    }
    let filter = Filter::parse(&filter, &Document::new())?;
    let mut operations = Vec::new();
    for operation in call.service.operations.describe() {
        if filter.matches(&operation)? {
            operations.push(Bson::Document(operation));
        }
    }
    insert::finish(doc! { "inprog": operations }, out)
}
