use serde_json::json;

use super::*;

fn parsed(value: Value) -> Result<ReadManifest, String> {
    parse(value, "task_manager")
}

#[test]
fn without_a_manifest_there_are_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let read = read(dir.path(), "task_manager").unwrap();
    assert_eq!(read.manifest.version, "0.0.0");
    assert_eq!(read.manifest.display_name, "Task Manager");
    assert!(read.warnings.is_empty());
}

#[test]
fn takes_every_key_in_both_spellings() {
    let snake = json!({
        "name": "task_manager", "version": "1.2.3", "display_name": "Tasks", "description": "d",
        "author": "a", "license": "MIT", "icon": "i", "tags": ["t"], "homepage": "h",
        "min_gateway_version": "0.0.1", "permissions": ["p.read"], "config": {"k": 1},
        "settings_schema": {"type": "object"}, "notifications": [{}], "resource_limits": {"memory": "64MB"},
        "timeout_seconds": 1.5, "max_concurrency": 3, "requirements": ["r"], "dependencies": {"x": "^1"},
    });
    let camel = json!({
        "name": "task_manager", "version": "1.2.3", "displayName": "Tasks", "description": "d",
        "author": {"name": "a"}, "license": "MIT", "icon": "i", "tags": ["t"], "homepage": "h",
        "minGatewayVersion": "0.0.1", "permissions": ["p.read"], "config": {"k": 1},
        "settingsSchema": {"type": "object"}, "notifications": [{}], "resourceLimits": {"memory": "64MB"},
        "timeoutSeconds": 1.5, "maxConcurrency": 3, "requirements": ["r"],
        "dependencies": {"x": "^1"},
    });
    let snake = parsed(snake).unwrap();
    assert_eq!(snake.warnings, Vec::<String>::new());
    assert_eq!(snake.manifest.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(snake.manifest.max_concurrency, Some(3));
    assert_eq!(snake, parsed(camel).unwrap());
}

#[test]
fn the_schema_knows_the_same_keys() {
    let schema = schema();
    let mut known = schema["properties"].as_object().unwrap().clone();
    for (_, value) in &mut known {
        *value = json!(true);
    }
    for key in known.keys() {
        let odd = parsed(json!({key.as_str(): 0.5})).map(|read| read.manifest);
        let refused = odd
            .as_ref()
            .is_err_and(|reason| reason.starts_with(key.as_str()));
        assert!(refused || key == "timeout_seconds", "{key}: {odd:?}");
    }
    assert!(
        jsonschema::validator_for(&schema)
            .unwrap()
            .is_valid(&json!({"version": "1.0.0"}))
    );
}

#[test]
fn unknown_keys_are_warnings() {
    let read = parsed(json!({"colour": "red", "name": "other", "Timeout-Second": 3})).unwrap();
    assert_eq!(read.warnings.len(), 3);
    let slip = "Timeout-Second: unknown key, ignored; did you mean \"timeout_seconds\"?";
    assert!(
        read.warnings.iter().any(|warning| warning == slip),
        "{:?}",
        read.warnings
    );
    assert!(
        read.warnings
            .iter()
            .any(|warning| warning.starts_with("colour: unknown key"))
    );
}

#[test]
fn complaints_name_the_key() {
    for (value, start) in [
        (json!([]), "must be a JSON object, not an array"),
        (
            json!({"version": 1}),
            "version: must be a string, not a number",
        ),
        (
            json!({"displayName": 1}),
            "displayName: invalid type: integer `1`",
        ),
        (json!({"type": "x"}), "type: unknown variant `x`"),
        (
            json!({"entry": "../x.py"}),
            "entry: \"../x.py\" must be a path below",
        ),
        (
            json!({"backend": {"entry": "/x"}}),
            "backend.entry: \"/x\" must be",
        ),
        (
            json!({"gateway_version": "new"}),
            "gateway_version: \"new\" is no version range",
        ),
        (
            json!({"catalystVersion": ">=99"}),
            "gateway_version: needs >=99",
        ),
        (
            json!({"dependencies": {"X": "1"}}),
            "dependencies: \"X\" is no plugin's name",
        ),
        (
            json!({"dependencies": {"x": "new"}}),
            "dependencies: x: \"new\" is no version range",
        ),
        (
            json!({"events": [{"event_name": "a"}]}),
            "events[0].file: is missing",
        ),
        (
            json!({"version": "1.0"}),
            "version: \"1.0\" is no semantic version",
        ),
        (json!({"tags": "a"}), "tags: invalid type: string"),
        (json!({"tags": ["a", 1]}), "tags[1]: invalid type: integer"),
        (
            json!({"timeoutSeconds": "5"}),
            "timeoutSeconds: must be a number of seconds",
        ),
        (
            json!({"timeout_seconds": 0}),
            "timeout_seconds: must be more than 0",
        ),
        (
            json!({"timeout_seconds": 1e9}),
            "timeout_seconds: must be more than 0",
        ),
        (
            json!({"max_concurrency": 0}),
            "max_concurrency: must be 1 to",
        ),
        (
            json!({"max_concurrency": 1.5}),
            "max_concurrency: must be a whole number",
        ),
        (json!({"config": []}), "config: invalid type: sequence"),
        (
            json!({"min_gateway_version": "99.0.0"}),
            "min_gateway_version: needs 99.0.0",
        ),
        (
            json!({"displayName": "a", "display_name": "b"}),
            "display_name: given twice",
        ),
    ] {
        let reason = parsed(value.clone()).unwrap_err();
        assert!(reason.starts_with(start), "{value}: {reason}");
    }
}

#[test]
fn broken_files_are_complaints_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("manifest.json"), "{").unwrap();
    let reason = read(dir.path(), "a").unwrap_err();
    assert!(
        reason.starts_with("manifest.json is not valid JSON"),
        "{reason}"
    );
    std::fs::write(dir.path().join("plugin.json"), " ".repeat(300_000)).unwrap();
    let reason = read(dir.path(), "a").unwrap_err();
    assert!(reason.starts_with("plugin.json is larger than"), "{reason}");
}
