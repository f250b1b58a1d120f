//! A started server with a connected client, and raw frames.

use std::{
    future::Future,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use bson::{Document, doc};
use docstore::server::{Config, Listen, Server};
use mongodb::{Client, Collection, Database};
use tempfile::TempDir;

/// A server on a socket in a directory that goes away with it.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) dir: TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn start_in(dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(dir.path().join("data"), Listen::Unix(socket_path(&dir)));
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        let client = Client::with_uri_str(server.uri()).await.unwrap();
        Self {
            server,
            client,
            dir,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_path(&self.dir)
    }

    pub(crate) fn db(&self) -> Database {
        self.client.database("test")
    }

    pub(crate) fn coll(&self, name: &str) -> Collection<Document> {
        self.db().collection(name)
    }

    /// Stops the server in order and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            server,
            client,
            dir,
        } = self;
        client.shutdown().immediate(true).await;
        server.shutdown().await;
        Self::start_in(dir, |_| {}).await
    }
}

pub(crate) fn socket_path(dir: &TempDir) -> PathBuf {
    dir.path().join("s").join("d.sock")
}

/// The code of a failed command or of the only failed write.
pub(crate) fn code_of(error: &mongodb::error::Error) -> i32 {
    use mongodb::error::{ErrorKind, WriteFailure};
    match error.kind.as_ref() {
        ErrorKind::Command(command) => command.code,
        ErrorKind::Write(WriteFailure::WriteError(write)) => write.code,
        ErrorKind::InsertMany(many) => many
            .write_errors
            .as_ref()
            .map_or(0, |errors| errors[0].code),
        _ => panic!("not a server's error: {error:?}"),
    }
}

/// Polls until `probe` gives something, at most 20 seconds.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < until, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

/// A client that sends what it likes.
pub(crate) struct RawClient {
    pub(crate) stream: UnixStream,
}

impl RawClient {
    pub(crate) fn connect(server: &TestServer) -> Self {
        let stream = UnixStream::connect(server.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame, or `None` where the server closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        frame[..4].copy_from_slice(&length);
        self.stream.read_exact(&mut frame[4..]).ok()?;
        Some(frame)
    }

    /// Sends a command and gives its answer.
    pub(crate) fn run(&mut self, command: &Document) -> Document {
        self.send(&frame(2013, &message(0, command)));
        body(&self.receive().expect("an answer"))
    }
}

/// A frame with the given opcode and content.
pub(crate) fn frame(opcode: i32, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    for value in [content.len() as i32 + 16, 7, 0, opcode] {
        frame.extend(value.to_le_bytes());
    }
    frame.extend(content);
    frame
}

/// The content of an OP_MSG with one body.
pub(crate) fn message(flags: u32, command: &Document) -> Vec<u8> {
    let mut content = flags.to_le_bytes().to_vec();
    content.push(0);
    content.extend(command.to_vec().unwrap());
    content
}

/// The document of an OP_MSG answer.
pub(crate) fn body(frame: &[u8]) -> Document {
    Document::from_reader(&frame[21..]).unwrap()
}

/// What `explain` says of a find: the winning plan and the execution's counters.
pub(crate) async fn explain(db: &Database, find: Document) -> (Document, Document) {
    let reply = db
        .run_command(doc! { "explain": find, "verbosity": "executionStats" })
        .await
        .unwrap();
    let plan = reply
        .get_document("queryPlanner")
        .unwrap()
        .get_document("winningPlan")
        .unwrap();
    (
        plan.clone(),
        reply.get_document("executionStats").unwrap().clone(),
    )
}

/// The names of the stages of a plan, outermost first.
pub(crate) fn stages(plan: &Document) -> Vec<String> {
    let mut names = vec![plan.get_str("stage").unwrap().to_owned()];
    if let Ok(inner) = plan.get_document("inputStage") {
        names.extend(stages(inner));
    }
    names
}
