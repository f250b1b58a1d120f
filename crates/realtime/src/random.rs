//! Names nobody can guess.

use std::fmt::Write as _;

/// `BYTES` random bytes from the operating system's generator, in lower-case hex.
pub(super) fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).expect("invariant: the system's generator answers");
    let mut text = String::with_capacity(BYTES * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("invariant: writing to a String does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_differ_and_are_hex() {
        let (one, two) = (super::random_hex::<16>(), super::random_hex::<16>());
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
