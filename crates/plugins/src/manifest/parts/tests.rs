use serde_json::{Value, json};

use super::{HookType, Phase, ScriptScope, Side};
use crate::manifest::{Manifest, parse, read, schema};

fn parsed(value: Value) -> Result<Manifest, String> {
    parse(value, "cart").map(|read| read.manifest)
}

#[test]
fn a_section_is_by_file_or_a_list_in_any_spelling() {
    let by_file = json!({
        "controllers": {"trackVisit.py": {
            "method": "POST", "path": "/track-visit", "requires_auth": true, "allowed_roles": null,
            "rate_limit": 100, "request_schema": {}, "response_schema": {},
        }},
        "hooks": {"product_price.py": {
            "hook_name": "product.price", "hook_type": "filter", "priority": 10, "required": false,
        }},
        "events": {"cart_viewed.py": {"event_name": "cart.viewed", "priority": 5, "client": true}},
        "middleware": {"stamp.py": {"phase": "request", "applies_to": ["/a/*", "execute"]}},
        "jobs": {"nightly.py": {"cron": "0 3 * * *", "timeout_seconds": 30}},
        "widgets": {"visits.js": {"widget_id": "visits", "default_config": {"a": 1}}},
        "scripts": {"components/Visits.js": {"scope": "frontend", "load_priority": 1}},
    });
    let listed = json!({
        "controllers": [{
            "file": "trackVisit.py", "method": "POST", "url": "/track-visit", "requiresAuth": true,
            "rateLimit": 100, "requestSchema": {}, "responseSchema": {},
        }],
        "hooks": [{
            "file": "product_price", "name": "product.price", "hookType": "filter", "priority": 10,
            "required": false,
        }],
        "events": [{"file": "cart_viewed.py", "event": "cart.viewed", "order": 5, "client": true}],
        "middleware": [{"file": "stamp.py", "phase": "request", "appliesTo": ["/a/*", "execute"]}],
        "jobs": [{"file": "nightly.py", "schedule": "0 3 * * *", "timeoutSeconds": 30}],
        "widgets": [{"file": "visits.js", "id": "visits", "defaultConfig": {"a": 1}}],
        "scripts": [{"file": "components/Visits.js", "scope": "frontend", "loadPriority": 1}],
    });
    let parts = parsed(by_file).unwrap().parts;
    assert_eq!(parts, parsed(listed).unwrap().parts);
    assert_eq!(parts.hooks[0].hook_type, Some(HookType::Filter));
    assert_eq!(parts.middleware[0].phase, Some(Phase::Request));
    assert_eq!(parts.scripts[0].scope, Some(ScriptScope::Frontend));
    assert_eq!(
        parts.modules(),
        [
            "middleware/stamp.py",
            "controllers/trackVisit.py",
            "hooks/product_price.py",
            "events/cart_viewed.py",
            "jobs/nightly.py"
        ]
    );
}

