//! JSON text: what the gateway takes ([`body`]), and which strings stand in it as they are, looked at
//! eight bytes at a time, as most do.

pub mod body;

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// The high bit of each byte below `limit`, which is at most 0x80. A byte above one of those may be
/// marked as well, and so may any byte from 0x80 on be missed: only whether there is one at all counts,
/// and only for bytes below 0x80.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGH
}

const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * byte as u64), 1)
}

/// The high bit of some byte where one of the word needs an escape.
const fn escapes(word: u64) -> u64 {
    below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')
}

/// As [`escapes`], for all that is not visible ASCII or a space too.
const fn odd(word: u64) -> u64 {
    escapes(word) | (word & HIGH) | equal(word, 0x7f)
}

/// Whether `mark` finds nothing in any eight bytes.
fn none(bytes: &[u8], mark: impl Fn(u64) -> u64) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        found |= mark(u64::from_ne_bytes(*word));
    }
    // Spaces need no escape.
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    (found | mark(u64::from_ne_bytes(last))) == 0
}

/// Whether the text of a JSON string needs no escape. Wants UTF-8.
pub fn is_clean(bytes: &[u8]) -> bool {
    none(bytes, escapes)
}

/// Whether it is visible ASCII and spaces besides.
pub fn is_clean_ascii(bytes: &[u8]) -> bool {
    none(bytes, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_alike_wherever_it_stands() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    for filler in [b'x', b' ', b'!', 0x7e] {
                        let mut text = vec![filler; length];
                        text[at] = byte;
                        let clean = byte >= 0x20 && byte != b'"' && byte != b'\\';
                        assert_eq!(is_clean(&text), clean, "{byte} at {at} of {length}");
                        let ascii = clean && byte < 0x7f;
                        assert_eq!(is_clean_ascii(&text), ascii, "{byte} at {at} of {length}");
                    }
                }
            }
        }
        assert!(is_clean(b"") && is_clean_ascii(b""));
    }

    #[test]
    fn other_letters_are_clean() {
        for text in ["äöü ß", "日本語のテキスト", "𝄞 and 🙂", "\u{80}\u{9f}"] {
            assert!(is_clean(text.as_bytes()), "{text:?}");
            assert!(!is_clean_ascii(text.as_bytes()), "{text:?}");
        }
        assert!(!is_clean("ä\"ö und so weiter".as_bytes()));
    }
}
