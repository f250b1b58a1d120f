//! The document store as a program of its own: its command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    server::{Config, Listen, Server},
    storage::Durability,
};

/// A small document store that speaks MongoDB's wire protocol.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    serve: Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a collection to the standard output, one document of Extended JSON a line, as
    /// `mongoimport` reads it.
    Export(Export),
}

#[derive(Debug, Args)]
struct Export {
    /// The data directory; it must not be in use.
    #[arg(long)]
    path: PathBuf,
    /// The database.
    #[arg(long)]
    db: String,
    /// The collection.
    #[arg(long)]
    collection: String,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sync {
    /// When it survives the death of the process.
    Normal,
    /// When it survives the loss of power.
    Full,
}

#[derive(Debug, Args)]
struct Serve {
    /// The data directory.
    #[arg(long, default_value = "docstore-data")]
    path: PathBuf,
    /// A TCP address to listen on; anything but loopback needs a user and a password.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<SocketAddr>,
    /// A unix socket to listen on; the name must end in `.sock`.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What is logged to the standard error: error, warn, info, debug, trace.
    #[arg(long, default_value = "info")]
    log: String,
    /// The only user; with it every client must authenticate.
    #[arg(long)]
    user: Option<String>,
    /// The user's password.
    #[arg(long, env = "DOCSTORE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// A file with the user's password.
    #[arg(long, conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// When a write is acknowledged.
    #[arg(long, value_enum, default_value = "normal")]
    sync: Sync,
    /// Let drivers see the primary of a replica set with this name.
    #[arg(long, value_name = "NAME")]
    replica_set: Option<String>,
    /// Upper limit of the data file in bytes.
    #[arg(long)]
    max_file_bytes: Option<u64>,
    /// Bytes that sorts and groups beyond their memory, and results that wait, may have on the disk.
    #[arg(long, default_value_t = 10 << 30)]
    max_spill_bytes: u64,
    /// Room on the disk that is kept back for deletes when it is full, in bytes.
    #[arg(long, default_value_t = 16 << 20)]
    reserve_bytes: u64,
    /// Most multi-document transactions at a time.
    #[arg(long, default_value_t = 64)]
    max_transactions: usize,
    /// What a multi-document transaction may write, in bytes.
    #[arg(long, default_value_t = 64 << 20)]
    max_transaction_bytes: u64,
    /// Most connections at a time.
    #[arg(long, default_value_t = 1000)]
    max_connections: usize,
}

/// Does what a command line says, whose first argument is the program's name; gives the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // Usage errors and --help end the process here, with exit codes 2 and 0.
    let cli = Cli::parse_from(arguments);
    let done = match cli.command {
        Some(Command::Export(export)) => run_export(&export),
        None => run_server(cli.serve),
    };
    match done {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("docstore: {message}");
            1
        }
    }
}

fn run_export(export: &Export) -> Result<(), String> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    crate::export::export(&export.path, &export.db, &export.collection, &mut out)
        .map_err(|error| error.to_string())
}

fn run_server(serve: Serve) -> Result<(), String> {
    // The kernel would make pages of 2 MiB of what many connections used once and gave back, and
    // then hold all of it again. Where it knows no such pages there is nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let filter = tracing_subscriber::EnvFilter::try_new(&serve.log)
        .map_err(|error| format!("--log {}: {error}", serve.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let config = config(serve)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
        let server = Server::start(config)
            .await
            .map_err(|error| error.to_string())?;
        say(&format!("listening on {}", server.addresses().join(" ")))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        server.shutdown().await;
        Ok(())
    })
}

/// The one line on the standard output that tells a parent that clients can connect.
fn say(line: &str) -> Result<(), String> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| error.to_string())
}

fn config(serve: Serve) -> Result<Config, String> {
    let mut listen: Vec<Listen> = serve.listen.into_iter().map(Listen::Tcp).collect();
    listen.extend(serve.socket.map(Listen::Unix));
    if listen.is_empty() {
        listen.push(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 27017))));
    }
    let first = listen[0].clone();
    let mut config = Config::new(serve.path, first);
    config.listen = listen;
    config.max_connections = serve.max_connections;
    config.max_spill_bytes = serve.max_spill_bytes;
    config.replica_set = serve.replica_set;
    config.store.max_file_bytes = serve.max_file_bytes;
    config.store.reserve_bytes = serve.reserve_bytes;
    config.store.max_transactions = serve.max_transactions;
    config.store.max_transaction_bytes = serve.max_transaction_bytes;
    config.store.durability = match serve.sync {
        Sync::Normal => Durability::Process,
        Sync::Full => Durability::Full,
    };
    let password = match serve.password_file {
        Some(path) => Some(
            std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        ),
        None => serve.password,
    };
    config.user = match (serve.user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            return Err("--user needs DOCSTORE_PASSWORD or --password-file".to_owned());
        }
        // The variable may be set for another purpose; without a user it means nothing.
        (None, _) => None,
    };
    Ok(config)
}
