//! A message to clients, encoded once and shared by everyone who receives it.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    budget::{Budget, Holders},
    frame,
};

/// A JSON object as a ready WebSocket frame.
#[derive(Debug)]
pub struct Message {
    /// The whole text frame, head and payload; of joined messages all of them.
    frame: Bytes,
    /// Where in `frame` the payload starts.
    payload_start: usize,
    /// In how many connections' queues it waits.
    queued: Holders,
    /// In how many users' histories it is kept.
    kept: Holders,
}

/// Why something is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Clients expect objects; `_epoch` and `_offset` need a place.
    #[error("a message must be a JSON object")]
    NotAnObject,
    /// Over the limit.
    #[error("the message has {bytes} bytes, {limit_bytes} are allowed")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What is allowed.
        limit_bytes: usize,
    },
    /// It has no form in JSON.
    #[error("the message has no form in JSON")]
    NotSerializable,
}

impl Message {
    /// From JSON that has been checked already.
    ///
    /// # Errors
    /// [`MessageError`] where it is no object or has more than `limit_bytes`.
    pub fn from_raw(json: &RawValue, limit_bytes: usize) -> Result<Arc<Self>, MessageError> {
        Self::from_object_text(json.get().trim_ascii().as_bytes(), limit_bytes)
    }

    /// As [`Self::from_raw`], with `_group` added at the object's end.
    ///
    /// # Errors
    /// As [`Self::from_raw`].
    pub fn for_group(
        json: &RawValue,
        group: &str,
        limit_bytes: usize,
    ) -> Result<Arc<Self>, MessageError> {
        let text = json.get().trim_ascii().as_bytes();
        // Checked first, so that what is said of its size is of what was given.
        let checked = Self::from_object_text(text, limit_bytes)?;
        let open = checked.payload()[..text.len() - 1].trim_ascii_end();
        let comma = if open.len() > 1 { "," } else { "" };
        let name = serde_json::to_string(group).map_err(|_| MessageError::NotSerializable)?;
        let text = [open, format!("{comma}\"_group\":{name}}}").as_bytes()].concat();
        Self::from_object_text(&text, usize::MAX)
    }

    /// From any value that serialises as an object.
    ///
    /// # Errors
    /// As [`Self::from_raw`].
    pub fn from_value(
        value: &impl Serialize,
        limit_bytes: usize,
    ) -> Result<Arc<Self>, MessageError> {
        let text = serde_json::to_vec(value).map_err(|_| MessageError::NotSerializable)?;
        Self::from_object_text(&text, limit_bytes)
    }

    fn from_object_text(text: &[u8], limit_bytes: usize) -> Result<Arc<Self>, MessageError> {
        if text.first() != Some(&b'{') {
            return Err(MessageError::NotAnObject);
        }
        if text.len() > limit_bytes {
            return Err(MessageError::TooLarge {
                bytes: text.len(),
                limit_bytes,
            });
        }
        Ok(Arc::new(Self {
            frame: frame::encode(frame::OP_TEXT, text),
            payload_start: frame::head_bytes(text.len()),
            queued: Holders::default(),
            kept: Holders::default(),
        }))
    }

    /// Several messages' frames in one piece, to be written together. It has no payload of its own.
    pub(super) fn join(messages: &[Arc<Self>]) -> Arc<Self> {
        let bytes = messages.iter().map(|message| message.frame.len()).sum();
        let mut frames = BytesMut::with_capacity(bytes);
        for message in messages {
            frames.put_slice(&message.frame);
        }
        Arc::new(Self {
            payload_start: frames.len(),
            frame: frames.freeze(),
            queued: Holders::default(),
            kept: Holders::default(),
        })
    }

    /// The JSON text.
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.payload_start..]
    }

    pub(super) fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The frame with `_epoch` and `_offset` added at the object's end.
    pub(super) fn tracked_frame(&self, epoch: &str, offset: u64) -> Bytes {
        let payload = self.payload();
        let open = payload[..payload.len() - 1].trim_ascii_end();
        let comma = if open.len() > 1 { "," } else { "" };
        let tail = format!("{comma}\"_epoch\":\"{epoch}\",\"_offset\":{offset}}}");
        let bytes = open.len() + tail.len();
        let mut out = BytesMut::with_capacity(frame::head_bytes(bytes) + bytes);
        frame::put_head(&mut out, frame::OP_TEXT, bytes);
        out.put_slice(open);
        out.put_slice(tail.as_bytes());
        out.freeze()
    }

    /// The same message as a server-sent event. With `position` the event has an id to resume from.
    pub(super) fn event(&self, position: Option<(&str, u64)>) -> Bytes {
        let payload = self.payload();
        let mut out = BytesMut::with_capacity(payload.len() + 64);
        if let Some((epoch, offset)) = position {
            out.put_slice(format!("id: {epoch}:{offset}\n").as_bytes());
        }
        // Line breaks can stand between JSON tokens, and each line of an event needs its field.
        for line in payload.split(|byte| matches!(byte, b'\n' | b'\r')) {
            out.put_slice(b"data: ");
            out.put_slice(line);
            out.put_u8(b'\n');
        }
        out.put_u8(b'\n');
        out.freeze()
    }

    pub(super) fn enter_queue(&self, budget: &Budget) -> bool {
        self.queued.enter(self.frame.len(), budget)
    }

    pub(super) fn leave_queue(&self, budget: &Budget) {
        self.queued.leave(self.frame.len(), budget);
    }

    pub(super) fn enter_history(&self, budget: &Budget) -> bool {
        self.kept.enter(self.frame.len(), budget)
    }

    pub(super) fn leave_history(&self, budget: &Budget) {
        self.kept.leave(self.frame.len(), budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Result<Arc<Message>, MessageError> {
        Message::from_raw(&serde_json::from_str::<Box<RawValue>>(text).unwrap(), 64)
    }

    #[test]
    fn only_objects_within_the_limit_are_messages() {
        assert_eq!(message("[1]").unwrap_err(), MessageError::NotAnObject);
        assert_eq!(message("null").unwrap_err(), MessageError::NotAnObject);
        assert!(matches!(
            message(&format!("{{\"a\":\"{}\"}}", "x".repeat(64))).unwrap_err(),
            MessageError::TooLarge {
                limit_bytes: 64,
                ..
            }
        ));
        assert_eq!(message(" {\"a\":1} ").unwrap().payload(), b"{\"a\":1}");
    }

    #[test]
    fn position_is_added_to_full_and_empty_objects_and_wins() {
        for text in ["{}", "{ }", "{\"a\":1}", "{\"a\":1\n}", "{\"_offset\":1}"] {
            let frame = message(text).unwrap().tracked_frame("e1", 7);
            let value: serde_json::Value = serde_json::from_slice(&frame[2..]).unwrap();
            assert_eq!(value["_epoch"], "e1", "{text}");
            assert_eq!(value["_offset"], 7, "{text}");
            assert_eq!(frame[1] as usize, frame.len() - 2, "{text}");
        }
    }

    #[test]
    fn an_event_keeps_every_line() {
        let event = message("{\"a\":\n1}").unwrap().event(Some(("e1", 7)));
        assert_eq!(&event[..], b"id: e1:7\ndata: {\"a\":\ndata: 1}\n\n");
        let event = message("{}").unwrap().event(None);
        assert_eq!(&event[..], b"data: {}\n\n");
    }
}
