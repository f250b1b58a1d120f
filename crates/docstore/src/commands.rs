//! The commands: one file a family. Each takes a checked request and writes its answer; sockets and
//! frames are the server's.

pub mod admin;
pub mod aggregate;
pub mod args;
pub mod auth;
pub mod call;
pub mod change_stream;
pub mod collections;
pub mod count;
pub mod cursors;
pub mod delete;
pub mod explain;
pub mod find;
pub mod find_and_modify;
pub mod handshake;
pub mod indexes;
pub mod insert;
pub mod listings;
pub mod measures;
pub mod merge;
pub mod names;
pub mod operations;
pub mod permitted;
pub mod read;
pub mod reports;
pub mod service;
pub mod session_list;
pub mod sessions;
pub mod sort;
pub mod source;
pub mod spool;
pub mod update;
pub mod write_result;

use crate::{
    bail,
    error::{Code, CommandError, Result},
    wire::{BsonWriter, Request},
};
use args::Args;
use call::{Call, ConnectionState};
use service::Service;

type Handler = fn(&mut Call<'_>, &mut BsonWriter) -> Result<()>;

/// How a command may be called.
struct Entry {
    name: &'static str,
    run: Handler,
    /// Its own fields; others are refused. Empty: any are let pass.
    fields: &'static [&'static str],
    /// Callable before the client has said who it is.
    open: bool,
    /// Allowed within a multi-document transaction.
    transaction: bool,
}

const fn entry(name: &'static str, run: Handler, fields: &'static [&'static str]) -> Entry {
    Entry {
        name,
        run,
        fields,
        open: false,
        transaction: false,
    }
}

const fn open(name: &'static str, run: Handler) -> Entry {
    Entry {
        name,
        run,
        fields: &[],
        open: true,
        transaction: false,
    }
}

const fn transactional(name: &'static str, run: Handler, fields: &'static [&'static str]) -> Entry {
    Entry {
        name,
        run,
        fields,
        open: false,
        transaction: true,
    }
}

/// Every command.
static COMMANDS: &[Entry] = &[
    // Documents.
    transactional("find", find::find, find::FIELDS),
    transactional("insert", insert::insert, insert::FIELDS),
    transactional("update", update::update, update::FIELDS),
    transactional("delete", delete::delete, delete::FIELDS),
    transactional(
        "findAndModify",
        find_and_modify::find_and_modify,
        find_and_modify::FIELDS,
    ),
    transactional(
        "findandmodify",
        find_and_modify::find_and_modify,
        find_and_modify::FIELDS,
    ),
    transactional("aggregate", aggregate::aggregate, aggregate::FIELDS),
    entry("count", count::count, count::COUNT_FIELDS),
    transactional("distinct", count::distinct, count::DISTINCT_FIELDS),
    transactional("getMore", cursors::get_more, cursors::GET_MORE_FIELDS),
    transactional("killCursors", cursors::kill_cursors, cursors::KILL_FIELDS),
    entry("explain", explain::explain, &["explain", "verbosity"]),
    // Collections and indexes.
    transactional("create", collections::create, collections::CREATE_FIELDS),
    entry("drop", collections::drop, &["drop"]),
    entry(
        "dropDatabase",
        collections::drop_database,
        &["dropDatabase"],
    ),
    entry(
        "renameCollection",
        collections::rename,
        collections::RENAME_FIELDS,
    ),
    entry(
        "collMod",
        collections::coll_mod,
        collections::COLL_MOD_FIELDS,
    ),
    entry(
        "listCollections",
        listings::list_collections,
        listings::LIST_FIELDS,
    ),
    entry(
        "listDatabases",
        listings::list_databases,
        listings::LIST_DATABASES_FIELDS,
    ),
    entry("collStats", measures::coll_stats, &["collStats", "scale"]),
    entry("collstats", measures::coll_stats, &["collstats", "scale"]),
    entry(
        "dbStats",
        measures::db_stats,
        &["dbStats", "scale", "freeStorage"],
    ),
    entry(
        "dbstats",
        measures::db_stats,
        &["dbstats", "scale", "freeStorage"],
    ),
    entry("validate", measures::validate, &[]),
    transactional(
        "createIndexes",
        indexes::create_indexes,
        indexes::CREATE_FIELDS,
    ),
    entry(
        "listIndexes",
        indexes::list_indexes,
        &["listIndexes", "cursor"],
    ),
    entry(
        "dropIndexes",
        indexes::drop_indexes,
        &["dropIndexes", "index"],
    ),
    entry(
        "deleteIndexes",
        indexes::drop_indexes,
        &["deleteIndexes", "index"],
    ),
    // Connections and sessions.
    open("hello", handshake::hello),
    open("isMaster", handshake::hello),
    open("ismaster", handshake::hello),
    open("ping", admin::ping),
    open("buildInfo", admin::build_info),
    open("buildinfo", admin::build_info),
    open("saslStart", auth::sasl_start),
    open("saslContinue", auth::sasl_continue),
    open("logout", auth::logout),
    open("connectionStatus", auth::connection_status),
    open("whatsmyuri", admin::whats_my_uri),
    entry("startSession", sessions::start_session, &[]),
    entry("refreshSessions", sessions::refresh_sessions, &[]),
    entry("endSessions", sessions::end_sessions, &[]),
    entry("killSessions", sessions::kill_sessions, &[]),
    entry("killAllSessions", sessions::kill_all_sessions, &[]),
    entry("killAllSessionsByPattern", sessions::kill_all_sessions, &[]),
    transactional("commitTransaction", sessions::commit_transaction, &[]),
    transactional("abortTransaction", sessions::abort_transaction, &[]),
    // The server.
    entry("serverStatus", admin::server_status, &[]),
    entry("getParameter", admin::get_parameter, &[]),
    entry("getCmdLineOpts", admin::get_cmd_line_opts, &[]),
    entry("hostInfo", admin::host_info, &[]),
    entry("getLog", admin::get_log, &[]),
    entry("logRotate", admin::ping, &[]),
    entry("listCommands", admin::list_commands, &[]),
    entry("replSetGetStatus", admin::repl_set_get_status, &[]),
    entry("fsync", admin::fsync, &[]),
    entry("top", admin::top, &[]),
    entry("currentOp", admin::current_op, &[]),
];

/// The names of all commands.
pub(crate) fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|entry| entry.name)
}

