//! What needs no database: decisions, declarations, templates, times. What does is in files of its
//! own.

mod addresses;
mod digests;
mod support;

use bson::DateTime;
use serde_json::{Map, Value, json};

use super::{
    broadcasts::Target,
    catalogue::Catalogue,
    digests::next_digest,
    drafts::time_from_json,
    model::{Channel, Draft, NotificationError},
    preferences::{Decision, Digest, Preferences},
    templates::Templates,
};
use mozaiks_config::PushConfig;

fn draft(metadata: Value) -> Draft {
    Draft {
        notification_type: "order".into(),
        title: "A <b>".into(),
        message: "x & y".into(),
        metadata: metadata.as_object().cloned().unwrap_or_default(),
        channels: None,
    }
}

fn preferences(patch: &Value) -> Result<Preferences, NotificationError> {
    let mut preferences = Preferences::default();
    preferences.apply(patch.as_object().unwrap_or(&Map::new()))?;
    Ok(preferences)
}

#[test]
fn what_the_caller_asks_for_stays_within_what_the_user_allows() {
    use Channel::{Email, InApp, Sms};
    let none = Preferences::default();
    let deliver = |channels: &[Channel]| Decision::Deliver(channels.to_vec());
    assert_eq!(none.decide("t", None, None), deliver(&[InApp]));
    let asked = [Email, InApp, Email];
    assert_eq!(
        none.decide("t", None, Some(&asked)),
        deliver(&[InApp, Email])
    );

    let own =
        preferences(&json!({ "email": false, "types": { "t": { "channels": ["sms", "email"] } } }))
            .unwrap();
    assert_eq!(own.decide("t", None, None), deliver(&[Sms]));
    assert!(matches!(
        own.decide("t", None, Some(&[InApp])),
        Decision::Suppressed(_)
    ));
    assert_eq!(own.decide("other", None, Some(&[InApp])), deliver(&[InApp]));
}

#[test]
fn a_refused_change_of_preferences_changes_nothing() {
    let mut own = preferences(&json!({ "digest": "weekly", "t": false })).unwrap();
    let before = own.clone();
    let patch = json!({ "digest": "daily", "types": { "t": 7 } });
    let error = own.apply(patch.as_object().unwrap()).unwrap_err();
    assert_eq!(error.error_code(), "VALIDATION_ERROR");
    assert!(error.to_string().starts_with("types.t"), "{error}");
    assert_eq!(own, before);
    let stored = own.to_json();
    assert_eq!(preferences(&stored).unwrap(), {
        let mut all = before;
        all.channels = Channel::ALL
            .into_iter()
            .map(|channel| (channel, true))
            .collect();
        all
    });
}

#[test]
fn declarations_are_taken_whole_or_not_at_all() {
    let catalogue = Catalogue::default();
    catalogue
        .declare(
            "notes",
            &[json!({ "id": "due", "defaultEnabled": false, "channels": ["websocket"] })],
        )
        .unwrap();
    let due = catalogue.find("due").unwrap();
    assert_eq!(
        (due.default_enabled, due.channels),
        (false, vec![Channel::InApp])
    );
    let error = catalogue
        .declare("notes", &[json!({ "id": "a" }), json!({ "id": 7 })])
        .unwrap_err();
    assert!(
        error.to_string().starts_with("notifications[1].id"),
        "{error}"
    );
    assert!(catalogue.find("due").is_some());
    catalogue.declare("notes", &[]).unwrap();
    assert!(catalogue.find("due").is_none());
}

#[test]
fn html_is_escaped_and_a_missing_variable_names_its_template() {
    let value = json!({
        "order": { "email": { "html": "<p>{{ title }} {{ metadata.n }}</p>" } },
        "*": { "sms": { "text": "{% for n in range(1) %}{% set own = title %}{{ own }}!{% endfor %}" } },
    });
    let templates = Templates::from_value(&value).unwrap();
    let mail = templates
        .render(Channel::Email, &draft(json!({ "n": "<1>" })), "a", "u")
        .unwrap();
    assert_eq!(mail["html"], "<p>A &lt;b&gt; &lt;1&gt;</p>");
    assert_eq!(
        (mail["subject"].as_str(), mail["text"].as_str()),
        ("A <b>", "x & y")
    );
    let sms = templates
        .render(Channel::Sms, &draft(json!({})), "a", "u")
        .unwrap();
    assert_eq!(sms["text"], "A <b>!");
    let error = templates
        .render(Channel::Email, &draft(json!({})), "a", "u")
        .unwrap_err();
    assert!(
        error.to_string().contains("templates.order.email.html"),
        "{error}"
    );
    for (bad, path) in [
        (
            json!({ "t": { "email": { "html": "{{ open" } } }),
            "t.email.html",
        ),
        (
            json!({ "t": { "email": { "footer": "" } } }),
            "t.email.footer",
        ),
        (
            json!({ "t": { "email": { "text": "{{ metadata.n }} {{ nmae }}" } } }),
            "t.email.text: there is no variable \"nmae\"",
        ),
        (
            json!({ "t": { "fax": {} } }),
            "t.fax: \"fax\" is no channel",
        ),
        (json!({ "t": { "email": 7 } }), "t.email"),
        (json!([]), "notification_templates"),
    ] {
        let error = Templates::from_value(&bad).unwrap_err();
        assert!(error.to_string().starts_with(path), "{error}");
    }
}

