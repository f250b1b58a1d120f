use super::*;

#[test]
fn names_of_plugins_are_checked() {
    for good in ["notes", "my_plugin", "my-plugin2"] {
        assert!(check_name(good).is_ok(), "{good}");
    }
    for bad in ["", "Notes", "a.b", "$set", "2fast", "a b", &"x".repeat(65)] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let schema = json!({
        "type": "object",
        "properties": {
            "theme": { "enum": ["auto", "dark"] },
            "list": { "type": "array", "items": { "type": "integer" } },
        },
        "additionalProperties": false,
    });
    assert!(check("p", &schema, &json!({ "theme": "dark", "list": [1] })).is_ok());
    let Err(SettingsError::Invalid(problems)) = check(
        "p",
        &schema,
        &json!({ "theme": "pink", "list": [1, "two"], "more": 1 }),
    ) else {
        panic!("it was accepted");
    };
    let mut paths: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["", "/list/1", "/theme"]);
}

#[test]
fn a_schema_that_is_none_checks_nothing() {
    for schema in [json!([{ "name": "theme" }]), json!({ "type": 7 })] {
        assert!(
            check("p", &schema, &json!({ "theme": 1 })).is_ok(),
            "{schema}"
        );
    }
}
