//! Mail, text messages and web push, against servers that speak their protocols.

use std::collections::HashSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use web_push_native::p256::{SecretKey, elliptic_curve::sec1::ToEncodedPoint as _};

use super::{
    Builder, Claims, TestApp, TestClient, ask_code, delete, gateway, give_code, post,
    sinks::{HttpSink, MailSink, Next},
    tell, told, until,
};

const CHANNELS: &str = "/__mozaiks/admin/notifications/channels";

fn by(channel: &str) -> Value {
    json!({ "channels": [channel] })
}

fn with_http_mail(sink: &HttpSink) -> Builder {
    gateway()
        .env("MOZAIKS_EMAIL_HTTP_URL", &sink.url("/mail"))
        .env("MOZAIKS_EMAIL_HTTP_TOKEN", "mail-token")
        .env("MOZAIKS_EMAIL_FROM", "Notes <notes@example.com>")
}

#[tokio::test]
async fn mail_goes_out_by_smtp_with_its_template_and_one_line_of_subject() {
    let mut sink = MailSink::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("templates.json");
    let templates = json!({ "t": { "email": { "html": "<b>{{ message }}</b>" } } });
    std::fs::write(&file, templates.to_string()).unwrap();
    let app = gateway()
        .env("MOZAIKS_SMTP_URL", &format!("smtp://{}", sink.address))
        .env("MOZAIKS_EMAIL_FROM", "Notes <notes@example.com>")
        .env("MOZAIKS_NOTIFICATION_TEMPLATES", file.to_str().unwrap())
        .start()
        .await;
    let ann = app.user("ann");
    let missing = told(&ann, "ann", "T", by("email")).await;
    assert_eq!(missing["reason"], "the user has no mail address");

    ask_code(&ann, "email", "ann@example.org").await;
    let waiting = told(&ann, "ann", "T", by("email")).await;
    assert_eq!(
        waiting["reason"],
        "the user's mail address is not confirmed"
    );
    let code = sink.mail().await;
    assert!(code.to[0].contains("<ann@example.org>"), "{code:?}");
    give_code(&ann, "email", code.text.split_once("\r\n\r\n").unwrap().1).await;
    let known = ann.get("/api/notifications/preferences").await.expect_ok();
    assert_eq!(
        known["contacts"]["email"],
        json!({ "address": "ann@example.org", "confirmed": true })
    );
    let title = "Hello\r\nBcc: everyone@example.org";
    let made = told(
        &ann,
        "ann",
        title,
        json!({ "channels": ["email"], "message": "<script>1</script>" }),
    )
    .await;
    assert_eq!(made["channels"], json!(["email"]));
    let mail = sink.mail().await;
    assert!(mail.from.contains("<notes@example.com>"), "{mail:?}");
    assert_eq!(mail.to.len(), 1, "{mail:?}");
    assert!(mail.to[0].contains("<ann@example.org>"), "{mail:?}");
    assert!(!mail.text.contains("\r\nBcc:"), "{mail:?}");
    assert!(mail.text.contains("Subject: Hello"), "{mail:?}");
    assert!(mail.text.contains("<b>&lt;script&gt;1&lt;"), "{mail:?}");
    assert!(mail.text.contains("\r\n<script>1</script>"), "{mail:?}");
    let sent = |body: &Value| body["deliveries"]["email"]["sent"] == 1;
    until(&app.admin(), CHANNELS, sent).await;
    // By mail alone: nothing in the list.
    let page = ann.get("/api/notifications").await.expect_ok();
    assert_eq!(page["count"], 0);
}

