//! A certificate that changes while the gateway runs.

use serde_json::json;
use tempfile::TempDir;

use super::{LIMIT, PATIENT, TestApp, TestCertificate, call, exists, within};

/// The certificate that a new handshake shows.
async fn shown(app: &TestApp, certificate: &TestCertificate) -> Vec<u8> {
    let trust = certificate.trust();
    let stream = trust.connect(app.address, &[b"http/1.1"]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn new_handshakes_take_the_new_pair_and_calls_go_on() {
    let certificate = TestCertificate::new();
    let mut app = TestApp::builder()
        .plugin("patient", PATIENT)
        .tls(Some(&certificate))
        .env("MOZAIKS_TLS_POLL_SECONDS", "86400")
        .start()
        .await;
    let before = shown(&app, &certificate).await;
    let dir = TempDir::new().unwrap();
    let mut connection = app.raw().await;
    let data = json!({ "dir": dir.path() }).to_string();
    connection.send(call("patient", &data)).await;
    exists(&dir.path().join("began")).await;

    let renewed = certificate.renew();
    assert_eq!(shown(&app, &certificate).await, before, "nobody has looked");
    app.signal("HUP");
    app.log_line(&["tls.reloaded"]).await;
    assert_eq!(shown(&app, &certificate).await, renewed.to_vec());
    assert_eq!(app.metric("mozaiks_tls_reloads_total").await, 1.0);

    std::fs::write(dir.path().join("go"), "").unwrap();
    let answer = connection.answer().await;
    assert_eq!(answer.body, json!({"ended": true}).to_string());
    connection.send(call("patient", &data)).await;
    assert_eq!(connection.answer().await.status, 200, "it lives on");
}

#[tokio::test]
async fn files_are_followed_and_a_pair_that_does_not_fit_changes_nothing() {
    let certificate = TestCertificate::new();
    let mut app = TestApp::builder()
        .tls(Some(&certificate))
        .env("MOZAIKS_TLS_POLL_SECONDS", "0.1")
        .start()
        .await;
    let before = shown(&app, &certificate).await;
    let fitting = std::fs::read(certificate.key()).unwrap();
    let other = TestCertificate::new();
    std::fs::copy(other.key(), certificate.key()).unwrap();
    app.log_line(&["tls.not_reloaded", "is not the key of"])
        .await;
    assert_eq!(shown(&app, &certificate).await, before);
    std::fs::remove_file(certificate.key()).unwrap();
    app.log_line(&["tls.not_reloaded", "No such file"]).await;
    assert_eq!(shown(&app, &certificate).await, before);
    // Told of once each, not at every look.
    let failures = "mozaiks_tls_reload_failures_total";
    assert_eq!(app.metric(failures).await, 2.0);
    assert_eq!(app.metric("mozaiks_tls_reloads_total").await, 0.0);

    std::fs::write(certificate.key(), fitting).unwrap();
    app.metric_reaches("mozaiks_tls_reloads_total", |count| count == 1.0)
        .await;
    let renewed = certificate.renew();
    within(LIMIT, async {
        while shown(&app, &certificate).await != renewed.to_vec() {}
    })
    .await;
}