#[test]
fn what_is_switched_off_or_of_pages_is_not_imported() {
    let parts = parsed(json!({
        "hooks": {"off.py": {"is_enabled": false}, "page.js": {"scope": "frontend"}},
        "events": {"told.py": {"event_name": "a", "scope": "frontend"}},
        "widgets": {"served.py": {"widget_id": "w"}, "shown.js": {}},
    }));
    let parts = parts.unwrap().parts;
    assert_eq!(parts.modules(), ["widgets/served.py"]);
    assert_eq!(parts.for_code()["hooks"].as_array().unwrap().len(), 1);
    assert_eq!(parts.events[0].scope, Some(Side::Frontend));
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    let at = |section: &str, file: &str, entry: Value| json!({section: {file: entry}});
    let controller = |entry: Value| at("controllers", "a.py", entry);
    let long = format!("/{}", "a".repeat(500));
    let cases = [
        (
            json!({"controllers": 3}),
            "controllers: must be an object by file, not a number",
        ),
        (
            json!({"jobs": {"a.py": []}}),
            "jobs.a.py: must be an object, not an array",
        ),
        (json!({"hooks": [{}]}), "hooks[0].file: is missing"),
        (
            controller(json!({"method": "FETCH"})),
            "controllers.a.py.method: \"FETCH\" is none of GET",
        ),
        (
            controller(json!({"path": "x"})),
            "controllers.a.py.path: the path \"x\" must begin with '/'",
        ),
        (
            controller(json!({"path": "/scripts"})),
            "controllers.a.py.path: the path \"/scripts\" begins",
        ),
        (
            controller(json!({"path": long})),
            "is longer than 500 bytes",
        ),
        (
            controller(json!({"rate_limit": 0})),
            "controllers.a.py.rate_limit: invalid value",
        ),
        (
            controller(json!({"rate_limit": "many"})),
            "controllers.a.py.rate_limit: invalid type",
        ),
        (
            controller(json!({"requires_auth": 1})),
            "controllers.a.py.requires_auth: invalid type",
        ),
        (
            controller(json!({"request_schema": {"type": 3}})),
            "controllers.a.py.request_schema: request_schema is no JSON Schema",
        ),
        (
            controller(json!({"allowed_roles": ["a\nb"]})),
            "controllers.a.py.allowed_roles: ",
        ),
        (
            controller(json!({"timeout_seconds": 0})),
            "controllers.a.py.timeout_seconds: must be more",
        ),
        (
            controller(json!({"path": "/", "url": "/"})),
            "given twice, in two spellings",
        ),
        (
            controller(json!({"function": "a-b"})),
            "controllers.a.py.function: \"a-b\" is no name",
        ),
        (
            at("controllers", "../a.py", json!({})),
            "controllers.../a.py: \"../a.py\" is no file",
        ),
        (
            at("controllers", "a.b.py", json!({})),
            "\"a.b.py\" is no file of a part",
        ),
        (
            at("controllers", "a.js", json!({})),
            "\"a.js\" has an ending that is none",
        ),
        (
            at("controllers", "/etc/a.py", json!({})),
            "is no file of a part",
        ),
        (
            at("hooks", "a.py", json!({"hook_name": "<b>"})),
            "hooks.a.py.hook_name: \"<b>\" is no name",
        ),
        (
            at("hooks", "a.py", json!({"hook_type": "both"})),
            "hooks.a.py.hook_type: unknown variant",
        ),
        (
            at("hooks", "a.py", json!({"priority": 10_001})),
            "hooks.a.py.priority: must be -10000 to",
        ),
        (
            at("hooks", "a.js", json!({"hook_name": "a"})),
            "hooks.a.js.scope: a .js file runs in pages",
        ),
        (
            at("events", "a.py", json!({"event_name": "a b"})),
            "events.a.py.event_name: \"a b\" is no",
        ),
        (
            at(
                "events",
                "a.py",
                json!({"event_name": "a*", "client": true}),
            ),
            "events.a.py.event_name: what pages may publish",
        ),
        (
            at("middleware", "a.py", json!({"phase": "late"})),
            "middleware.a.py.phase: unknown variant",
        ),
        (
            at("middleware", "a.py", json!({"applies_to": ["x"]})),
            "middleware.a.py.applies_to: \"x\" is",
        ),
        (
            at("jobs", "a.py", json!({"cron": "61 * * * *"})),
            "jobs.a.py.cron: \"61 * * * *\" is no cron",
        ),
        (
            at("jobs", "a.py", json!({"timezone": "Mars/Olympus"})),
            "jobs.a.py.timezone: \"Mars/Olympus\"",
        ),
        (
            at("jobs", "a.py", json!({"missed": "later"})),
            "jobs.a.py.missed: \"later\" is neither",
        ),
        (
            at("widgets", "a.js", json!({"widget_id": "<b>"})),
            "widgets.a.js.widget_id: \"<b>\" is no",
        ),
        (
            at("widgets", "a.css", json!({})),
            "\"a.css\" has an ending that is none",
        ),
        (
            at("scripts", "events/a.js", json!({})),
            "scripts.events/a.js.file: has a place of its own",
        ),
        (
            at("scripts", "a.js", json!({})),
            "scripts.a.js.file: stands in none of",
        ),
        (
            at("scripts", "utils/a.py", json!({"scope": "frontend"})),
            "scripts.utils/a.py.scope: Python runs in the backend alone",
        ),
        (
            json!({"controllers": {
                "a.py": {"method": "GET", "path": "/x/{id}"}, "b.py": {"method": "get", "path": "/x/:other"},
            }}),
            "controllers.b.py.path: GET /x/:other is the route of controllers/a.py already",
        ),
        (
            json!({"widgets": {"a.js": {"widget_id": "w"}, "b.js": {"widget_id": "w"}}}),
            "widgets.b.js.widget_id: \"w\" is the widget of widgets/a.js already",
        ),
    ];
    for (written, said) in cases {
        let reason = parsed(written.clone()).unwrap_err();
        assert!(reason.contains(said), "{written}: {reason}");
    }
    let many: serde_json::Map<String, Value> = (0..501)
        .map(|at| (format!("f{at}.py"), json!({})))
        .collect();
    let reason = parsed(json!({"jobs": many})).unwrap_err();
    assert_eq!(reason, "jobs: has 501 entries; 500 are allowed");
}

