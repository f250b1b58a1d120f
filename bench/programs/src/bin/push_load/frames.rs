//! Counts the frames of a server without copying them: only what a read cut off is kept.

/// Bytes in front of what is read, for what the read before left over.
pub const HEADROOM: usize = 192;
/// Messages of the benchmark start with `{"t":<nanoseconds since 1970>,`; this much is looked at.
const LOOK_BYTES: usize = 32;

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message has arrived to its last byte.
    Text {
        /// When it was sent, if it says so.
        sent_at_ns: Option<u64>,
    },
    /// To be answered with the same payload.
    Ping(&'a [u8]),
    /// The server closes, with this code (0: without one).
    Close(u16),
    /// Nothing to do.
    Other,
}

/// Reads the frames of one connection.
#[derive(Default)]
pub struct FrameCounter {
    /// A text frame whose payload is being skipped: the bytes left and when it was sent.
    pending: Option<(usize, Option<u64>)>,
    /// The start of a frame that a read cut off.
    carried: Vec<u8>,
}

impl FrameCounter {
    /// Takes `read` bytes that stand behind the headroom of `buffer`.
    pub fn take(&mut self, buffer: &mut [u8], read: usize, mut found: impl FnMut(Frame<'_>)) {
        let start = HEADROOM - self.carried.len();
        buffer[start..HEADROOM].copy_from_slice(&self.carried);
        self.carried.clear();
        let mut rest = &buffer[start..HEADROOM + read];
        loop {
            if let Some((left, sent_at_ns)) = self.pending {
                if rest.len() < left {
                    self.pending = Some((left - rest.len(), sent_at_ns));
                    return;
                }
                rest = &rest[left..];
                self.pending = None;
                found(Frame::Text { sent_at_ns });
            }
            let Some((opcode, head_bytes, payload_bytes)) = head(rest) else {
                break;
            };
            let is_text = opcode == 0x1;
            let look = if is_text {
                payload_bytes.min(LOOK_BYTES)
            } else {
                payload_bytes
            };
            let Some(seen) = rest.get(head_bytes..head_bytes + look) else {
                break;
            };
            rest = &rest[head_bytes..];
            if is_text {
                self.pending = Some((payload_bytes, sent_at(seen)));
                continue;
            }
            rest = &rest[look..];
            found(match opcode {
                0x8 => Frame::Close(
                    seen.first_chunk()
                        .map_or(0, |code| u16::from_be_bytes(*code)),
                ),
                0x9 => Frame::Ping(seen),
                _ => Frame::Other,
            });
        }
        // Less than a head and what is looked at; control frames have at most 125 bytes.
        self.carried.extend_from_slice(rest);
    }
}

/// Opcode, length of the head, length of the payload; `None` where the head is not complete.
fn head(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (head_bytes, payload_bytes) = match second & 0x7F {
        126 => (
            4,
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        127 => (
            10,
            u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize,
        ),
        short => (2, usize::from(short)),
    };
    Some((first & 0x0F, head_bytes, payload_bytes))
}

fn sent_at(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(b"{\"t\":")?;
    let digits = digits.strip_prefix(b" ").unwrap_or(digits);
    let number =
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_u64, |number, digit| {
                number
                    .wrapping_mul(10)
                    .wrapping_add(u64::from(digit - b'0'))
            });
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_counts_the_same() {
        let text = br#"{"t":1763650000000000123,"text":"xxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
        let long = [text.as_slice(), &[b' '; 200]].concat();
        let mut sent = vec![0x81, text.len() as u8];
        sent.extend_from_slice(text);
        sent.extend_from_slice(&[0x89, 4, 1, 2, 3, 4, 0x81, 126, 0, 0]);
        let at = sent.len() - 2;
        sent[at..].copy_from_slice(&(long.len() as u16).to_be_bytes());
        sent.extend_from_slice(&long);
        sent.extend_from_slice(&[0x81, 2, b'{', b'}', 0x88, 2, 0x11, 0x38]);
        for piece in 1..sent.len() {
            let mut counter = FrameCounter::default();
            let mut found = Vec::new();
            for chunk in sent.chunks(piece) {
                let mut buffer = vec![0; HEADROOM + chunk.len()];
                buffer[HEADROOM..].copy_from_slice(chunk);
                counter.take(&mut buffer, chunk.len(), |frame| {
                    found.push(format!("{frame:?}"))
                });
            }
            let stamped = "Text { sent_at_ns: Some(1763650000000000123) }";
            let plain = "Text { sent_at_ns: None }";
            assert_eq!(
                found,
                [stamped, "Ping([1, 2, 3, 4])", stamped, plain, "Close(4408)"]
            );
        }
    }
}
