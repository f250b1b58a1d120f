use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

fn read_all(bytes: &[u8], piece: usize) -> Result<Vec<Incoming>, ReadError> {
    let mut reader = FrameReader::new(64 * 1024);
    let mut said = Vec::new();
    for mut input in bytes.chunks(piece) {
        while let Some(incoming) = reader.read(&mut input)? {
            said.push(incoming);
        }
    }
    Ok(said)
}

fn text(said: &str) -> Incoming {
    Incoming::Text(said.into())
}

#[test]
fn messages_arrive_whole_however_they_are_cut() {
    let long = "ä".repeat(20_000);
    let mut bytes = frame(0x81, b"hello");
    bytes.extend(frame(0x81, b""));
    bytes.extend(frame(0x01, "one ".as_bytes()));
    bytes.extend(frame(0x89, b"are you there"));
    bytes.extend(frame(0x00, "two ".as_bytes()));
    bytes.extend(frame(0x8A, b""));
    bytes.extend(frame(0x80, "three".as_bytes()));
    bytes.extend(frame(0x81, long.as_bytes()));
    bytes.extend(frame(0x88, &[0x03, 0xE8]));
    for piece in [1, 2, 3, 7, 4096, usize::MAX] {
        assert_eq!(
            read_all(&bytes, piece).unwrap(),
            [
                text("hello"),
                text(""),
                Incoming::Ping(b"are you there".to_vec()),
                Incoming::Pong,
                text("one two three"),
                text(&long),
                Incoming::Close(Some(1000)),
            ],
            "in pieces of {piece}"
        );
    }
}

#[test]
fn a_character_may_be_split_between_fragments() {
    let euro = "€".as_bytes();
    let mut bytes = frame(0x01, &euro[..1]);
    bytes.extend(frame(0x00, &euro[1..2]));
    bytes.extend(frame(0x80, &euro[2..]));
    assert_eq!(read_all(&bytes, 1).unwrap(), [text("€")]);
}

#[test]
fn broken_text_is_refused_at_every_position() {
    let sequences: &[&[u8]] = &[
        b"\xFF",
        b"\xC0\xAF",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\x80",
        b"\xE2\x28\xA1",
    ];
    for broken in sequences {
        for position in 0..=12 {
            let mut payload = b"abcdefghijkl".to_vec();
            payload.splice(position..position, broken.iter().copied());
            assert_eq!(
                read_all(&frame(0x81, &payload), 3),
                Err(ReadError::InvalidText),
                "{broken:x?} at {position}"
            );
        }
    }
    // Cut off at the end.
    assert_eq!(
        read_all(&frame(0x81, b"ab\xE2\x82"), 64),
        Err(ReadError::InvalidText)
    );
}

#[test]
fn broken_text_is_refused_before_the_message_ends() {
    assert_eq!(
        read_all(&frame(0x01, b"ab\xFFcd"), 64),
        Err(ReadError::InvalidText)
    );
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let mut unmasked = frame(0x81, b"hi");
    unmasked[1] &= 0x7F;
    let mut interrupted = frame(0x01, b"one");
    interrupted.extend(frame(0x81, b"two"));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not masked", unmasked),
        ("rsv1", frame(0xC1, b"hi")),
        ("rsv2", frame(0xA1, b"hi")),
        ("rsv3", frame(0x91, b"hi")),
        ("opcode 3", frame(0x83, b"hi")),
        ("opcode B", frame(0x8B, b"hi")),
        ("fragmented ping", frame(0x09, b"hi")),
        ("long ping", frame(0x89, &[0; 126])),
        ("nothing to continue", frame(0x80, b"hi")),
        ("new message inside another", interrupted),
        (
            "16-bit length not minimal",
            vec![0x81, 0xFE, 0, 5, 1, 2, 3, 4],
        ),
        (
            "64-bit length not minimal",
            vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4],
        ),
        (
            "negative length",
            vec![0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4],
        ),
        ("close with one byte", frame(0x88, &[3])),
        ("close with 1005", frame(0x88, &1005_u16.to_be_bytes())),
        ("close with 1006", frame(0x88, &1006_u16.to_be_bytes())),
        ("close with 999", frame(0x88, &999_u16.to_be_bytes())),
        ("close with 1016", frame(0x88, &1016_u16.to_be_bytes())),
        ("close with 5000", frame(0x88, &5000_u16.to_be_bytes())),
    ];
    for (name, bytes) in cases {
        for piece in [1, 64] {
            let result = read_all(&bytes, piece);
            assert!(
                matches!(result, Err(ReadError::Protocol(_))),
                "{name} in pieces of {piece}: {result:?}"
            );
        }
    }
    assert_eq!(read_all(&frame(0x82, b"hi"), 64), Err(ReadError::Binary));
    assert_eq!(
        read_all(&frame(0x88, b"\x03\xE8\xFF"), 64),
        Err(ReadError::InvalidText)
    );
}

#[test]
fn close_codes_that_may_be_sent_are_taken() {
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999_u16] {
        assert_eq!(
            read_all(&frame(0x88, &code.to_be_bytes()), 64).unwrap(),
            [Incoming::Close(Some(code))]
        );
    }
    assert_eq!(
        read_all(&frame(0x88, b""), 64).unwrap(),
        [Incoming::Close(None)]
    );
}

#[test]
fn size_is_refused_from_the_head_alone() {
    let limit = 64 * 1024;
    let fits = "a".repeat(limit);
    assert_eq!(
        read_all(&frame(0x81, fits.as_bytes()), 4096).unwrap(),
        [text(&fits)]
    );
    let large = frame(0x81, &vec![b'a'; limit + 1]);
    assert_eq!(read_all(&large[..14], 64), Err(ReadError::TooLarge(limit)));
    let mut fragments = frame(0x01, &vec![b'a'; limit]);
    fragments.extend(frame(0x80, b"b"));
    assert_eq!(read_all(&fragments, 4096), Err(ReadError::TooLarge(limit)));
    let huge = [
        0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4,
    ];
    assert_eq!(read_all(&huge, 64), Err(ReadError::TooLarge(limit)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512), piece in 1_usize..32) {
        let _ = read_all(&bytes, piece);
    }

    #[test]
    fn any_text_in_any_fragments_arrives(said in ".{0,200}", cuts in proptest::collection::vec(0_usize..800, 0..6), piece in 1_usize..64) {
        let payload = said.as_bytes();
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(payload.len())).collect();
        ends.sort_unstable();
        ends.push(payload.len());
        let mut bytes = Vec::new();
        let mut start = 0;
        for (index, end) in ends.iter().enumerate() {
            let opcode = if index == 0 { 0x1 } else { 0x0 };
            let last = if index == ends.len() - 1 { 0x80 } else { 0 };
            bytes.extend(frame(opcode | last, &payload[start..*end]));
            start = *end;
        }
        prop_assert_eq!(read_all(&bytes, piece).unwrap(), vec![text(&said)]);
    }
}
