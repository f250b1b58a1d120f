//! Text that is kept only up to a size, cut between characters.
//!
//! The standard library's `floor_char_boundary` is younger than the oldest compiler that is supported.

/// As much of the beginning as may be kept.
pub(crate) fn head(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// As much of the end as may be kept.
pub(crate) fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_cut_within_a_character() {
        let text = "aé€";
        let heads = ["", "a", "a", "aé", "aé", "aé", "aé€", "aé€"];
        let tails = ["", "", "", "€", "€", "é€", "aé€", "aé€"];
        for most in 0..heads.len() {
            assert_eq!(head(text, most), heads[most], "{most}");
            assert_eq!(tail(text, most), tails[most], "{most}");
        }
    }
}
