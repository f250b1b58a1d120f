//! Keys from PEM and JWKS files, and what each may be used with.

use super::*;

fn accepted(verifier: &TokenVerifier, key: &TestKey, id: Option<&str>) -> Vec<Algorithm> {
    const ALL: [Algorithm; 9] = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    ALL.into_iter()
        .filter(|algorithm| {
            let header = match id {
                None => json!({"alg": format!("{algorithm:?}")}),
                Some(id) => json!({"alg": format!("{algorithm:?}"), "kid": id}),
            };
            let message = format!(
                "{}.{}",
                base64url(header.to_string()),
                base64url(claims(json!({})).to_string())
            );
            // A key that cannot sign with the algorithm makes no token to be tried.
            crypto::sign(message.as_bytes(), &key.private, *algorithm)
                .is_ok_and(|signature| verdict(verifier, &format!("{message}.{signature}")).is_ok())
        })
        .collect()
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[test]
fn a_pem_key_is_used_with_the_algorithms_of_its_kind() {
    let (p256, p384, ed) = (TestKey::p256(), TestKey::p384(), TestKey::ed25519());
    let cases: [(&TestKey, &[Algorithm]); 4] = [
        (TestKey::rsa(), &RSA),
        (&p256, &[Algorithm::ES256]),
        (&p384, &[Algorithm::ES384]),
        (&ed, &[Algorithm::EdDSA]),
    ];
    for (key, algorithms) in cases {
        let public = file(&key.public_pem);
        let (verifier, _) = build(&pem_config(&public));
        assert_eq!(accepted(&verifier, key, None), algorithms);
        assert_eq!(accepted(&verifier, key, Some("any")), algorithms);
    }
}

#[test]
fn a_jwk_is_used_with_its_alg_else_with_those_of_its_kind() {
    let rsa = TestKey::rsa();
    let (p256, p384, ed) = (TestKey::p256(), TestKey::p384(), TestKey::ed25519());
    let mut only_ps = rsa.jwk_named("ps");
    only_ps["alg"] = "PS256".into();
    let document = file(&jwks(&[
        rsa.jwk_named("rsa"),
        only_ps,
        p256.jwk_named("p256"),
        p384.jwk_named("p384"),
        ed.jwk_named("ed"),
    ]));
    let (verifier, _) = build(&jwks_file_config(&document));
    assert_eq!(verifier.key_count(), 5);
    assert_eq!(accepted(&verifier, rsa, Some("rsa")), RSA);
    assert_eq!(accepted(&verifier, rsa, Some("ps")), [Algorithm::PS256]);
    assert_eq!(accepted(&verifier, &p256, Some("p256")), [Algorithm::ES256]);
    assert_eq!(accepted(&verifier, &p384, Some("p384")), [Algorithm::ES384]);
    assert_eq!(accepted(&verifier, &ed, Some("ed")), [Algorithm::EdDSA]);
    // The right key under another's name is a wrong key.
    assert!(accepted(&verifier, &p256, Some("ed")).is_empty());
    // Without a name every key that fits is tried.
    assert_eq!(accepted(&verifier, &p384, None), [Algorithm::ES384]);
}

#[test]
fn unusable_keys_of_a_document_are_passed_over() {
    let key = TestKey::p256();
    let short = base64url([0xff; 128]);
    let mut encryption = key.jwk_named("enc");
    encryption["use"] = "enc".into();
    let mut wrong_alg = key.jwk_named("alg");
    wrong_alg["alg"] = "RS256".into();
    let mut signs_only = key.jwk_named("ops");
    signs_only["key_ops"] = json!(["sign"]);
    let mut nothing = key.jwk_named("none");
    nothing["key_ops"] = json!([]);
    let mut wrong_curve = key.jwk_named("crv");
    wrong_curve["crv"] = "P-384".into();
    let unusable = [
        json!({"kty": "oct", "kid": "oct", "k": base64url(SECRET), "alg": "HS256"}),
        json!({"kty": "RSA", "kid": "short", "n": short, "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "no-e", "n": base64url([0xff; 256])}),
        json!({"kty": "EC", "kid": "no-y", "crv": "P-256", "x": base64url([1; 32])}),
        json!({"kty": "OKP", "kid": "x448", "crv": "Ed448", "x": base64url([1; 57])}),
        json!({"kty": "unheard-of", "kid": "kty"}),
        json!("not an object"),
        encryption,
        wrong_alg,
        wrong_curve,
        signs_only,
        nothing,
    ];
    for jwk in &unusable {
        let document = file(&jwks(std::slice::from_ref(jwk)));
        let built = TokenVerifier::from_config(&jwks_file_config(&document));
        assert!(built.is_err(), "{jwk}");
    }
    let mut good = key.jwk_named("good");
    good["key_ops"] = json!(["verify"]);
    let document = file(&jwks(&[&unusable[..], &[good]].concat()));
    let (verifier, _) = build(&jwks_file_config(&document));
    assert_eq!(verifier.key_count(), 1);
    assert!(verdict(&verifier, &hs256(&claims(json!({})))).is_err());
    let header = json!({"alg": "HS256", "kid": "oct"}).to_string();
    let token = hs256_raw(&header, &claims(json!({})).to_string());
    assert!(verdict(&verifier, &token).is_err());
}

#[test]
fn files_that_hold_no_usable_key_are_refused_with_a_reason() {
    let key = TestKey::rsa();
    // RSAPublicKey with a modulus of 1024 bits.
    let mut short = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
    short.extend([0xc1; 128]);
    short.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    for (text, reason) in [
        (key.private_pem.clone(), "private key"),
        (TestKey::p256().private_pem, "private key"),
        (pem("CERTIFICATE", b"whatever"), "certificate"),
        (pem("RSA PUBLIC KEY", &short), "1024 bits"),
        (pem("PUBLIC KEY", b"whatever"), "no public key"),
        ("no PEM at all".into(), "no public key"),
        (String::new(), "no public key"),
    ] {
        let public = file(&text);
        let error = TokenVerifier::from_config(&pem_config(&public))
            .err()
            .unwrap();
        assert!(error.contains(reason), "{error} lacks {reason}");
        assert!(error.starts_with("jwt_public_key_file"), "{error}");
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
        let document = file(text);
        let error = TokenVerifier::from_config(&jwks_file_config(&document))
            .err()
            .unwrap();
        assert!(error.starts_with("jwks_file"), "{error}");
    }
    let missing = AuthConfig {
        keys: Some(KeySource::PemFile("/nonexistent/key.pem".into())),
        ..AuthConfig::default()
    };
    assert!(TokenVerifier::from_config(&missing).is_err());
    assert!(TokenVerifier::from_config(&AuthConfig::default()).is_err());
}

#[test]
fn a_short_secret_is_refused() {
    let config = |length: usize| AuthConfig {
        keys: Some(KeySource::Secret {
            secret: vec![b'x'; length],
            algorithm: "HS256".into(),
        }),
        ..AuthConfig::default()
    };
    assert!(TokenVerifier::from_config(&config(31)).is_err());
    assert!(TokenVerifier::from_config(&config(32)).is_ok());
}

#[test]
fn a_changed_jwks_file_is_read_again_and_a_broken_one_is_not_taken() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let document = file(&jwks(&[old.jwk_named("old")]));
    let (verifier, _) = build(&jwks_file_config(&document));
    let old_token = old.sign(Algorithm::ES256, Some("old"), &claims(json!({})));
    let new_token = new.sign(Algorithm::ES256, Some("new"), &claims(json!({})));
    assert!(verdict(&verifier, &old_token).is_ok());
    assert!(verdict(&verifier, &new_token).is_err());

    let rewrite = |text: &str, seconds_later: u64| {
        std::fs::write(document.path(), text).unwrap();
        let time = std::time::SystemTime::now() + std::time::Duration::from_secs(seconds_later);
        document.as_file().set_modified(time).unwrap();
        verifier.reload_file_now();
    };
    rewrite("broken", 10);
    assert!(
        verdict(&verifier, &old_token).is_ok(),
        "the old keys are kept"
    );

    rewrite(&jwks(&[new.jwk_named("new")]), 20);
    assert!(verdict(&verifier, &new_token).is_ok());
    assert!(
        verdict(&verifier, &old_token).is_err(),
        "a token in the cache ends with the key that signed it"
    );
}
