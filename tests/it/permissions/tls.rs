//! Requests of plugins by TLS: whom a certificate is for, from whom, and for how long.

use std::{io::Write as _, net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::data::with_sdk;

const CALLER: &str = r#"
from mozaiks import http, HostError

async def execute(data):
    try:
        answer = await http.get(data["url"])
    except HostError as error:
        return {"refused": error.error_code, "said": str(error)}
    return {"status": answer.status, "text": answer.text}
"#;

/// An authority that goes by this name, with its certificate as PEM.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), certificate)
}

/// A server whose certificate is for `name`, until the year `until`; `/to?` sends on.
async fn server(issuer: &Issuer<'static, KeyPair>, name: &str, until: i32) -> SocketAddr {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = acceptor.accept(socket).await else {
                    return;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let to = head
                    .split_once("/to?")
                    .map(|(_, rest)| rest.split(' ').next().unwrap());
                let answer = match to {
                    Some(to) => {
                        format!(
                            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        )
                    }
                    None => {
                        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret"
                            .to_owned()
                    }
                };
                socket.write_all(answer.as_bytes()).await.ok();
                socket.shutdown().await.ok();
            });
        }
    });
    address
}

#[tokio::test]
async fn certificates_are_checked_and_tls_is_not_left() {
    let (trusted, pem) = authority("trusted");
    let (unknown, _) = authority("unknown");
    // Its name is another's, its key is not.
    let (pretender, _) = authority("trusted");
    let good = server(&trusted, "127.0.0.1", 4000).await;
    let other_name = server(&trusted, "other.example", 4000).await;
    let expired = server(&trusted, "127.0.0.1", 2001).await;
    let from_nobody = server(&unknown, "127.0.0.1", 4000).await;
    let forged = server(&pretender, "127.0.0.1", 4000).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = plain.local_addr().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    for isolation in ["inline", "dedicated"] {
        let app = with_sdk()
            .plugin("caller", CALLER)
            .file(
                "caller/plugin.json",
                &json!({ "isolation": isolation, "permissions": { "network": ["*"] } }).to_string(),
            )
            .env("MOZAIKS_HTTP_PRIVATE_HOSTS", "127.0.0.1")
            .env("MOZAIKS_HTTP_CA_FILE", file.path().to_str().unwrap())
            .start()
            .await;
        let user = app.user("ann");
        let ask = async |url: String| -> Value {
            user.execute("caller", &json!({ "url": url }))
                .await
                .expect_ok()
        };
        let answered = json!({ "status": 200, "text": "secret" });
        assert_eq!(ask(format!("https://{good}/")).await, answered);
        // From TLS to TLS.
        assert_eq!(
            ask(format!("https://{good}/to?https://{good}/")).await,
            answered
        );
        for (address, said) in [
            (other_name, "for another name"),
            (expired, "has expired"),
            (from_nobody, "from nobody that is trusted"),
            (forged, "is not valid"),
        ] {
            let refused = ask(format!("https://{address}/")).await;
            assert_eq!(refused["refused"], "UPSTREAM_ERROR", "{said}: {refused}");
            assert!(
                refused["said"].as_str().unwrap().contains(said),
                "{refused}"
            );
            let sent_on = ask(format!("https://{good}/to?https://{address}/")).await;
            assert_eq!(sent_on["refused"], "UPSTREAM_ERROR", "{sent_on}");
        }
        // Without TLS it may be asked, but nobody is sent there from a place with it.
        let left = ask(format!("https://{good}/to?http://{plain}/")).await;
        assert_eq!(left["refused"], "NETWORK_DENIED", "{left}");
    }
}

#[tokio::test]
async fn without_the_setting_only_the_systems_authorities_are_trusted() {
    let (issuer, _) = authority("unknown");
    let address = server(&issuer, "127.0.0.1", 4000).await;
    let app = with_sdk()
        .plugin("caller", CALLER)
        .env("MOZAIKS_HTTP_PRIVATE_HOSTS", "127.0.0.1")
        .start()
        .await;
    let url = json!({ "url": format!("https://{address}/") });
    let refused = app.user("ann").execute("caller", &url).await.expect_ok();
    assert_eq!(refused["refused"], "UPSTREAM_ERROR", "{refused}");
}
