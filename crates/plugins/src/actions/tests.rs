use super::*;

const DEPTH: usize = 64;

fn declared(name: &str, input: Value) -> DeclaredAction {
    DeclaredAction {
        name: name.into(),
        description: None,
        input: input.to_string(),
        result: "{}".into(),
    }
}

fn actions(input: Value) -> Actions {
    Actions::of(&[declared("create", input)], false).unwrap()
}

fn refused(actions: &Actions, body: &Value) -> (String, Value) {
    match actions.check(body.to_string().as_bytes(), DEPTH) {
        Err(DispatchError::Misfit(error)) => (
            error.message,
            serde_json::from_slice(&error.details.unwrap()).unwrap(),
        ),
        other => panic!("{body} is not refused: {other:?}"),
    }
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

#[test]
fn what_does_not_fit_is_named_to_the_last_step() {
    let input = object(
        json!({
            "action": {"const": "create"},
            "title": {"type": "string", "minLength": 1},
            "due": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "lines": {"anyOf": [
                {"type": "array", "items": object(json!({"n": {"type": "integer"}}), &["n"])},
                {"type": "null"},
            ]},
            "shape": {"oneOf": [
                object(json!({"kind": {"const": "a"}, "r": {"type": "number"}}), &["kind"]),
                object(json!({"kind": {"const": "b"}, "w": {"type": "number"}}), &["kind"]),
                {"type": "string", "maxLength": 3},
            ]},
            "a/b": object(json!({"n": {"type": "integer", "minimum": 3}}), &["n"]),
        }),
        &["action", "title"],
    );
    let actions = actions(input);
    let body = |more: Value| {
        let mut body = json!({"action": "create", "title": "Milk"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for good in [
        body(json!({})),
        body(json!({"due": null, "a/b": {"n": 3.0}})),
        body(json!({"due": "2026-02-28T10:00:00.5+02:00", "a/b": {"n": u64::MAX}})),
        // Whatever stands there is not the client's to say.
        body(
            json!({"user_id": 7, "app_id": [], "_context": {}, "user_jwt": "x", "_entitlements": 1}),
        ),
    ] {
        actions.check(good.to_string().as_bytes(), DEPTH).unwrap();
    }
    for (more, path) in [
        (json!({"title": 7}), "/title"),
        (json!({"title": ""}), "/title"),
        (json!({"titel": "x"}), "/titel"),
        (json!({"due": "2026-02-30T10:00:00Z"}), "/due"),
        (json!({"due": "2026-02-03T10:00:00"}), "/due"),
        (json!({"lines": [{"n": 1}, {"n": "x"}]}), "/lines/1/n"),
        (json!({"lines": [{}]}), "/lines/0/n"),
        (json!({"lines": 7}), "/lines"),
        (json!({"shape": "long"}), "/shape"),
        (json!({"shape": 7}), "/shape"),
        (json!({"shape": {"kind": "b", "w": "x"}}), "/shape/w"),
        (json!({"a/b": {}}), "/a~1b/n"),
        (json!({"a/b": {"n": 2}}), "/a~1b/n"),
        (json!({"a/b": {"n": true}}), "/a~1b/n"),
        (json!({"a/b": {"n": 3.5}}), "/a~1b/n"),
    ] {
        let (message, details) = refused(&actions, &body(more));
        assert_eq!(details, json!({"path": path, "action": "create"}));
        assert!(message.contains(path), "{message}");
    }
    let (message, details) = refused(&actions, &json!({"action": "create"}));
    assert_eq!(
        (&*message, details["path"].as_str()),
        (
            "the action create does not take this: /title: it is missing",
            Some("/title"),
        )
    );
    let secret = "s".repeat(100_000);
    let (message, _) = refused(&actions, &body(json!({"due": secret})));
    assert!(
        message.len() < 1000 && !message.contains("ssss"),
        "{message}"
    );
}

#[test]
fn integers_beyond_every_float_are_integers() {
    let actions = actions(object(
        json!({"action": {}, "n": {"type": "integer", "minimum": 0}}),
        &[],
    ));
    let body = |digits: &str| format!("{{\"action\": \"create\", \"n\": {digits}}}");
    let check = |digits: &str| actions.check(body(digits).as_bytes(), DEPTH);
    check(&"9".repeat(4000)).unwrap();
    check("18446744073709551615").unwrap();
    assert!(check(&format!("-{}", "9".repeat(4000))).is_err());
    assert!(matches!(
        check("1e999"),
        Err(DispatchError::Call(CallError::InvalidJson(_)))
    ));
    assert!(matches!(
        actions.check(b"[]", DEPTH),
        Err(DispatchError::Call(CallError::NotAnObject(_)))
    ));
}

#[test]
fn of_a_name_given_twice_the_last_counts_as_in_python() {
    let actions = actions(object(json!({"action": {}, "n": {"type": "integer"}}), &[]));
    let check = |body: &str| actions.check(body.as_bytes(), DEPTH);
    check(r#"{"action": "create", "n": "x", "n": 1}"#).unwrap();
    assert!(check(r#"{"action": "create", "n": 1, "n": "x"}"#).is_err());
    assert!(check(r#"{"action": "create", "action": "other"}"#).is_err());
    check(r#"{"action": "other", "action": "create"}"#).unwrap();
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let all: Vec<_> = ["create", "list", "close"]
        .map(|name| declared(name, json!({})))
        .into();
    let actions = Actions::of(&all, false).unwrap();
    let (message, details) = refused(&actions, &json!({"action": "creat"}));
    assert_eq!(
        message,
        "there is no action \"creat\" here: one of create, list, close; did you mean \"create\"?"
    );
    assert_eq!(details["actions"], json!(["create", "list", "close"]));
    assert_eq!(
        (&details["path"], &details["nearest"]),
        (&json!("/action"), &json!("create"))
    );
    let (_, details) = refused(&actions, &json!({"action": "something else"}));
    assert_eq!(details.get("nearest"), None);
    for none in [json!({}), json!({"action": 7}), json!({"action": null})] {
        assert_eq!(refused(&actions, &none).1["path"], "/action");
    }
    assert!(
        actions.check(b"", DEPTH).is_err(),
        "an empty body names none"
    );
    let (message, _) = refused(&actions, &json!({"action": "x".repeat(100_000)}));
    assert!(message.len() < 500, "{message}");
    let with_execute = Actions::of(&all, true).unwrap();
    for rest in [
        &b""[..],
        b"{}",
        br#"{"action": "creat"}"#,
        br#"{"action": 7}"#,
    ] {
        with_execute.check(rest, DEPTH).unwrap();
    }
}

#[test]
fn a_plugin_cannot_declare_without_end() {
    let of = |all: &[DeclaredAction]| Actions::of(all, false).map(|_| ());
    let many: Vec<_> = (0..=MAX_ACTIONS)
        .map(|at| declared(&format!("a{at}"), json!({})))
        .collect();
    assert!(of(&many).unwrap_err().contains("at most 500 actions"));
    of(&many[1..]).unwrap();
    let large =
        |name: &str, bytes: usize| declared(name, json!({"description": "x".repeat(bytes)}));
    assert!(
        of(&[large("a", MAX_SCHEMA_BYTES)])
            .unwrap_err()
            .contains("\"a\"")
    );
    let all: Vec<_> = (0..20)
        .map(|at| large(&format!("a{at}"), 250_000))
        .collect();
    assert!(of(&all).unwrap_err().contains("bytes"));
    for name in ["", "1a", "a b", "ä", &"a".repeat(65), "a/b"] {
        assert!(of(&[declared(name, json!({}))]).is_err(), "{name}");
    }
    let twice = [declared("a", json!({})), declared("a", json!({}))];
    assert!(of(&twice).unwrap_err().contains("two actions"));
    for odd in ["[]", "{", "true", "{\"type\": 7}", "{\"pattern\": \"(\"}"] {
        let mut action = declared("a", json!({}));
        action.input = odd.into();
        assert!(of(&[action]).unwrap_err().contains("\"a\""), "{odd}");
    }
    let mut nested = declared("a", json!({}));
    nested.input = format!(
        "{}{}",
        "{\"not\":".repeat(5000),
        "{}".to_owned() + &"}".repeat(5000)
    );
    assert!(of(&[nested]).is_err());
    let mut wordy = declared("a", json!({}));
    wordy.description = Some("x".repeat(MAX_DESCRIPTION_BYTES + 1));
    assert!(of(&[wordy]).is_err());
}

#[test]
fn a_schema_that_is_itself_ends() {
    for input in [
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#/$defs/a", "$defs": {
            "a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]},
        }}),
    ] {
        // Whether it fits nobody knows; that there is an answer counts.
        if let Ok(actions) = Actions::of(&[declared("create", input)], false) {
            let _ = actions.check(br#"{"action": "create", "x": {"x": 1}}"#, DEPTH);
        }
    }
}

#[test]
fn unions_that_hold_themselves_cost_no_more_than_what_they_are_held_against() {
    let side = |kind: &str| {
        object(
            json!({"child": {"anyOf": [
                {"$ref": "#/$defs/Left"}, {"$ref": "#/$defs/Right"}, {"type": "null"},
            ]}, "kind": {"const": kind}}),
            &["child"],
        )
    };
    let input = json!({
        "type": "object",
        "properties": {"action": {}, "tree": {"$ref": "#/$defs/Left"}},
        "$defs": {"Left": side("left"), "Right": side("right")},
    });
    let actions = actions(input);
    let tree = |leaf: Value| {
        let nested = (0..60).fold(leaf, |child, _| json!({ "child": child }));
        json!({"action": "create", "tree": nested}).to_string()
    };
    actions.check(tree(Value::Null).as_bytes(), DEPTH).unwrap();
    match actions.check(tree(json!(7)).as_bytes(), DEPTH) {
        Err(DispatchError::Misfit(error)) => {
            assert!(error.message.contains("/tree/child"), "{}", error.message);
        }
        other => panic!("{other:?}"),
    }
}
