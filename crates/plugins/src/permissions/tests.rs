use serde_json::{Value, json};

use super::*;

fn read(written: Value) -> Declared {
    Declared::read(written).expect("permissions")
}

#[test]
fn both_forms_mean_the_same() {
    let list = read(json!([
        "server.read",
        "user.*",
        "notifications",
        "settingsAll"
    ]));
    let object = read(json!({
        "database": [
            {"collection": "server", "access": "read"},
            "user",
        ],
        "notifications": true,
        "settings_all": true,
    }));
    assert_eq!(list.permissions, object.permissions);
    assert!(list.unknown.is_empty());
    let camel = read(json!({"settingsAll": true, "fileSystem": [], "filesystem": ["a:ro"]}));
    assert!(camel.permissions.has(Switch::SettingsAll));
    assert_eq!(camel.unknown, ["\"fileSystem\""]);
}

#[test]
fn what_is_written_is_read_again_as_it_was() {
    let all = Permissions::everything();
    assert_eq!(read(all.to_value()).permissions, all);
    let some = read(json!({
        "database": [{"collection": "a_*", "access": "read", "scope": "user"}],
        "filesystem": ["up/load:ro", "x/"],
        "network": ["API.example.com:8443"],
        "events": {"publish": ["x:*"], "subscribe": []},
    }));
    assert_eq!(
        read(some.permissions.to_value()).permissions,
        some.permissions
    );
    assert_eq!(some.permissions.network, ["api.example.com:8443"]);
}

#[test]
fn what_makes_no_sense_names_its_key() {
    for (written, key) in [
        (json!({"filesystem": ["/etc"]}), "filesystem[0]"),
        (json!({"filesystem": ["a", "a/../.."]}), "filesystem[1]"),
        (json!({"filesystem": ["a\\..\\b"]}), "filesystem[0]"),
        (json!({"filesystem": ["../x:ro"]}), "filesystem[0]"),
        (json!({"network": ["https://x.com"]}), "network[0]"),
        (json!({"network": ["x.com/path"]}), "network[0]"),
        (json!({"database": ["a*b"]}), "database[0]"),
        (json!({"database": ["system.users"]}), "database[0]"),
        (
            json!({"database": [{"collection": "a", "access": "all"}]}),
            "database[0]",
        ),
        (
            json!({"database": [{"collection": "a", "acess": "read"}]}),
            "database[0]",
        ),
        (json!({"database": "a"}), "database"),
        (json!({"notifications": "yes"}), "notifications"),
        (
            json!({"settings_all": true, "settingsAll": true}),
            "settings",
        ),
        (json!({"events": ["a"]}), "events"),
        (json!([1]), "[0]"),
    ] {
        let why = Declared::read(written.clone()).expect_err("an error");
        assert!(why.contains(key), "{written}: {why}");
    }
    assert!(Declared::read(json!("all")).is_err());
    let odd = read(json!({"telepathy": true, "database": []}));
    assert_eq!(odd.unknown, ["\"telepathy\""]);
    assert_eq!(read(json!(["fly"])).unknown, ["\"fly\""]);
}

#[test]
fn entries_cover_what_they_say_and_no_more() {
    let given = read(json!({
        "database": [{"collection": "orders", "access": "read"}, "log_*"],
        "network": ["api.example.com", "*.example.org", "odd.example.com:8443"],
        "filesystem": ["up", "in:ro"],
        "hooks": ["order.created"],
        "events": {"publish": ["mail:*"], "subscribe": ["tasks:*"]},
        "api": ["weather"],
    }))
    .permissions;
    let rule = |name| {
        let rule = given.collection(name, false);
        (rule.read, rule.write)
    };
    assert_eq!(rule("orders"), (true, false));
    assert_eq!(rule("log_a"), (true, true));
    assert_eq!(rule("log"), (false, false));
    assert_eq!(rule("orders2"), (false, false));
    for (host, port, is_default, may) in [
        ("api.example.com", 443, true, true),
        ("api.example.com", 8443, false, false),
        ("odd.example.com", 8443, false, true),
        ("odd.example.com", 443, true, false),
        ("a.b.example.org", 443, true, true),
        ("example.org", 443, true, false),
        ("evilexample.org", 443, true, false),
        ("api.example.com.evil.net", 443, true, false),
    ] {
        assert_eq!(
            given.may_reach(host, port, is_default),
            may,
            "{host}:{port}"
        );
    }
    for (path, access, may) in [
        ("up", Access::Write, true),
        ("up/a/b", Access::Write, true),
        ("upper", Access::Read, false),
        ("in/a", Access::Read, true),
        ("in/a", Access::Write, false),
    ] {
        assert_eq!(given.may_use_path(path, access), may, "{path}");
    }
    assert!(given.may_publish("shop", "shop:sold") && given.may_publish("shop", "mail:sent"));
    assert!(!given.may_publish("shop", "shopping:sold") && !given.may_publish("shop", "shop"));
    for (pattern, may) in [
        ("shop:*", true),
        ("shop.*", true),
        ("tasks:*", true),
        ("tasks:done", true),
        ("order.created", true),
        ("order.*", false),
        ("*", false),
        ("t*", false),
        ("mail:sent", false),
    ] {
        assert_eq!(given.may_subscribe("shop", pattern), may, "{pattern}");
    }
    assert!(given.may_call("weather") && !given.may_call("news"));
}

