//! What is signed here is accepted here.

use super::*;
use crate::signer::{DevRequest, SignError, TokenRequest, dev_curl_line, dev_page_url, sign};

fn request(app_id: Option<&'static str>) -> TokenRequest<'static> {
    TokenRequest {
        user_id: "u1",
        username: Some("Ada"),
        roles: &[],
        app_id,
        ttl: std::time::Duration::from_secs(60),
    }
}

#[test]
fn a_signed_token_is_accepted_with_all_its_claims() {
    let config = AuthConfig {
        app_id: "shop".into(),
        issuer: Some("me".into()),
        audience: Some("you".into()),
        ..secret_config()
    };
    let roles = ["admin".to_owned(), "editor".to_owned()];
    let token = sign(
        &config,
        &TokenRequest {
            roles: &roles,
            ..request(None)
        },
    )
    .unwrap();
    let verifier = TokenVerifier::from_config(&config).unwrap();
    let principal = verdict(&verifier, &token).unwrap();
    assert_eq!(&*principal.user_id, "u1");
    assert_eq!(principal.username.as_deref(), Some("Ada"));
    assert_eq!(&*principal.app_id, "shop");
    assert!(principal.has_role("editor") && principal.is_admin());
}

#[test]
fn what_would_be_refused_is_not_signed() {
    let many = AuthConfig {
        app_id: "*".into(),
        ..secret_config()
    };
    assert_eq!(sign(&many, &request(None)), Err(SignError::AppRequired));
    assert!(sign(&many, &request(Some("shop"))).is_ok());
    assert_eq!(
        sign(&secret_config(), &request(Some("shop"))),
        Err(SignError::OtherApp("default".into()))
    );
    assert_eq!(
        sign(&AuthConfig::default(), &request(None)),
        Err(SignError::NoKey)
    );
    let nobody = TokenRequest {
        user_id: "",
        ..request(None)
    };
    assert_eq!(sign(&secret_config(), &nobody), Err(SignError::NoUser));
    for keys in [
        KeySource::PemFile("key.pem".into()),
        KeySource::JwksFile("jwks.json".into()),
        KeySource::JwksUrl("https://id.example/jwks".into()),
    ] {
        let config = AuthConfig {
            keys: Some(keys),
            ..AuthConfig::default()
        };
        let error = sign(&config, &request(None)).unwrap_err();
        assert!(matches!(error, SignError::PublicKeyOnly(_)));
    }
}

#[test]
fn the_lines_of_development_mode_carry_good_tokens() {
    let config = secret_config();
    let verifier = TokenVerifier::from_config(&config).unwrap();
    for (scheme, address, host) in [
        ("http", "127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("https", "0.0.0.0:80", "https://127.0.0.1:80/"),
        ("http", "[::]:80", "http://[::1]:80/"),
    ] {
        let address = address.parse().unwrap();
        let request = DevRequest {
            path: "/api/execute/hello".into(),
            body: Some("{}".into()),
        };
        let line = dev_curl_line(&config, scheme, address, &request).unwrap();
        assert!(
            line.contains(&format!("{host}api/execute/hello -H")),
            "{line}"
        );
        assert!(line.ends_with("-d '{}'"), "{line}");
        let get = DevRequest {
            body: None,
            ..request
        };
        let read = dev_curl_line(&config, scheme, address, &get).unwrap();
        assert!(read.starts_with(&format!("curl -s {host}")), "{read}");
        let (_, rest) = line.split_once("Bearer ").unwrap();
        let (token, _) = rest.split_once('\'').unwrap();
        let caller = verdict(&verifier, token).unwrap();

        let url = dev_page_url(&config, scheme, address, "/demo/tasks/").unwrap();
        let (page, token) = url.split_once("#token=").unwrap();
        assert_eq!(page, format!("{host}demo/tasks/"));
        let reader = verdict(&verifier, token).unwrap();
        assert_eq!(caller.user_id, reader.user_id);
        assert!(caller.is_admin() && !reader.is_admin());
    }
}