#[tokio::test]
async fn a_service_in_trouble_is_tried_again_and_then_given_up_until_an_admin_says_so() {
    let mut sink =
        HttpSink::start(&[Next::Answer(500), Next::Answer(429), Next::Answer(201)]).await;
    let app = with_http_mail(&sink)
        .env("MOZAIKS_DELIVERY_ATTEMPTS", "3")
        .start()
        .await;
    // The address is known from the token.
    let claims = Claims::user("ann")
        .with("email", "ann@example.org")
        .with("email_verified", true);
    let (ann, admin) = (app.with_claims(&claims), app.admin());
    told_once_seen(&ann, "First").await;
    let mut keys = HashSet::new();
    for _ in 0..3 {
        let request = sink.request().await;
        assert_eq!(request.path, "/mail");
        assert_eq!(request.header("authorization"), "Bearer mail-token");
        let body = request.json();
        assert_eq!(body["to"], "ann@example.org");
        assert_eq!(body["subject"], "First");
        assert_eq!(body["text"], "M");
        keys.insert(request.header("idempotency-key").to_owned());
    }
    assert_eq!(keys.len(), 1, "each attempt names the same delivery");
    let log = until(&admin, CHANNELS, |body| body["log"][0]["status"] == "sent").await;
    assert_eq!(log["log"][0]["attempts"], 3);
    assert_eq!(log["log"][0]["user_id"], "ann");

    for _ in 0..3 {
        sink.then(Next::Answer(503));
    }
    told_once_seen(&ann, "Second").await;
    let failed = format!("{CHANNELS}?status=failed&channel=email");
    let log = until(&admin, &failed, |body| body["log"][0]["attempts"] == 3).await;
    let letter = &log["log"][0];
    assert!(
        letter["reason"].as_str().unwrap().contains("503"),
        "{letter}"
    );
    for _ in 0..3 {
        assert_eq!(sink.request().await.json()["subject"], "Second");
    }
    let id = letter["id"].as_str().unwrap();
    let retry = format!("/__mozaiks/admin/notifications/deliveries/{id}/retry");
    post(&ann, &retry, json!({}))
        .await
        .expect_error(403, "FORBIDDEN");
    post(&admin, &retry, json!({})).await.expect_ok();
    assert_eq!(sink.request().await.json()["subject"], "Second");
    until(&admin, CHANNELS, |body| {
        body["deliveries"]["email"]["sent"] == 2
    })
    .await;
    post(&admin, &retry, json!({}))
        .await
        .expect_error(404, "NOT_FOUND");
    assert!(!app.log_text().contains("mail-token"));

    // What is refused is not tried again.
    sink.then(Next::Answer(400));
    told_once_seen(&ann, "Third").await;
    let log = until(&admin, &failed, |body| body["log"][0]["attempts"] == 1).await;
    assert!(log["log"][0]["reason"].as_str().unwrap().contains("400"));
}

/// The address of a token is written down behind the call that brings it: asks until it is there.
pub(super) async fn told_once_seen(client: &TestClient, title: &str) {
    let mut made = Value::Null;
    let telling = async {
        while made["delivered"] != true {
            made = told(client, "ann", title, by("email")).await;
        }
    };
    assert!(
        tokio::time::timeout(super::LIMIT, telling).await.is_ok(),
        "{made}"
    );
}

#[tokio::test]
async fn text_messages_go_to_a_service_of_twilios_shape() {
    let mut sink = HttpSink::start(&[]).await;
    let app = gateway()
        .env("MOZAIKS_SMS_URL", &sink.url(""))
        .env("MOZAIKS_SMS_ACCOUNT_SID", "AC7")
        .env("MOZAIKS_SMS_AUTH_TOKEN", "sms-secret")
        .env("MOZAIKS_SMS_FROM", "+15550001111")
        .start()
        .await;
    let ann = app.user("ann");
    let none = told(&ann, "ann", "T", by("sms")).await;
    assert_eq!(none["reason"], "the user has no phone number");
    ask_code(&ann, "phone", "+4915550002222").await;
    let code = String::from_utf8(sink.request().await.body).unwrap();
    assert!(code.starts_with("To=%2B4915550002222&"), "{code}");
    let wrong = json!({ "contact": "phone", "code": "x" });
    post(&ann, "/api/notifications/preferences/confirm", wrong)
        .await
        .expect_error(422, "VALIDATION_ERROR");
    give_code(&ann, "phone", code.split_once("Body=").unwrap().1).await;
    told(&ann, "ann", "Due & late", by("sms")).await;
    let request = sink.request().await;
    assert_eq!(request.path, "/2010-04-01/Accounts/AC7/Messages.json");
    let basic = format!("Basic {}", STANDARD.encode("AC7:sms-secret"));
    assert_eq!(request.header("authorization"), basic);
    let body = String::from_utf8(request.body).unwrap();
    assert_eq!(
        body,
        "To=%2B4915550002222&From=%2B15550001111&Body=Due+%26+late%3A+M"
    );
}

struct Browser {
    key: SecretKey,
    auth: [u8; 16],
}

impl Browser {
    fn subscription(&self, endpoint: &str) -> Value {
        let public = self.key.public_key().to_encoded_point(false);
        json!({ "endpoint": endpoint, "keys": {
            "p256dh": URL_SAFE_NO_PAD.encode(public.as_bytes()),
            "auth": URL_SAFE_NO_PAD.encode(self.auth),
        } })
    }

