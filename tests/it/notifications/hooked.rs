//! What plugins make of mail: the filters of `email.content`.

use serde_json::json;

use super::{
    Claims,
    channels::told_once_seen,
    gateway,
    sinks::{HttpSink, Next},
};

#[tokio::test]
async fn filters_change_a_mail_and_one_that_fails_keeps_it() {
    let hook = r#"
from core.hooks import on_hook

@on_hook("email.content")
def sign(mail, about):
    if mail["subject"] == "Odd":
        return {"subject": 7, "text": None, "bcc": "x"}
    return {**mail, "subject": mail["subject"] + "!", "text": mail["text"] + "\n-- \nThe shop"}

@on_hook("email.content", priority=20, required=True)
def fails(mail, about):
    if "Bad" in mail["subject"]:
        raise ValueError("no")
    return mail

def execute(data):
    return {}
"#;
    let answers = [Next::Answer(201), Next::Answer(201), Next::Answer(201)];
    let mut sink = HttpSink::start(&answers).await;
    let app = gateway()
        .plugin("signs", hook)
        .env("MOZAIKS_EMAIL_HTTP_URL", &sink.url("/mail"))
        .env("MOZAIKS_EMAIL_HTTP_TOKEN", "mail-token")
        .env("MOZAIKS_EMAIL_FROM", "Notes <notes@example.com>")
        .start()
        .await;
    // The address is known from the token.
    let claims = Claims::user("ann")
        .with("email", "ann@example.org")
        .with("email_verified", true);
    let ann = app.with_claims(&claims);
    for (title, subject, text) in [
        ("Hello", "Hello!", "M\n-- \nThe shop"),
        // What fails for the chain fails for the filters, and not for the mail.
        ("Bad", "Bad", "M"),
        ("Odd", "Odd", "M"),
    ] {
        told_once_seen(&ann, title).await;
        let mail = sink.request().await.json();
        assert_eq!(
            (&mail["subject"], &mail["text"]),
            (&json!(subject), &json!(text))
        );
        assert_eq!(mail["to"], "ann@example.org");
        assert!(mail.get("bcc").is_none(), "{mail}");
    }
}
