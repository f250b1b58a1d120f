//! What is said of a certificate before anybody connects.

use std::{net::TcpListener, path::Path, process::Output};

use rcgen::date_time_ymd;
use tempfile::TempDir;
use tokio::process::Command;

use super::{ECHO, LIMIT, TestApp, TestCertificate, within};
use crate::support::{Claims, python};

async fn run(dir: &Path, args: &[&str], environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mozaiks"));
    command
        .args(args)
        .current_dir(dir)
        .env_remove("MOZAIKS_URL")
        .env("MOZAIKS_JWT_SECRET", "s".repeat(32))
        .envs(python().map(|path| ("MOZAIKS_PYTHON", path)))
        .envs(environment.iter().copied())
        .kill_on_drop(true);
    within(LIMIT, command.output()).await.unwrap()
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_ends_the_start_before_a_port_is_bound() {
    let dir = TempDir::new().unwrap();
    // Taken: a gateway that got as far as binding would complain about that instead.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let certificate = TestCertificate::new();
    let (cert, key) = (certificate.cert(), certificate.key());
    let other = TestCertificate::new().key();
    let other_key = dir.path().join("other.pem");
    std::fs::copy(TestCertificate::new().key(), &other_key).unwrap();
    let no_pem = dir.path().join("no.pem");
    std::fs::write(&no_pem, "this is confidential").unwrap();
    let (cert_name, key_name) = ("MOZAIKS_TLS_CERT", "MOZAIKS_TLS_KEY");
    let cases: [(&[(&str, &Path)], &[&str]); 6] = [
        (
            &[(cert_name, &cert)],
            &[
                "tls_key (from nowhere)",
                "beside tls_cert (from MOZAIKS_TLS_CERT)",
            ],
        ),
        (
            &[(key_name, &key)],
            &[
                "tls_cert (from nowhere)",
                "beside tls_key (from MOZAIKS_TLS_KEY)",
            ],
        ),
        (
            &[(cert_name, &cert), (key_name, &other_key)],
            &["tls_key", "is not the key of", "cert.pem"],
        ),
        (
            &[(cert_name, &cert), (key_name, &other)],
            &["tls_key", "No such file"],
        ),
        (
            &[(cert_name, &no_pem), (key_name, &key)],
            &["tls_cert", "no.pem", "no certificate"],
        ),
        (
            &[(cert_name, &cert), (key_name, &no_pem)],
            &["tls_key", "no.pem", "no private key"],
        ),
    ];
    for (environment, said) in cases {
        let output = run(dir.path(), &["serve", "--listen", &listen], environment).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        for part in said {
            assert!(stderr.contains(part), "{part} is not in: {stderr}");
        }
        assert!(!stderr.contains("confidential"), "{stderr}");
        let doctor = run(dir.path(), &["doctor"], environment).await;
        let stdout = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_eq!(doctor.status.code(), Some(1), "{stdout}");
        assert!(
            stdout.contains("FAIL") && stdout.contains(said[0]),
            "{stdout}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_a_warning() {
    let certificate = TestCertificate::new();
    certificate.renew_with(|params| params.not_after = date_time_ymd(2001, 9, 9));
    let mut app = TestApp::builder().tls(Some(&certificate)).start().await;
    app.log_line(&["WARN", "tls.certificate", "has expired"])
        .await;
    let trust = certificate.trust();
    let refused = trust.connect(app.address, &[b"http/1.1"]).await;
    assert!(refused.is_err(), "it is the client who minds");

    let dir = TempDir::new().unwrap();
    let (cert, key) = (certificate.cert(), certificate.key());
    let files = [("MOZAIKS_TLS_CERT", &*cert), ("MOZAIKS_TLS_KEY", &*key)];
    let said = |output: Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("  tls: "));
        line.unwrap_or_else(|| panic!("nothing of tls in {text}"))
            .to_owned()
    };
    let line = said(run(dir.path(), &["doctor"], &files).await);
    assert!(
        line.starts_with("warn") && line.contains("has expired"),
        "{line}"
    );
    certificate.renew();
    let line = said(run(dir.path(), &["doctor"], &files).await);
    assert!(
        line.starts_with("ok") && line.contains("cert.pem, valid for"),
        "{line}"
    );
}

#[tokio::test]
async fn commands_for_a_running_gateway_reach_it() {
    let certificate = TestCertificate::new();
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .tls(Some(&certificate))
        .start()
        .await;
    let dir = TempDir::new().unwrap();
    let authority = dir.path().join("authority.pem");
    std::fs::write(&authority, app.over.authority().unwrap()).unwrap();
    let token = Claims::user("root").with("roles", vec!["admin"]).sign();
    let url = format!("https://{}", app.address);
    let trusting = [
        ("SSL_CERT_FILE", &*authority),
        ("MOZAIKS_TOKEN", Path::new(&token)),
    ];
    let listed = run(dir.path(), &["plugin", "list", "--url", &url], &trusting).await;
    assert!(listed.status.success(), "{listed:?}");
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("echo"),
        "{listed:?}"
    );

    // Without a word on where it is: as the settings say that one is started here.
    let (cert, key) = (certificate.cert(), certificate.key());
    let files = [
        ("MOZAIKS_TLS_CERT", &*cert),
        ("MOZAIKS_TLS_KEY", &*key),
        ("MOZAIKS_TOKEN", Path::new("none")),
    ];
    let output = run(dir.path(), &["plugin", "reload", "echo"], &files).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("cannot speak to https://127.0.0.1:8000"),
        "{stderr}"
    );
}
