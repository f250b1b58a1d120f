//! Measures what `docstore` takes of a round trip: point reads and writes over one connection,
//! beside a server that answers the same frames with the same bytes and does nothing else, and
//! beside SQLite in this process, each write a commit. Then writes that must be on the disk.
//! `wire HOST:PORT [DOCUMENTS]`.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    error::Error,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Instant,
};

use bson::{Document, doc};
use rusqlite::Connection;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Each server is asked in turn, so often; the best turn of each counts.
const TURNS: usize = 9;
/// Questions of a turn.
const QUESTIONS: i64 = 5_000;
const OP_MSG: u32 = 2013;
/// Writes of a turn that must be on the disk, for each connection.
const DURABLE: i64 = 200;
/// Over how many connections at once.
const CONNECTIONS: [i64; 3] = [1, 16, 32];

/// A frame with a command.
fn frame(command: &Document) -> Fallible<Vec<u8>> {
    let body = command.to_vec()?;
    let length = u32::try_from(16 + 4 + 1 + body.len())?;
    let mut frame = Vec::with_capacity(length as usize);
    for number in [length, 1, 0, OP_MSG, 0] {
        frame.extend(number.to_le_bytes());
    }
    frame.push(0);
    frame.extend(body);
    Ok(frame)
}

/// Reads a frame to its end; false where the other side has closed.
fn read_frame(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Fallible<bool> {
    buffer.clear();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(length) = buffer.first_chunk::<4>()
            && buffer.len() >= u32::from_le_bytes(*length) as usize
        {
            return Ok(true);
        }
        match stream.read(&mut piece)? {
            0 => return Ok(false),
            read => buffer.extend_from_slice(&piece[..read]),
        }
    }
}

fn ask(stream: &mut TcpStream, question: &[u8], answer: &mut Vec<u8>) -> Fallible<()> {
    stream.write_all(question)?;
    match read_frame(stream, answer)? {
        true => Ok(()),
        false => Err("the connection was closed".into()),
    }
}

fn connect(address: &str) -> Fallible<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Starts a server that answers each frame with what `answer` holds at the time.
fn echo(answer: Arc<Mutex<Vec<u8>>>) -> Fallible<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = connect(&listener.local_addr()?.to_string())?;
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    std::thread::spawn(move || -> Fallible<()> {
        let mut question = Vec::new();
        while read_frame(&mut stream, &mut question)? {
            let answer = answer.lock().map_err(|error| error.to_string())?.clone();
            stream.write_all(&answer)?;
        }
        Ok(())
    });
    Ok(client)
}

/// Questions answered in a second.
fn turn(stream: &mut TcpStream, questions: &[Vec<u8>]) -> Fallible<f64> {
    let mut answer = Vec::new();
    let began = Instant::now();
    for question in questions {
        ask(stream, question, &mut answer)?;
    }
    Ok(questions.len() as f64 / began.elapsed().as_secs_f64())
}

fn document(id: i64) -> Document {
    doc! {
        "_id": id, "n": id, "name": format!("user-{id}"), "tags": ["red", "green"], "count": 0,
        "text": "The quick brown fox jumps over the lazy dog. ".repeat(4),
    }
}

/// SQLite with a document in a column, beside whose table nothing has to be kept.
struct Sqlite {
    connection: Connection,
    documents: i64,
    _dir: tempfile::TempDir,
}

impl Sqlite {
    fn new(documents: i64) -> Fallible<Self> {
        let dir = tempfile::tempdir()?;
        let mut connection = Connection::open(dir.path().join("wire.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             CREATE TABLE t (id INTEGER PRIMARY KEY, doc BLOB NOT NULL)",
        )?;
        let transaction = connection.transaction()?;
        for id in 0..documents {
            transaction
                .prepare_cached("INSERT INTO t VALUES (?1, ?2)")?
                .execute((id, document(id).to_vec()?))?;
        }
        transaction.commit()?;
        Ok(Self {
            connection,
            documents,
            _dir: dir,
        })
    }

    /// One of the operations, by its place in the table.
    fn run(&self, operation: usize, n: i64) -> Fallible<()> {
        let id = scattered(n, self.documents);
        match operation {
            0 => {
                let sql = "SELECT doc FROM t WHERE id = ?1";
                let mut statement = self.connection.prepare_cached(sql)?;
                statement.query_row([id], |row| row.get::<_, Vec<u8>>(0))?;
            }
            1 => {
                let sql = "UPDATE t SET doc = ?2 WHERE id = ?1";
                let mut changed = document(id);
                changed.insert("count", n);
                let bytes = changed.to_vec()?;
                self.connection.prepare_cached(sql)?.execute((id, bytes))?;
            }
            _ => {
                let sql = "INSERT INTO t (doc) VALUES (?1)";
                let bytes = document(n).to_vec()?;
                self.connection.prepare_cached(sql)?.execute([bytes])?;
            }
        }
        Ok(())
    }

    /// Operations in a second.
    fn turn(&self, operation: usize, range: std::ops::Range<i64>) -> Fallible<f64> {
        let count = range.end - range.start;
        let began = Instant::now();
        for n in range {
            self.run(operation, n)?;
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }
}

fn scattered(n: i64, documents: i64) -> i64 {
    n.wrapping_mul(7919).rem_euclid(documents)
}

/// Writes in a second that are on the disk when they are acknowledged.
fn durable_turn(address: &str, connections: i64, first: i64) -> Fallible<f64> {
    let mut clients = Vec::new();
    for client in 0..connections {
        let from = first + client * DURABLE;
        let questions: Vec<Vec<u8>> = (from..from + DURABLE)
            .map(|id| {
                frame(&doc! {
                    "insert": "c", "documents": [document(id)],
                    "writeConcern": { "w": 1, "j": true }, "$db": "wire",
                })
            })
            .collect::<Fallible<_>>()?;
        clients.push((connect(address)?, questions));
    }
    let began = Instant::now();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|(mut stream, questions)| std::thread::spawn(move || turn(&mut stream, &questions)))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a client panicked")??;
    }
    Ok((connections * DURABLE) as f64 / began.elapsed().as_secs_f64())
}