    fn read(&self, body: Vec<u8>) -> Value {
        let auth = web_push_native::Auth::clone_from_slice(&self.auth);
        let text = web_push_native::decrypt(body, &self.key, &auth).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

async fn with_push() -> TestApp {
    gateway()
        .env(
            "MOZAIKS_VAPID_PRIVATE_KEY",
            &URL_SAFE_NO_PAD.encode([9u8; 32]),
        )
        .env("MOZAIKS_VAPID_CONTACT", "mailto:ops@example.com")
        .env("MOZAIKS_PUSH_HOSTS", "127.0.0.1,push.example.com")
        .start()
        .await
}

#[tokio::test]
async fn web_push_is_encrypted_for_the_browser_and_signed_until_the_browser_is_gone() {
    let mut sink = HttpSink::start(&[Next::Answer(201), Next::Answer(410)]).await;
    let app = with_push().await;
    let ann = app.user("ann");
    let browser = Browser {
        key: SecretKey::from_slice(&[7u8; 32]).unwrap(),
        auth: [5u8; 16],
    };
    for elsewhere in [
        "https://169.254.169.254/latest/meta-data",
        "http://push.example.com/x",
        "https://evil-push.example.com/x",
        "https://127.0.0.1@internal.example/x",
        "https://internal.example/127.0.0.1",
    ] {
        let body = browser.subscription(elsewhere);
        post(&ann, "/api/push/subscribe", body)
            .await
            .expect_error(422, "VALIDATION_ERROR");
    }
    let endpoint = sink.url("/push/ann");
    let body = json!({ "subscription": browser.subscription(&endpoint) });
    post(&ann, "/api/push/subscribe", body).await.expect_ok();

    let made = told(
        &ann,
        "ann",
        "Milk",
        json!({ "channels": ["push"], "metadata": { "url": "/list" } }),
    )
    .await;
    let request = sink.request().await;
    assert_eq!(request.path, "/push/ann");
    assert_eq!(request.header("content-encoding"), "aes128gcm");
    assert!(request.headers.contains_key("ttl"));
    let signed = request.header("authorization").to_owned();
    let key = ann.get("/api/push/vapid-public-key").await.expect_ok();
    check_vapid(&signed, key["public_key"].as_str().unwrap(), &sink.url(""));
    let payload = browser.read(request.body);
    assert_eq!(payload["title"], "Milk");
    assert_eq!(payload["body"], "M");
    assert_eq!(
        payload["data"],
        json!({ "id": made["id"], "type": "t", "metadata": { "url": "/list" } })
    );

    told(&ann, "ann", "Gone", by("push")).await;
    sink.request().await;
    let failed = |body: &Value| body["deliveries"]["push"]["failed"] == 1;
    until(&app.admin(), CHANNELS, failed).await;
    let gone = told(&ann, "ann", "Nobody", by("push")).await;
    assert_eq!(gone["reason"], "the user has no browser subscribed");

    post(&ann, "/api/push/subscribe", browser.subscription(&endpoint))
        .await
        .expect_ok();
    let unsubscribe = json!({ "endpoint": endpoint });
    let bobs = post(
        &app.user("bob"),
        "/api/push/unsubscribe",
        unsubscribe.clone(),
    )
    .await;
    assert_eq!(bobs.expect_ok()["removed"], false);
    let anns = post(&ann, "/api/push/unsubscribe", unsubscribe).await;
    assert_eq!(anns.expect_ok()["removed"], true);
}

/// `vapid t=<jwt>, k=<key>`: signed by the key that browsers were given, for this push service.
fn check_vapid(header: &str, public_key: &str, audience: &str) {
    let fields = header.strip_prefix("vapid ").unwrap();
    let field = |name: &str| {
        let mut fields = fields.split(',').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)).unwrap()
    };
    assert_eq!(field("k=").trim_end_matches('='), public_key);
    let point = URL_SAFE_NO_PAD.decode(public_key).unwrap();
    let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let key = DecodingKey::from_ec_components(&coordinate(1..33), &coordinate(33..65)).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    let claims = jsonwebtoken::decode::<Value>(field("t="), &key, &validation).unwrap();
    assert_eq!(claims.claims["sub"], "mailto:ops@example.com");
}

#[tokio::test]
async fn channels_that_are_off_say_so() {
    let app = gateway().start().await;
    let ann = app.user("ann");
    for channel in ["email", "sms", "push"] {
        let made = told(&ann, "ann", "T", by(channel)).await;
        assert_eq!(made["reason"], "this channel is not configured");
    }
    let off = ann.get("/api/push/vapid-public-key").await.expect_ok();
    assert_eq!(off, json!({ "enabled": false, "public_key": null }));
    let bare =
        json!({ "endpoint": "https://push.example/1", "keys": { "p256dh": "a", "auth": "b" } });
    for body in [bare.clone(), json!({ "subscription": bare })] {
        let off = post(&ann, "/api/push/subscribe", body.clone()).await;
        assert_eq!(
            off.expect_ok(),
            json!({ "success": false, "enabled": false })
        );
        let off = post(&ann, "/api/push/unsubscribe", body).await;
        assert_eq!(
            off.expect_ok(),
            json!({ "success": true, "enabled": false, "removed": false })
        );
    }
    ann.get(CHANNELS).await.expect_error(403, "FORBIDDEN");
    delete(&ann, "/api/notifications/none")
        .await
        .expect_error(404, "NOT_FOUND");
    tell(&ann, "", "T", json!({}))
        .await
        .expect_domain_failure(422, "VALIDATION_ERROR");
}
