//! Tokens that attack the verifier by their shape, header or algorithm.

use std::{io::ErrorKind, net::TcpListener};

use super::*;

#[test]
fn a_good_token_is_accepted() {
    let (verifier, _) = build(&secret_config());
    let principal = verdict(&verifier, &hs256(&claims(json!({})))).unwrap();
    assert_eq!(&*principal.user_id, "u1");
    assert_eq!(&*principal.app_id, "default");
}

#[test]
fn tokens_of_a_wrong_shape_are_invalid() {
    let (verifier, _) = build(&secret_config());
    let good = hs256(&claims(json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let shapes = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "garbage".into(),
        "\u{0}\u{1}\u{fffd}".into(),
        message.to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{good}A"),
        format!("{message}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")),
        format!("{header}.{payload}.*"),
        format!("{}.{payload}.{signature}", base64url("{}")),
        format!("{}.{payload}.{signature}", base64url("[]")),
        format!("{}.{payload}.{signature}", base64url("\"HS256\"")),
        format!("{}.{payload}.{signature}", base64url(b"\xff\xfe")),
    ];
    for token in shapes {
        if token == good {
            continue;
        }
        assert!(
            matches!(verdict(&verifier, &token), Err(AuthError::Invalid(_))),
            "{token:?}"
        );
    }
}

#[test]
fn a_changed_last_character_of_the_signature_is_noticed() {
    let (verifier, _) = build(&secret_config());
    let good = hs256(&claims(json!({})));
    let last = good.chars().next_back().unwrap();
    for other in ('A'..='Z').chain('a'..='z').chain('0'..='9') {
        if other != last {
            let token = format!("{}{other}", &good[..good.len() - 1]);
            assert!(verdict(&verifier, &token).is_err(), "{other} for {last}");
        }
    }
}

