//! Frames that the gateway sends: unmasked, never fragmented, encoded once.

use bytes::{BufMut, Bytes, BytesMut};

pub(super) const OP_TEXT: u8 = 0x1;
pub(super) const OP_CLOSE: u8 = 0x8;
pub(super) const OP_PING: u8 = 0x9;
pub(super) const OP_PONG: u8 = 0xA;

/// A close frame's reason may have this many bytes.
const MAX_REASON_BYTES: usize = 123;

/// Bytes in front of a payload of that size.
pub(super) fn head_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Writes the head of a final, unmasked frame.
pub(super) fn put_head(out: &mut BytesMut, opcode: u8, payload_bytes: usize) {
    out.put_u8(0x80 | opcode);
    match payload_bytes {
        0..=125 => out.put_u8(payload_bytes as u8),
        126..=0xFFFF => {
            out.put_u8(126);
            out.put_u16(payload_bytes as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload_bytes as u64);
        }
    }
}

/// A whole frame.
pub(super) fn encode(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(head_bytes(payload.len()) + payload.len());
    put_head(&mut out, opcode, payload.len());
    out.put_slice(payload);
    out.freeze()
}

/// Where the frame ends that the byte before `position` belongs to; `frames` are whole frames of ours.
pub(super) fn end_of_begun(frames: &[u8], position: usize) -> usize {
    let mut end = 0;
    while end < position {
        let payload_bytes = match frames[end + 1] {
            126 => usize::from(u16::from_be_bytes([frames[end + 2], frames[end + 3]])),
            127 => frames[end + 2..end + 10]
                .iter()
                .fold(0, |bytes, digit| bytes << 8 | usize::from(*digit)),
            short => usize::from(short),
        };
        end += head_bytes(payload_bytes) + payload_bytes;
    }
    end
}

/// A close frame; a reason that does not fit is cut at a character.
pub(super) fn encode_close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    encode(OP_CLOSE, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (payload, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = encode(OP_TEXT, &vec![b'a'; payload]);
            assert_eq!(frame.len(), head + payload);
            assert_eq!(head_bytes(payload), head);
            assert_eq!(frame[0], 0x81);
            let said = match frame[1] {
                126 => u16::from_be_bytes([frame[2], frame[3]]) as usize,
                127 => u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize,
                small => small as usize,
            };
            assert_eq!(said, payload);
        }
    }

    #[test]
    fn a_begun_frame_ends_where_the_next_starts() {
        let mut frames = Vec::new();
        let mut ends = Vec::new();
        for payload in [0, 125, 126, 65_535, 65_536] {
            frames.extend_from_slice(&encode(OP_TEXT, &vec![b'a'; payload]));
            ends.push(frames.len());
        }
        assert_eq!(end_of_begun(&frames, 0), 0);
        let mut start = 0;
        for end in ends {
            for position in [start + 1, (start + end) / 2 + 1, end] {
                assert_eq!(end_of_begun(&frames, position), end);
            }
            start = end;
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let frame = encode_close(4401, &"é".repeat(100));
        assert_eq!(frame[1], 2 + 122);
        assert_eq!(&frame[2..4], &4401_u16.to_be_bytes());
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