/// The table of writes that must be on the disk.
fn durable(address: &str, sqlite: &Sqlite, mut first: i64) -> Fallible<()> {
    println!(
        "\n| inserts that are on the disk, connections | /s | SQLite, `synchronous = FULL`, /s |\n|---|---|---|"
    );
    sqlite
        .connection
        .execute_batch("PRAGMA synchronous = FULL")?;
    for connections in CONNECTIONS {
        let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
        for _ in 0..TURNS {
            ours = ours.max(durable_turn(address, connections, first)?);
            first += connections * DURABLE;
            if connections == 1 {
                theirs = theirs.max(sqlite.turn(2, first..first + DURABLE)?);
            }
        }
        match connections {
            1 => println!("| 1 | {ours:.0} | {theirs:.0} |"),
            _ => println!("| {connections} | {ours:.0} | |"),
        }
    }
    Ok(())
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("wire HOST:PORT [DOCUMENTS]")?;
    let documents: i64 = arguments.next().map_or(Ok(100_000), |n| n.parse())?;
    let mut store = connect(&address)?;
    let mut answer = Vec::new();
    let drop = frame(&doc! { "drop": "c", "$db": "wire" })?;
    ask(&mut store, &drop, &mut answer)?;
    for first in (0..documents).step_by(1000) {
        let batch: Vec<Document> = (first..first + 1000).map(document).collect();
        let insert = doc! { "insert": "c", "documents": batch, "$db": "wire" };
        ask(&mut store, &frame(&insert)?, &mut answer)?;
    }
    let canned = Arc::new(Mutex::new(Vec::new()));
    let mut echo = echo(Arc::clone(&canned))?;
    let sqlite = Sqlite::new(documents)?;
    let scattered = |n: i64| scattered(n, documents);
    let find = |n: i64| doc! { "find": "c", "filter": { "_id": scattered(n) }, "limit": 1, "singleBatch": true, "$db": "wire" };
    let update = |n: i64| doc! { "update": "c", "updates": [{ "q": { "_id": scattered(n) }, "u": { "$inc": { "count": 1 } } }], "$db": "wire" };
    let insert =
        |n: i64| doc! { "insert": "c", "documents": [document(documents + n)], "$db": "wire" };
    let operations: [(&str, &dyn Fn(i64) -> Document); 3] = [
        ("find one by _id", &find),
        ("update one by _id", &update),
        ("insert one", &insert),
    ];
    println!(
        "| over one connection | docstore /s | echo /s | docstore / echo | SQLite in its process /s |\n|---|---|---|---|---|"
    );
    for (at, (name, command)) in operations.into_iter().enumerate() {
        let (mut ours, mut theirs, mut in_process) = (0.0_f64, 0.0_f64, 0.0_f64);
        for turn_at in 0..TURNS as i64 {
            let range = (turn_at * QUESTIONS)..((turn_at + 1) * QUESTIONS);
            in_process = in_process.max(sqlite.turn(at, range.clone())?);
            let questions: Vec<Vec<u8>> =
                range.map(|n| frame(&command(n))).collect::<Fallible<_>>()?;
            ours = ours.max(turn(&mut store, &questions)?);
            // What it is to answer; a find asks the same again, the others fail or count once more.
            ask(&mut store, &questions[0], &mut answer)?;
            canned
                .lock()
                .map_err(|error| error.to_string())?
                .clone_from(&answer);
            theirs = theirs.max(turn(&mut echo, &questions)?);
        }
        println!(
            "| {name} | {ours:.0} | {theirs:.0} | {:.2} | {in_process:.0} |",
            ours / theirs
        );
    }
    durable(&address, &sqlite, documents + TURNS as i64 * QUESTIONS)?;
    ask(&mut store, &drop, &mut answer)?;
    Ok(())
}
