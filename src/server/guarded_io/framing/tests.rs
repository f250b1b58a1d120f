use super::*;

fn followed(pieces: &[&[u8]]) -> (Framing, Arc<Findings>) {
    let findings = Arc::new(Findings::default());
    let mut framing = Framing::new(Arc::clone(&findings));
    for piece in pieces {
        framing.follow(piece);
    }
    (framing, findings)
}

/// The state after the bytes in one piece, which is that after them in any two and byte by byte.
fn state_after(text: &str) -> State {
    let bytes = text.as_bytes();
    let (whole, _) = followed(&[bytes]);
    for at in 1..bytes.len() {
        let (cut, _) = followed(&[&bytes[..at], &bytes[at..]]);
        assert_eq!(cut.state, whole.state, "{text:?} cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(followed(&single).0.state, whole.state, "{text:?}");
    whole.state
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn requests_of_every_framing_end_where_the_next_begins() {
    for text in [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\nhost: x\n\n",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nCONTENT-LENGTH:5 \r\nx: y\r\n\r\na\r\n\r\n",
        &format!("{CHUNKED}0\r\n\r\n"),
        &format!("{CHUNKED}3\r\n\n\n\n\r\n0A ;x=\"y\"\r\n0123456789\r\n000\r\n\r\n"),
        &format!("{CHUNKED}0\r\na: b\r\nc: d\r\n\r\n{CHUNKED}0\r\n\r\n"),
    ] {
        assert_eq!(state_after(text), State::Head, "{text:?}");
        let (again, _) = followed(&[text.as_bytes(), CHUNKED.as_bytes()]);
        assert_eq!(again.state, State::SizeStart, "after {text:?}");
    }
}

#[test]
fn each_request_with_a_transfer_encoding_has_its_finding() {
    let other = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let good = format!("{CHUNKED}1\r\nx\r\n0\r\n\r\n");
    let bad = format!("{CHUNKED}0\r\n\n{other}");
    let text = [other, &good, other, &good, &bad, &good].concat();
    let (framing, findings) = followed(&[text.as_bytes()]);
    assert_eq!(framing.state, State::Lost);
    assert_eq!(findings.heads.lock().len(), 3);
    assert!(!findings.take().is_broken());
    assert!(!findings.take().is_broken());
    assert!(findings.take().is_broken());
}

#[test]
fn trailers_end_their_lines_with_both_characters() {
    for (trailers, is_broken) in [
        ("\r\n", false),
        ("a: b\r\n\r\n", false),
        ("a:\rb\r\n\r\n", false),
        ("\n", true),
        ("\n\r\n", true),
        ("a: b\n\r\n", true),
        ("a: b\r\n\n", true),
        ("a: b\n\nGET / HTTP/1.1\r\n\r\n", true),
    ] {
        let text = format!("{CHUNKED}0\r\n{trailers}");
        let (_, findings) = followed(&[text.as_bytes()]);
        assert_eq!(findings.take().is_broken(), is_broken, "{trailers:?}");
    }
}

#[test]
fn the_largest_chunk_is_a_size_like_any_other() {
    let text = format!("{CHUNKED}ffffffffffffffff\r\nx");
    assert_eq!(state_after(&text), State::Data(u64::MAX - 1));
}

#[test]
fn what_cannot_be_read_is_not_followed_any_further() {
    let zeros = "0".repeat(80);
    for text in [
        format!("POST / HTTP/1.1\r\ncontent-length: {zeros}3\r\n\r\n"),
        "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n".into(),
        "POST / HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\n".into(),
        "POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n".into(),
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n".into(),
        "POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n".into(),
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n"
            .into(),
        format!("{CHUNKED}g\r\n"),
        format!("{CHUNKED}\r\n"),
        format!("{CHUNKED}fffffffffffffffff\r\n"),
        format!("{CHUNKED}1\r\nxx"),
        format!("{CHUNKED}1\nx\r\n"),
    ] {
        assert_eq!(state_after(&text), State::Lost, "{text:?}");
    }
}