fn lookup(name: &str) -> Option<&'static Entry> {
    COMMANDS.iter().find(|entry| entry.name == name)
}

/// Runs one request and writes the answer's document to `out`, a failed command's answer included.
/// `database` comes from the frame where an old handshake names it there.
pub fn run(
    service: &Service,
    connection: &mut ConnectionState,
    request: &Request<'_>,
    database: Option<&str>,
    out: &mut BsonWriter,
) {
    let start = out.len();
    service
        .counters
        .commands
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if let Err(error) = dispatch(service, connection, request, database, out) {
        out.truncate(start);
        let in_transaction = matches!(request.body.get("autocommit"), Ok(Some(_)));
        let error = if in_transaction {
            sessions::label_transient(error)
        } else {
            error
        };
        log_failure(request, &error);
        write_error(&error, out);
    }
    if service.config.replica_set.is_some() {
        write_times(service, start, out);
    }
}

/// Tells the time of the last change, by which drivers keep causal consistency. There is one clock
/// and one member, so both times are the same, and nobody checks the signature.
fn write_times(service: &Service, start: usize, out: &mut BsonWriter) {
    let time = service.store.changes().operation_time();
    out.reopen(start);
    out.begin_document("$clusterTime");
    out.timestamp("clusterTime", time);
    out.begin_document("signature");
    out.binary("hash", &[0; 20]);
    out.int64("keyId", 0);
    out.end();
    out.end();
    out.timestamp("operationTime", time);
    out.end();
}

/// Writes the answer to a message whose documents cannot be read.
pub fn refuse(service: &Service, error: &CommandError, out: &mut BsonWriter) {
    service
        .counters
        .commands
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    tracing::debug!(code = error.code, error = %error.message, "a message was refused");
    write_error(error, out);
}

fn write_error(error: &CommandError, out: &mut BsonWriter) {
    let start = out.len();
    out.begin();
    if out.fields(&error.to_reply()).is_err() {
        out.truncate(start);
        out.begin();
        out.double("ok", 0.0);
        out.string("errmsg", &error.message);
        out.int32("code", error.code);
        out.string("codeName", &error.code_name);
    }
    out.end();
}

fn log_failure(request: &Request<'_>, error: &CommandError) {
    let command = request.command().unwrap_or_default();
    if error.code == Code::InternalError as i32 || error.code == Code::OutOfDiskSpace as i32 {
        tracing::error!(command, code = error.code, error = %error.message, "command failed");
    } else {
        tracing::debug!(command, code = error.code, error = %error.message, "command failed");
    }
}

fn dispatch(
    service: &Service,
    connection: &mut ConnectionState,
    request: &Request<'_>,
    database: Option<&str>,
    out: &mut BsonWriter,
) -> Result<()> {
    let name = request.command()?;
    let Some(entry) = lookup(name) else {
        bail!(CommandNotFound, "no such command: '{name}'")
    };
    let args = Args::new(name, request.body);
    let database = match database {
        Some(database) => database,
        None => match args.string("$db")? {
            Some(database) => database,
            None => bail!(IDLFailedToParse, "OP_MSG requests require a $db argument"),
        },
    };
    names::check_database(database)?;
    if !entry.fields.is_empty() {
        args.check_known(entry.fields)?;
    }
    if service.config.user.is_some() && !connection.authenticated && !entry.open {
        bail!(Unauthorized, "Command {name} requires authentication");
    }
    args::check_api(&args)?;
    let named = if name == "getMore" {
        "collection"
    } else {
        name
    };
    let collection = match args.get(named)? {
        Some(bson::RawBsonRef::String(collection)) => collection,
        _ => "$cmd",
    };
    let _running = service.operations.begin(
        connection.id,
        &connection.peer_address,
        entry.name,
        format!("{database}.{collection}"),
    );
    let mut call = Call::new(service, connection, request, args, database)?;
    let known = service.config.user.is_none() || call.connection.authenticated;
    if let Some(session) = &call.session
        && known
    {
        service.sessions.touch(session)?;
    }
    if call.transaction.is_some() {
        if !entry.transaction {
            crate::storage::transactions::refuse_in_transaction(name)?;
        }
        call.start_transaction_if_asked()?;
    }
    (entry.run)(&mut call, out)
}
