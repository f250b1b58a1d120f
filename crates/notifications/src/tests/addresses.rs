//! Whose an address is: verified by the issuer, or confirmed with a code.

use serde_json::json;

use super::support::{Office, office};
use crate::{Contact, NotificationError, preferences::Preferences};

impl Office {
    /// The last code that was sent, and where to.
    fn code(&self) -> (String, String) {
        let sent = self.sender.0.lock();
        let delivery = sent.last().expect("a code was sent");
        let text = &delivery.parts["text"];
        let code = text
            .split(|c: char| !c.is_ascii_digit())
            .find(|run| run.len() == 8);
        let to = delivery.recipient.as_str().unwrap().to_owned();
        (code.expect("a code of eight digits").to_owned(), to)
    }

    async fn ask(&self, user_id: &str) -> Result<crate::Confirmation, NotificationError> {
        self.manager
            .request_code("a", user_id, Contact::Email)
            .await
    }

    async fn give(
        &self,
        user_id: &str,
        code: &str,
    ) -> Result<crate::Confirmation, NotificationError> {
        self.manager
            .confirm_code("a", user_id, Contact::Email, code)
            .await
    }
}

#[tokio::test]
async fn an_address_that_nobody_confirmed_gets_a_code_and_nothing_else() {
    let office = office().await;
    office
        .prefer("ann", json!({ "email": "Ann@Example.org" }))
        .await;
    let made = office.mail("ann", "T", "M").await;
    assert_eq!(
        (made.stored, made.reason),
        (false, Some("the user's mail address is not confirmed"))
    );
    let asked = office.ask("ann").await.unwrap();
    assert!(!asked.confirmed);
    let (code, to) = office.code();
    assert_eq!(to, "Ann@Example.org");
    // Stored is only its hash.
    for collection in [
        "notification_preferences",
        "notification_jobs",
        "notification_codes",
    ] {
        let stored = office.stored(collection).await;
        assert!(!format!("{stored:?}").contains(&code), "{collection}");
    }
    assert!(!format!("{:?}", office.stored("notification_codes").await).contains("xample"));

    assert!(
        office.give("bob", &code).await.is_err(),
        "it is somebody else's"
    );
    let wrong = if code == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    assert!(office.give("ann", wrong).await.is_err());
    assert!(office.give("ann", &code).await.unwrap().confirmed);
    assert!(office.give("ann", &code).await.is_err(), "it is used up");
    assert!(office.mail("ann", "T", "M").await.stored);
    assert!(
        office.ask("ann").await.unwrap().confirmed,
        "there is nothing to confirm"
    );
    assert_eq!(office.sender.0.lock().len(), 1);

    // Another address is another matter, and a code for the one before does not open it.
    office
        .prefer("ann", json!({ "email": "other@example.org" }))
        .await;
    assert!(!office.mail("ann", "T", "M").await.stored);
    office
        .prefer("ann", json!({ "email": "Ann@Example.org" }))
        .await;
    assert!(office.mail("ann", "T", "M").await.stored);
}

#[tokio::test]
async fn a_code_is_guessed_at_five_times_and_asked_for_five_times_an_hour() {
    let office = office().await;
    office
        .prefer("ann", json!({ "email": "ann@example.org" }))
        .await;
    office.ask("ann").await.unwrap();
    let (code, _) = office.code();
    let wrong = if code == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    // At the same time too.
    let guesses = (0..12).map(|_| office.give("ann", wrong));
    let guesses = futures_util::future::join_all(guesses).await;
    assert!(guesses.iter().all(Result::is_err));
    assert!(
        office.give("ann", &code).await.is_err(),
        "it was guessed at too often"
    );
    for _ in 0..4 {
        office.ask("ann").await.unwrap();
    }
    let refused = office.ask("ann").await.unwrap_err();
    assert_eq!(refused.error_code(), "LIMIT_EXCEEDED");
    // Nor can somebody else have that address told more codes.
    office
        .prefer("bob", json!({ "email": "ann@example.org" }))
        .await;
    assert_eq!(
        office.ask("bob").await.unwrap_err().error_code(),
        "LIMIT_EXCEEDED"
    );
    office
        .prefer("bob", json!({ "email": "bob@example.org" }))
        .await;
    office.ask("bob").await.unwrap();
    assert_eq!(office.sender.0.lock().len(), 6);
    // An old code is none any more.
    let (code, _) = office.code();
    let database = office.store.own_database().unwrap();
    let late =
        bson::doc! { "$set": { "contacts.email.pending.expires_at": bson::DateTime::now() } };
    let preferences = database.collection::<bson::Document>("notification_preferences");
    preferences
        .update_one(bson::doc! { "user_id": "bob" }, late)
        .await
        .unwrap();
    assert!(office.give("bob", &code).await.is_err());
    assert!(office.ask("nobody").await.is_err(), "there is no address");
}

#[tokio::test]
async fn what_the_issuer_verified_needs_no_code() {
    let office = office().await;
    office.verified("ann").await;
    assert!(office.mail("ann", "T", "M").await.stored);
    // One that is not confirmed yet does not take its place.
    office
        .prefer("ann", json!({ "email": "elsewhere@example.org" }))
        .await;
    office.mail("ann", "T", "M").await;
    let jobs = office.stored("notification_jobs").await;
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        let payload = job.get_document("payload").unwrap();
        assert_eq!(payload.get_str("recipient").unwrap(), "ann@example.org");
    }
    office
        .prefer("ann", json!({ "email": "ann@example.org" }))
        .await;
    assert!(office.ask("ann").await.unwrap().confirmed);
    assert!(office.sender.0.lock().is_empty());
}

#[test]
fn no_address_carries_a_second_line() {
    for bad in [
        "ann@example.org\r\nBcc: all@example.org",
        "\"ann\r\nBcc: x\"@example.org",
        "\"a b\"@example.org",
        "ann@example.org\n",
        "a\u{0}b@example.org",
        "ann @example.org",
    ] {
        let patch = json!({ "email": bad });
        let applied = Preferences::default().apply(patch.as_object().unwrap());
        assert!(applied.is_err(), "{bad:?}");
    }
    for bad in ["+4915550002222\r\n", "+49 155", "+12345\n678"] {
        let patch = json!({ "phone": bad });
        assert!(
            Preferences::default()
                .apply(patch.as_object().unwrap())
                .is_err(),
            "{bad:?}"
        );
    }
}