#[test]
fn digests_are_due_the_next_day_or_the_next_monday() {
    let at = |text: &str| DateTime::parse_rfc3339_str(text).unwrap();
    // A Wednesday.
    let now = at("2026-01-07T09:30:00Z");
    let next = |digest, hour| next_digest(digest, now, hour);
    assert_eq!(next(Digest::Off, 8), None);
    assert_eq!(next(Digest::Daily, 8), Some(at("2026-01-08T08:00:00Z")));
    assert_eq!(next(Digest::Daily, 10), Some(at("2026-01-07T10:00:00Z")));
    assert_eq!(next(Digest::Weekly, 8), Some(at("2026-01-12T08:00:00Z")));
    let monday = at("2026-01-12T08:00:00Z");
    assert_eq!(
        next_digest(Digest::Weekly, monday, 8),
        Some(at("2026-01-19T08:00:00Z"))
    );
}

#[test]
fn times_without_a_zone_are_utc() {
    let read = |text: &str| time_from_json(&json!(text), "at").map(|at| at.timestamp_millis());
    let zulu = read("2026-01-07T09:30:00Z").unwrap();
    for same in [
        "2026-01-07T09:30:00",
        "2026-01-07 09:30:00",
        "2026-01-07T10:30:00+01:00",
    ] {
        assert_eq!(read(same).unwrap(), zulu, "{same}");
    }
    assert!(read("tomorrow").is_err());
}

#[test]
fn preferences_are_taken_as_existing_plugins_write_them() {
    let patch = json!({
        "task_reminder": { "enabled": true, "channels": ["in_app", "web_push"] },
        "marketing": { "enabled": false, "frequency": "immediate" },
        "types": { "news": { "enabled": false, "frequency": "daily" } },
        "email_enabled": false,
        "push_enabled": true,
        "digest_frequency": "none",
    });
    let read = preferences(&patch).unwrap();
    let view = read.to_json();
    assert_eq!(
        view["types"],
        json!({
            "task_reminder": { "enabled": true, "channels": ["in_app", "push"] },
            "marketing": { "enabled": false, "channels": null },
            "news": { "enabled": false, "channels": null },
        })
    );
    assert_eq!(view["channels"]["email"], false);
    assert_eq!(view["channels"]["push"], true);
    assert_eq!(view["digest"], "off");
    for off in [json!(false), json!({ "enabled": false })] {
        let read = preferences(&json!({ "email_notifications": off })).unwrap();
        assert_eq!(read.to_json()["channels"]["email"], false);
        assert!(read.types.is_empty());
    }
    for bad in [
        json!({ "x": {} }),
        json!({ "x": { "enabled": "yes" } }),
        json!({ "x": { "enabled": true, "sound": true } }),
        json!({ "email_enabled": "no" }),
        json!({ "digest_frequency": "hourly" }),
    ] {
        assert!(preferences(&bad).is_err(), "{bad}");
    }
}

#[test]
fn the_file_of_existing_apps_declares_types() {
    let catalogue = Catalogue::default();
    catalogue
        .declare_all(&json!({
            "categories": [{ "id": "system", "types": [{ "id": "welcome" }] }, { "id": "empty" }],
            "plugins": { "tasks": { "display_name": "Tasks", "notifications": [
                { "id": "task_due", "default_enabled": false, "channels": ["in_app", "push"] },
            ] } },
            "settings": {},
        }))
        .unwrap();
    assert!(catalogue.find("welcome").is_some());
    let due = catalogue.find("task_due").unwrap();
    assert_eq!(due.channels, [Channel::InApp, Channel::Push]);
    assert!(!due.default_enabled);
    assert!(catalogue.declare_all(&json!({ "settings": {} })).is_err());
    let bad = json!({ "plugins": { "tasks": { "notifications": [{}] } } });
    assert!(catalogue.declare_all(&bad).is_err());
}

#[test]
fn targets_are_read_in_all_their_spellings() {
    let role = Target::Role("editor".into());
    assert_eq!(Target::from_json(&json!("role:editor")).unwrap(), role);
    assert_eq!(
        Target::from_json(&json!({ "role": "editor" })).unwrap(),
        role
    );
    assert_eq!(Target::from_json(&json!("all")).unwrap(), Target::All);
    let users = Target::Users(vec!["a".into(), "b".into()]);
    assert_eq!(Target::from_json(&json!(["b", "a", "b"])).unwrap(), users);
    let old = json!({ "type": "user_ids", "ids": ["b", "a"] });
    assert_eq!(Target::from_json(&old).unwrap(), users);
    let old = json!({ "type": "all" });
    assert_eq!(Target::from_json(&old).unwrap(), Target::All);
    for kind in ["subscription", "plugin", "query"] {
        let old = json!({ "type": kind, "tier": "premium" });
        let told = Target::from_json(&old).unwrap_err().to_string();
        assert!(told.contains("name a role or users"), "{told}");
    }
    for bad in [
        json!([]),
        json!("some"),
        json!(7),
        json!({ "role": "a", "users": ["b"] }),
        json!({ "type": "user_ids" }),
        json!({ "type": "some" }),
    ] {
        assert!(Target::from_json(&bad).is_err(), "{bad}");
    }
}

#[test]
fn only_listed_push_services_may_be_called() {
    let config = PushConfig {
        private_key: String::new(),
        contact: String::new(),
        hosts: vec!["push.example.com".into()],
    };
    assert!(config.allows("https://push.example.com/a"));
    assert!(config.allows("https://eu.push.example.com:8443/a"));
    for bad in [
        "http://push.example.com/a",
        "https://evilpush.example.com/a",
        "https://push.example.com.evil.org/a",
        "https://push.example.com@evil.org/a",
        "ftp://push.example.com/a",
        "/a",
    ] {
        assert!(!config.allows(bad), "{bad}");
    }
}