#[test]
fn trailing_data_in_a_signed_part_is_invalid() {
    let (verifier, _) = build(&secret_config());
    let payload = claims(json!({})).to_string();
    for token in [
        hs256_raw(r#"{"alg":"HS256"}{"alg":"HS256"}"#, &payload),
        hs256_raw(r#"{"alg":"HS256"}"#, &format!("{payload}{payload}")),
        hs256_raw(r#"{"alg":"HS256"}"#, &format!("{payload}x")),
        hs256_raw(r#"{"alg":"HS256"}"#, "[]"),
        hs256_raw(r#"{"alg":"HS256"}"#, "null"),
        hs256_raw(r#"{"alg":"HS256"}"#, ""),
    ] {
        assert!(matches!(
            verdict(&verifier, &token),
            Err(AuthError::Invalid(_))
        ));
    }
}

#[test]
fn a_large_token_is_refused_before_any_work() {
    let (verifier, _) = build(&secret_config());
    let padding = "x".repeat(9 * 1024);
    let token = hs256(&claims(json!({ "padding": padding })));
    assert_eq!(verdict(&verifier, &token), Err(AuthError::TooLarge));
    assert_eq!(
        verdict(&verifier, &"a".repeat(8 * 1024 + 1)),
        Err(AuthError::TooLarge)
    );
    assert!(matches!(
        verdict(&verifier, &"a".repeat(8 * 1024)),
        Err(AuthError::Invalid(_))
    ));
    assert_eq!(
        verifier.cache_stats().misses,
        1,
        "the large ones were not even hashed"
    );
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let (verifier, _) = build(&secret_config());
    let payload = base64url(claims(json!({})).to_string());
    for name in [
        "none", "None", "NONE", "nOnE", "NonE", "none ", " none", "", "null",
    ] {
        let header = base64url(json!({ "alg": name }).to_string());
        let good = hs256_raw(
            &json!({ "alg": name }).to_string(),
            &claims(json!({})).to_string(),
        );
        for token in [
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{header}.{payload}.AAAA"),
            good,
        ] {
            assert!(
                matches!(verdict(&verifier, &token), Err(AuthError::Invalid(_))),
                "{name:?}"
            );
        }
    }
    for header in [
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":1}"#,
        r#"{"typ":"JWT"}"#,
    ] {
        let token = hs256_raw(header, &claims(json!({})).to_string());
        assert!(verdict(&verifier, &token).is_err(), "{header}");
    }
}

#[test]
fn only_the_configured_algorithm_of_the_secret_is_taken() {
    let (verifier, _) = build(&secret_config());
    let key = EncodingKey::from_secret(SECRET);
    let payload = claims(json!({})).to_string();
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = sign_raw(
            &format!(r#"{{"alg":"{algorithm:?}"}}"#),
            &payload,
            &key,
            algorithm,
        );
        assert!(verdict(&verifier, &token).is_err(), "{algorithm:?}");
        let config = AuthConfig {
            keys: Some(KeySource::Secret {
                secret: SECRET.to_vec(),
                algorithm: format!("{algorithm:?}"),
            }),
            ..AuthConfig::default()
        };
        assert!(verdict(&build(&config).0, &token).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_public_key_is_not_a_shared_secret() {
    let key = TestKey::rsa();
    let public = file(&key.public_pem);
    let (verifier, _) = build(&pem_config(&public));
    let payload = claims(json!({})).to_string();
    let spki = key.public_pem.as_bytes();
    for secret in [spki, key.public_pem.trim().as_bytes()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = sign_raw(
                &format!(r#"{{"alg":"{algorithm:?}"}}"#),
                &payload,
                &EncodingKey::from_secret(secret),
                algorithm,
            );
            assert_eq!(
                verdict(&verifier, &token),
                Err(AuthError::Invalid("its algorithm is not one of the key's"))
            );
        }
    }
}

#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let (verifier, _) = build(&secret_config());
    let payload = claims(json!({})).to_string();
    // The one secret has no id, so that whatever a token calls its key is not looked at.
    for id in [
        "../../etc/passwd",
        "' OR 1=1 --",
        "\u{0}",
        "http://127.0.0.1/",
        "",
    ] {
        let header = json!({"alg": "HS256", "kid": id}).to_string();
        assert!(verdict(&verifier, &hs256_raw(&header, &payload)).is_ok());
    }
    for header in [
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","kid":["a"]}"#,
        r#"["HS256"]"#,
        r#"["HS256",null]"#,
    ] {
        assert!(verdict(&verifier, &hs256_raw(header, &payload)).is_err());
    }

    let key = TestKey::p256();
    let document = file(&jwks(&[key.jwk_named("k1")]));
    let (verifier, _) = build(&jwks_file_config(&document));
    let token = key.sign(
        Algorithm::ES256,
        Some("../../etc/passwd"),
        &claims(json!({})),
    );
    assert_eq!(
        verdict(&verifier, &token),
        Err(AuthError::Invalid(
            "it was signed with a key that is not known"
        ))
    );
}

#[test]
fn keys_that_a_token_brings_are_neither_used_nor_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let own = TestKey::p256();
    let attacker = TestKey::p256();
    let document = file(&jwks(&[own.jwk_named("k1")]));
    let (verifier, _) = build(&jwks_file_config(&document));
    let brought = [
        json!({"jku": url}),
        json!({"x5u": url}),
        json!({"jwk": attacker.jwk}),
        json!({"jwk": "not even a key", "jku": 7, "x5u": [], "x5c": ["x"]}),
    ];
    for extra in brought {
        let mut header = json!({"alg": "ES256", "kid": "k1"});
        for (name, value) in extra.as_object().unwrap() {
            header[name] = value.clone();
        }
        let payload = claims(json!({})).to_string();
        let token = |key: &TestKey| {
            sign_raw(
                &header.to_string(),
                &payload,
                &key.private,
                Algorithm::ES256,
            )
        };
        assert!(verdict(&verifier, &token(&own)).is_ok(), "{extra}");
        assert!(verdict(&verifier, &token(&attacker)).is_err(), "{extra}");
    }
    let error = listener.accept().unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::WouldBlock,
        "somebody has connected"
    );
}

#[test]
fn a_header_is_an_object_in_utf8() {
    let (verifier, _) = build(&secret_config());
    let payload = claims(json!({})).to_string();
    let signed = |header: &[u8]| {
        let message = format!("{}.{}", base64url(header), base64url(&payload));
        let key = EncodingKey::from_secret(SECRET);
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    assert!(verdict(&verifier, &signed(br#" {"alg":"HS256","x":"y"}"#)).is_ok());
    for header in [
        &br#"["HS256"]"#[..],
        br#" ["HS256",null,null]"#,
        b"{\"alg\":\"HS256\",\"x\":\"\xff\"}",
        b"{\"alg\":\"HS256\",\"\xc3\x28\":1}",
        b"{\"alg\":\"HS256\",\"x\":\"\xed\xa0\x80\"}",
    ] {
        assert_eq!(
            verdict(&verifier, &signed(header)),
            Err(AuthError::Invalid("its header is not what a token needs")),
            "{}",
            String::from_utf8_lossy(header)
        );
    }
}

#[test]
fn any_critical_extension_is_refused() {
    let (verifier, _) = build(&secret_config());
    let payload = claims(json!({})).to_string();
    for crit in [
        r#"["b64"]"#,
        r#"["exp"]"#,
        r#"["unknown"]"#,
        "[]",
        "null",
        r#""exp""#,
        "1",
    ] {
        let header = format!(r#"{{"alg":"HS256","b64":true,"crit":{crit}}}"#);
        assert_eq!(
            verdict(&verifier, &hs256_raw(&header, &payload)),
            Err(AuthError::Invalid(
                "it demands extensions (crit) that are not supported"
            )),
            "{crit}"
        );
    }
    let header = r#"{"alg":"HS256","alg":"HS256"}"#;
    assert!(verdict(&verifier, &hs256_raw(header, &payload)).is_err());
}
