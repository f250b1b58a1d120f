//! One end of the socket between the gateway and a worker: frames leave in batches, and whoever pushes
//! learns when too much waits.

use std::{io, sync::Arc};

use bytes::BytesMut;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::Notify,
};

use crate::frame;

/// A buffer that has held more is given back.
const KEPT_BYTES: usize = 256 * 1024;
/// Read at a time.
const READ_BYTES: usize = 64 * 1024;

/// The way out. Frames of all threads are put down here, and one task writes what has gathered.
pub(crate) struct Outgoing {
    /// Held to append or to swap.
    waiting: Mutex<Waiting>,
    notify: Notify,
    /// Bytes that may wait for the other side.
    most: usize,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Written no more: the other side is gone.
    closed: bool,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// The other side takes too slowly.
    Full,
    /// It is gone.
    Closed,
    /// The frame cannot be written.
    Unwritable,
}

impl Outgoing {
    /// A way out on which so many bytes may wait.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            notify: Notify::new(),
            most,
        })
    }

    /// Puts a frame down, if there is room.
    pub(crate) fn push<T: Serialize>(&self, frame: &T) -> Result<(), NotSent> {
        self.put(frame, self.most)
    }

    /// As [`Self::push`], for what is owed: an answer, a cancellation. How many of these there can be is
    /// bounded by what they answer.
    pub(crate) fn push_owed<T: Serialize>(&self, frame: &T) -> Result<(), NotSent> {
        self.put(frame, usize::MAX)
    }

    fn put<T: Serialize>(&self, frame: &T, most: usize) -> Result<(), NotSent> {
        let first = {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return Err(NotSent::Closed);
            }
            if waiting.bytes.len() >= most {
                return Err(NotSent::Full);
            }
            let first = waiting.bytes.is_empty();
            frame::write(frame, &mut waiting.bytes).map_err(|_| NotSent::Unwritable)?;
            first
        };
        if first {
            self.notify.notify_one();
        }
        Ok(())
    }

    /// Whether a frame would be taken.
    pub(crate) fn has_room(&self) -> bool {
        let waiting = self.waiting.lock();
        !waiting.closed && waiting.bytes.len() < self.most
    }

    /// Takes no more frames; what waits is dropped.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.bytes = Vec::new();
        drop(waiting);
        self.notify.notify_one();
    }

    /// Writes what is pushed until the other side is gone.
    pub(crate) async fn drive(&self, mut socket: OwnedWriteHalf) -> io::Result<()> {
        let mut batch = Vec::new();
        loop {
            self.notify.notified().await;
            // To the end of the turn: what else is ready now goes in the same write.
            tokio::task::yield_now().await;
            {
                let mut waiting = self.waiting.lock();
                if waiting.closed {
                    return Ok(());
                }
                std::mem::swap(&mut waiting.bytes, &mut batch);
            }
            let written = socket.write_all(&batch).await;
            batch.clear();
            if batch.capacity() > KEPT_BYTES {
                batch = Vec::new();
            }
            if let Err(error) = written {
                self.close();
                return Err(error);
            }
        }
    }
}

/// The way in.
pub(crate) struct Incoming {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    /// Longest frame that is taken.
    most: usize,
}

impl Incoming {
    /// A way in for frames of so many bytes at most.
    pub(crate) fn new(socket: OwnedReadHalf, most: usize) -> Self {
        Self {
            socket,
            most,
            buffer: BytesMut::with_capacity(READ_BYTES),
        }
    }

    /// The next frames: at least one; `None` at the end.
    ///
    /// # Errors
    /// What the socket says, and `InvalidData` for what is no frame.
    pub(crate) async fn next<T: for<'de> Deserialize<'de>>(
        &mut self,
        frames: &mut Vec<T>,
    ) -> io::Result<Option<()>> {
        loop {
            while let Some(frame) = frame::take(&mut self.buffer, self.most)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                frames.push(frame);
            }
            if !frames.is_empty() {
                if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
                    self.buffer = BytesMut::with_capacity(READ_BYTES);
                }
                return Ok(Some(()));
            }
            self.buffer.reserve(READ_BYTES);
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}