#[test]
fn of_two_entries_for_a_collection_the_stricter_scope_counts() {
    let given = read(json!({"database": ["*", {"collection": "notes", "scope": "user"}]}));
    let wanted = Permissions::wanted(Some(&given), Origin::Directory, ConsentPolicy::default());
    assert!(wanted.collection("notes", false).of_user);
    assert!(!wanted.collection("other", false).of_user);
    assert!(!wanted.whole_database(Access::Read));
    let stored = Permissions::wanted(Some(&given), Origin::Database, ConsentPolicy::default());
    assert!(stored.collection("other", false).of_user);
    assert!(stored.collection("mine_x", true).of_user);
    let app = read(json!({"database": [{"collection": "mine_x", "scope": "app"}]}));
    let app = Permissions::wanted(Some(&app), Origin::Generated, ConsentPolicy::default());
    assert!(!app.collection("mine_x", true).of_user);
}

#[test]
fn without_a_key_a_plugins_source_decides() {
    let trusting = ConsentPolicy::default();
    let asking = ConsentPolicy {
        for_directories: true,
    };
    let without = |origin, policy| Permissions::wanted(None, origin, policy);
    let all = without(Origin::Directory, trusting);
    assert!(all.whole_database(Access::Write) && !all.has(Switch::Admin));
    assert!(all.may_subscribe("x", "*") && all.has(Switch::SettingsAll));
    for (origin, policy) in [
        (Origin::Directory, asking),
        (Origin::Builtin, asking),
        (Origin::Package, trusting),
        (Origin::Git, trusting),
        (Origin::Database, trusting),
        (Origin::Generated, trusting),
    ] {
        let own = without(origin, policy);
        assert!(missing(&own, &Permissions::own()).is_empty(), "{origin:?}");
        assert!(!own.collection("orders", false).read);
        assert!(own.collection("x_y", true).write);
        // Of a load that has ended nobody knows what it was to keep apart.
        assert!(Permissions::own().collection("x_y", true).of_user);
    }
}

#[test]
fn more_than_was_granted_is_missing() {
    let wanted = read(json!({
        "database": ["orders", {"collection": "users", "access": "read", "scope": "app"}],
        "network": ["api.example.com", "*.example.org"],
        "filesystem": ["up"],
        "events": {"publish": ["a:b"], "subscribe": ["c:*"]},
        "hooks": ["h"], "api": ["weather"], "broadcast": true,
    }))
    .permissions;
    assert!(missing(&wanted, &wanted).is_empty());
    assert!(missing(&wanted, &Permissions::everything()).is_empty());
    assert!(missing(&Permissions::own(), &Permissions::own()).is_empty());
    let granted = read(json!({
        "database": [{"collection": "orders", "access": "read"},
                     {"collection": "users", "access": "read", "scope": "user"}],
        "network": ["example.com", "a.example.org"],
        "filesystem": ["up:ro"],
        "events": {"publish": ["a:c"], "subscribe": ["c:d"]},
    }))
    .permissions;
    assert_eq!(
        missing(&wanted, &granted),
        [
            "database:orders:write",
            "database:users:read",
            "api:weather",
            "network:api.example.com",
            "network:*.example.org",
            "hooks:h",
            "events.publish:a:b",
            "events.subscribe:c:*",
            "filesystem:up:write",
            "broadcast",
        ]
    );
}

#[test]
fn denials_are_bounded_and_kept_apart_by_app() {
    let denials = Denials::default();
    let plugin: std::sync::Arc<str> = "shop".into();
    let of = |n: usize, app: &str| Denial {
        app_id: Some(app.into()),
        ..Denial::now(format!("database:c{}:read", n % 2), "db.command")
    };
    let news = (0..60)
        .filter(|n| denials.note(&plugin, of(*n, "a")))
        .count();
    assert_eq!(news, 2);
    denials.note(&plugin, of(0, "b"));
    assert_eq!(denials.counts(), [(plugin, 61)]);
    assert_eq!(denials.latest("shop", None).len(), 50);
    assert_eq!(denials.latest("shop", Some("a")).len(), 49);
    assert_eq!(denials.latest("shop", Some("b")).len(), 1);
    assert!(denials.latest("other", None).is_empty());
}
