use super::*;

fn check(text: &str) -> Result<(), BodyError> {
    check_object(text.as_bytes(), 64)
}

#[test]
fn takes_what_json_allows() {
    for text in [
        "",
        "{}",
        " { } ",
        r#"{"a":1}"#,
        r#"{"a":-0}"#,
        r#"{"a":0}"#,
        r#"{"a":0.5}"#,
        r#"{"a":-0.5e-3}"#,
        r#"{"a":0e5}"#,
        r#"{"a":1E+2}"#,
        r#"{"a":[[],{},null,true,false]}"#,
        r#"{"a":"\u00e4\ud83d\ude00\n\/"}"#,
        "{\"a\":\"ä😀\u{2028}\"}",
        r#"{"a":1e-400}"#,
        r#"{"a":9223372036854775808,"a":2}"#,
        r#"{"":""}"#,
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn refuses_what_json_does_not() {
    for text in [
        " ",
        "\r\n\t",
        "{",
        "}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":-01}"#,
        r#"{"a":-}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e}"#,
        r#"{"a":1e+}"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":-Infinity}"#,
        r#"{"a":-NaN}"#,
        r#"{"a":nul}"#,
        r#"{"a":tru}"#,
        r#"{"a":True}"#,
        r#"{"a":1e400}"#,
        r#"{"a":-1e400}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":"\x41"}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":\"\0\"}",
        r#"{"a":1} x"#,
        r#"{"a":1}{}"#,
        "\u{feff}{}",
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[1"#,
        r#"{"a":"#,
        r#"{"a":"b"#,
        r#"{"a":1 /*x*/}"#,
        r#"{"\ud800":1}"#,
        r#"{"a":0x10}"#,
        r#"{"a":1_000}"#,
        "[1",
        "nul",
        "tru",
        "\"a",
        "1x",
    ] {
        assert!(
            matches!(check(text), Err(BodyError::Invalid(_))),
            "{text}: {:?}",
            check(text)
        );
    }
    assert!(matches!(
        check_object(b"{\"a\":\"\xff\"}", 64),
        Err(BodyError::Invalid(_))
    ));
    assert!(matches!(
        check_object(b"{\"\xc3\x28\":1}", 64),
        Err(BodyError::Invalid(_))
    ));
    assert!(matches!(
        check_object(b"{\"a\":\"\xed\xa0\x80\"}", 64),
        Err(BodyError::Invalid(_))
    ));
}

#[test]
fn names_the_type_of_other_documents() {
    for (text, name) in [
        ("[]", "an array"),
        ("null", "null"),
        ("true", "a boolean"),
        ("\"x\"", "a string"),
        ("-1.5", "a number"),
    ] {
        assert_eq!(check(text), Err(BodyError::WrongType(name)));
    }
}

#[test]
fn keeps_the_limits() {
    let nested = |depth: usize| {
        format!(
            "{}{}",
            "{\"a\":".repeat(depth - 1),
            "{}".to_owned() + &"}".repeat(depth - 1)
        )
    };
    assert_eq!(check(&nested(64)), Ok(()));
    assert!(matches!(check(&nested(65)), Err(BodyError::Invalid(_))));
    assert!(matches!(
        check(&"[".repeat(1_000_000)),
        Err(BodyError::Invalid(_))
    ));
    let int = |digits: usize| format!("{{\"a\":-{}}}", "9".repeat(digits));
    assert_eq!(check(&int(MAX_INT_DIGITS)), Ok(()));
    assert!(matches!(
        check(&int(MAX_INT_DIGITS + 1)),
        Err(BodyError::Invalid(_))
    ));
}

proptest::proptest! {
    #[test]
    fn agrees_with_serde_json_on_bytes(body in proptest::collection::vec(
        proptest::sample::select(br#"{}[]",:0123eE+-.truefalsn \u"#.to_vec()), 0..24)) {
        let mut wrapped = b"{\"a\":".to_vec();
        wrapped.extend_from_slice(&body);
        wrapped.push(b'}');
        let theirs = serde_json::from_slice::<serde_json::Value>(&wrapped).is_ok();
        let ours = check_object(&wrapped, 64).is_ok();
        proptest::prop_assert_eq!(theirs, ours, "{}", String::from_utf8_lossy(&wrapped));
    }
}
