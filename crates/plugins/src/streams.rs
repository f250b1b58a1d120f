//! Answers that come in pieces: plugin code writes, a client reads, and the writer waits for the reader.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::generation::Generation;

/// Pieces of one stream that may wait for its reader.
const PIECES: usize = 4;
/// Streams at a time.
const MAX_STREAMS: usize = 4096;

/// A piece, or why there are no more.
pub type Piece = Result<Bytes, String>;

/// The streams that are open.
pub struct Streams {
    /// Streams of one load at a time.
    most_of_one: usize,
    /// How long a piece may wait for a reader, who counts as gone after that: also one that never came.
    stall: Duration,
    next: AtomicU64,
    // Touched for moments; never held across an await.
    open: Mutex<HashMap<u64, Stream>>,
}

struct Stream {
    generation: Generation,
    pieces: mpsc::Sender<Piece>,
    /// Taken by whoever answers the client.
    reader: Option<mpsc::Receiver<Piece>>,
}

/// There are too many.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too many answers of the plugin are being streamed")]
pub struct TooManyStreams;

impl Streams {
    /// None yet; so many at a time of one load, each of whose pieces waits so long for its reader.
    pub fn new(most_of_one: usize, stall: Duration) -> Self {
        Self {
            most_of_one,
            stall,
            next: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    /// Opens a stream of a load of a plugin.
    ///
    /// # Errors
    /// Where there are too many.
    pub fn open(&self, generation: Generation) -> Result<u64, TooManyStreams> {
        let mut open = self.open.lock();
        let own = open.values();
        let own = own.filter(|stream| stream.generation == generation).count();
        if own >= self.most_of_one || open.len() >= MAX_STREAMS {
            return Err(TooManyStreams);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (pieces, reader) = mpsc::channel(PIECES);
        let stream = Stream {
            generation,
            pieces,
            reader: Some(reader),
        };
        open.insert(id, stream);
        Ok(id)
    }

    /// The reading end, once.
    pub fn take_reader(&self, id: u64) -> Option<mpsc::Receiver<Piece>> {
        self.open.lock().get_mut(&id)?.reader.take()
    }

    /// Adds a piece once there is room; `false` where nobody reads any more. A load writes to its own
    /// streams only.
    pub async fn write(&self, generation: Generation, id: u64, piece: Bytes) -> bool {
        let pieces = {
            let open = self.open.lock();
            open.get(&id)
                .filter(|stream| stream.generation == generation)
                .map(|stream| stream.pieces.clone())
        };
        let Some(pieces) = pieces else {
            return false;
        };
        match tokio::time::timeout(self.stall, pieces.send(Ok(piece))).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                self.open.lock().remove(&id);
                false
            }
        }
    }

    /// Ends a stream; with a reason its reader learns that something is missing.
    pub async fn close(&self, generation: Generation, id: u64, failure: Option<String>) {
        let ended = {
            let mut open = self.open.lock();
            let own = open
                .get(&id)
                .is_some_and(|stream| stream.generation == generation);
            own.then(|| open.remove(&id)).flatten()
        };
        if let (Some(stream), Some(reason)) = (ended, failure) {
            // Refused where nobody reads any more.
            let told = stream.pieces.send(Err(reason));
            tokio::time::timeout(self.stall, told).await.ok();
        }
    }

    /// Ends all streams of a load; their readers learn that something is missing.
    pub fn forget_generation(&self, generation: Generation) {
        let ended: Vec<_> = {
            let mut open = self.open.lock();
            let ids: Vec<u64> = open
                .iter()
                .filter(|(_, stream)| stream.generation == generation)
                .map(|(id, _)| *id)
                .collect();
            ids.iter().filter_map(|id| open.remove(id)).collect()
        };
        for stream in ended {
            stream
                .pieces
                .try_send(Err("the plugin was unloaded".into()))
                .ok();
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Streams {
        Streams::new(2, Duration::from_secs(60))
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_reader_that_takes_nothing() {
        let streams = streams();
        let mine = Generation::next();
        // One whose client went away before the answer, and one who does not read.
        let (forgotten, stuck) = (streams.open(mine).unwrap(), streams.open(mine).unwrap());
        let reader = streams.take_reader(stuck).unwrap();
        assert!(streams.open(mine).is_err(), "there are two");
        assert!(streams.open(Generation::next()).is_ok(), "of another load");
        for id in [forgotten, stuck] {
            let mut written = 0;
            while streams.write(mine, id, "x".into()).await {
                written += 1;
            }
            assert_eq!(written, PIECES);
        }
        assert_eq!(streams.count(), 1);
        drop(reader);
    }

    #[tokio::test]
    async fn the_writer_waits_for_the_reader_and_notices_its_going() {
        let streams = streams();
        let (mine, other) = (Generation::next(), Generation::next());
        let id = streams.open(mine).unwrap();
        let mut reader = streams.take_reader(id).unwrap();
        assert!(streams.take_reader(id).is_none(), "once");
        assert!(!streams.write(other, id, "x".into()).await, "not its own");
        for _ in 0..PIECES {
            assert!(streams.write(mine, id, "x".into()).await);
        }
        let full = streams.write(mine, id, "y".into());
        tokio::pin!(full);
        assert!(futures_util::poll!(&mut full).is_pending());
        assert_eq!(reader.recv().await.unwrap().unwrap(), "x");
        assert!(full.await);
        drop(reader);
        assert!(!streams.write(mine, id, "z".into()).await);
        streams.close(other, id, None).await;
        assert_eq!(streams.count(), 1, "not its own");
        streams.close(mine, id, None).await;
        assert_eq!(streams.count(), 0);
    }

    #[tokio::test]
    async fn a_reader_learns_of_a_failure() {
        let streams = streams();
        let mine = Generation::next();
        let (failed, unloaded) = (streams.open(mine).unwrap(), streams.open(mine).unwrap());
        let mut readers = [failed, unloaded].map(|id| streams.take_reader(id).unwrap());
        streams
            .close(mine, failed, Some("ValueError: no".into()))
            .await;
        streams.forget_generation(mine);
        for reader in &mut readers {
            assert!(reader.recv().await.unwrap().is_err());
            assert!(reader.recv().await.is_none());
        }
    }
}
