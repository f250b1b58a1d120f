//! Measures what `docstore` takes of a round trip: point reads and writes over one connection,
//! beside a server that answers the same frames with the same bytes and does nothing else.
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

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Each server is asked in turn, so often; the best turn of each counts.
const TURNS: usize = 9;
/// Questions of a turn.
const QUESTIONS: i64 = 5_000;
const OP_MSG: u32 = 2013;

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
    let scattered = |n: i64| n.wrapping_mul(7919).rem_euclid(documents);
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
        "| over one connection | docstore /s | echo /s | docstore / echo |\n|---|---|---|---|"
    );
    for (name, command) in operations {
        let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
        for at in 0..TURNS as i64 {
            let range = (at * QUESTIONS)..((at + 1) * QUESTIONS);
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
            "| {name} | {ours:.0} | {theirs:.0} | {:.2} |",
            ours / theirs
        );
    }
    ask(&mut store, &drop, &mut answer)?;
    Ok(())
}