#[test]
fn a_slip_is_a_warning_that_names_what_was_meant() {
    let read = parse(json!({"hooks": {"a.py": {"hook_nam": "x"}}}), "cart").unwrap();
    assert_eq!(
        read.warnings,
        ["hooks.a.py.hook_nam: unknown key, ignored; did you mean \"hook_name\"?"]
    );
}

#[test]
fn the_published_schema_has_both_forms() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for good in [
        json!({"hooks": {"a.py": {"hook_name": "a", "priority": 1}}}),
        json!({"hooks": [{"file": "a.py", "hook_name": "a"}]}),
    ] {
        assert!(validator.is_valid(&good), "{good}");
    }
    for bad in [
        json!({"hooks": {"a.py": {"priority": "first"}}}),
        json!({"hooks": {"a.py": {"priority": 20_000}}}),
        json!({"jobs": 7}),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn files_are_there_and_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put(
        "plugin.json",
        r#"{"hooks": {"named.py": {"hook_name": "a"}}}"#,
    );
    put("hooks/named.py", "");
    put(
        "hooks/decorated.py",
        "from core.plugin import hook\n@hook('b')\ndef b(v): ...\n",
    );
    put(
        "events/said.py",
        "import core.event_bus as bus\n@bus.on_event('b')\ndef b(v): ...\n",
    );
    put("hooks/stray.py", "def hook(): ...\n# @hook\n");
    put("hooks/_own.py", "");
    put("jobs/readme.txt", "");
    std::fs::write(outside.path().join("x.py"), "@hook('x')\n").unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("x.py"),
        dir.path().join("hooks/linked.py"),
    )
    .unwrap();
    let found = read(dir.path(), "cart").unwrap();
    assert_eq!(
        found.manifest.parts.modules(),
        ["hooks/named.py", "hooks/decorated.py", "events/said.py"]
    );
    let told: Vec<_> = found
        .warnings
        .iter()
        .filter_map(|said| said.split(':').next())
        .collect();
    assert_eq!(told, ["hooks/linked.py", "hooks/stray.py"]);

    put(
        "plugin.json",
        r#"{"jobs": {"gone.py": {"cron": "* * * * *"}}}"#,
    );
    let reason = read(dir.path(), "cart").unwrap_err();
    assert_eq!(reason, "plugin.json: jobs.gone.py: there is no such file");
    put("plugin.json", r#"{"hooks": {"linked.py": {}}}"#);
    let reason = read(dir.path(), "cart").unwrap_err();
    assert_eq!(
        reason,
        "plugin.json: hooks.linked.py: it is a link to outside the plugin"
    );
    put(
        "plugin.json",
        r#"{"jobs": {"gone.py": {"is_enabled": false}}}"#,
    );
    read(dir.path(), "cart").unwrap();
}
