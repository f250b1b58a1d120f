use super::*;

#[test]
fn a_row_decides_only_where_all_of_it_makes_sense() {
    let good = doc! {
        "name": "shop", "enabled": true, "enabled_apps": ["a"], "disabled_apps": Bson::Null,
        "removed_at": Bson::Null, "reload": 2_i32, "more": { "x": 1 },
    };
    let row = readable(&good).unwrap();
    assert_eq!((row.enabled, row.removed, row.reload), (true, false, 2));
    assert!(row.apps.allow("a") && !row.apps.allow("b"));
    for (field, value, said) in [
        ("name", Bson::from("../../etc"), "name"),
        ("name", Bson::from("registry"), "name"),
        ("name", Bson::from(7), "name"),
        ("enabled", Bson::from("yes"), "enabled"),
        ("enabled", Bson::Null, "enabled"),
        ("enabled_apps", Bson::from("a"), "enabled_apps"),
        ("enabled_apps", Bson::from(vec![1, 2]), "enabled_apps"),
        (
            "disabled_apps",
            Bson::from(doc! { "a": 1 }),
            "disabled_apps",
        ),
        ("removed_at", Bson::from("yesterday"), "removed_at"),
        ("reload", Bson::from(1.5), "reload"),
        ("reload", Bson::from("1"), "reload"),
        (
            "permissions_granted",
            Bson::from("all"),
            "permissions_granted",
        ),
        (
            "permissions_granted",
            Bson::from(doc! { "at": DateTime::now(), "granted": { "admin": "yes" } }),
            "permissions_granted",
        ),
        (
            "permissions_granted",
            Bson::from(doc! { "at": DateTime::now(), "granted": { "fly": true } }),
            "permissions_granted",
        ),
        (
            "permissions_granted",
            Bson::from(doc! { "granted": {} }),
            "permissions_granted",
        ),
    ] {
        let mut bad = good.clone();
        bad.insert(field, value.clone());
        let odd = readable(&bad).unwrap_err();
        assert!(
            odd.reason.contains(said),
            "{field}: {value}: {}",
            odd.reason
        );
    }
}

#[test]
fn differences_are_named() {
    let before = Row::new("a", true, None);
    let mut after = before.clone();
    assert!(after.differences(&before).is_empty());
    after.enabled = false;
    after.apps.except.insert("x".into());
    after.reload = 1;
    assert_eq!(
        after.differences(&before),
        ["enabled", "disabled_apps", "reload"]
    );
}
