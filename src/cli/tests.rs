//! The command line: its grammar, and commands that start no gateway.

use std::{fs, path::Path};

use clap::CommandFactory as _;

use super::*;
use mozaiks_config::KEYS;

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("mozaiks").chain(args.iter().copied()))
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_key_of_the_configuration_has_its_flag() {
    for command in ["serve", "doctor", "config", "token"] {
        for key in KEYS {
            let flag = if key.is_switch() {
                format!("--{}", key.flag)
            } else {
                format!("--{}=1", key.flag)
            };
            let mut args = vec![command, &flag];
            if command == "token" {
                args.extend(["--user", "u"]);
            }
            parse(&args).unwrap_or_else(|error| panic!("{command} {flag}: {error}"));
        }
    }
}

#[test]
fn flags_reach_the_configuration() {
    let Command::Serve(flags) = parse(&[
        "serve",
        "--dev",
        "--listen",
        "127.0.0.1:0",
        "--plugins",
        "p",
        "--data-dir=d",
        "--domain-errors-as-200=false",
        "--plugin-timeout-seconds",
        "1.5",
    ])
    .unwrap()
    .command
    else {
        panic!("not serve");
    };
    let config = flags.load(true).unwrap().config;
    assert!(config.dev);
    assert_eq!(config.server.listen.port(), 0);
    assert_eq!(config.plugins.dir, Path::new("p"));
    assert_eq!(config.data_dir, Path::new("d"));
    assert!(!config.server.domain_errors_as_200);
    assert_eq!(config.plugins.call_timeout.as_millis(), 1500);
}

#[test]
fn bad_values_of_flags_are_problems_of_the_configuration() {
    let Command::Serve(flags) = parse(&["serve", "--dev=maybe", "--max-depth", "-1"])
        .unwrap()
        .command
    else {
        panic!("not serve");
    };
    let problems = flags.load(true).unwrap_err().0;
    let origins: Vec<&str> = problems.iter().map(|problem| &*problem.origin).collect();
    assert!(origins.contains(&"--dev") && origins.contains(&"--max-depth"));
}

#[test]
fn wrong_usage_is_noticed() {
    for args in [
        &["serve", "--unknown"][..],
        &["token"],
        &["token", "--user", "u", "--ttl", "0"],
        &["token", "--user", "u", "--ttl", "11000d"],
        &["plugin"],
        &["plugin", "new"],
        &["dance"],
    ] {
        assert!(parse(args).is_err(), "{args:?}");
    }
    assert!(
        parse(&[
            "token", "--user", "u", "--role", "a", "--role", "b", "--ttl", "7d"
        ])
        .is_ok()
    );
}

#[test]
fn a_new_plugin_is_valid_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    let new = |name: &str| {
        let args = [
            "plugin",
            "new",
            name,
            "--plugins",
            plugins.to_str().unwrap(),
        ];
        run(parse(&args).unwrap().command)
    };
    let validate = |dir: &Path| {
        run(parse(&["plugin", "validate", dir.to_str().unwrap()])
            .unwrap()
            .command)
    };
    new("task-list").unwrap();
    let made = plugins.join("task-list");
    validate(&made).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(made.join("plugin.json")).unwrap()).unwrap();
    assert_eq!(manifest["name"], "task-list");
    assert_eq!(manifest["display_name"], "Task List");

    fs::write(made.join("logic.py"), "mine").unwrap();
    assert!(matches!(new("task-list"), Err(Failure::Usage(_))));
    assert_eq!(fs::read_to_string(made.join("logic.py")).unwrap(), "mine");

    for name in [
        "",
        "../x",
        "Task",
        "1st",
        "a b",
        "a/b",
        "ä",
        &"a".repeat(65),
    ] {
        assert!(matches!(new(name), Err(Failure::Usage(_))), "{name}");
    }
    assert_eq!(fs::read_dir(&plugins).unwrap().count(), 1);
}

#[test]
fn broken_plugins_do_not_validate() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = |name: &str, files: &[(&str, &str)]| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        for (file, text) in files {
            fs::write(dir.join(file), text).unwrap();
        }
        plugin::check(&dir)
    };
    let good = ("logic.py", "");
    assert!(plugin("good", &[good]).is_empty());
    assert!(!plugin("Odd", &[good]).is_empty());
    assert!(!plugin("empty", &[]).is_empty());
    assert!(!plugin("text", &[good, ("plugin.json", "nonsense")]).is_empty());
    assert!(!plugin("list", &[good, ("plugin.json", "[]")]).is_empty());
    assert!(
        !plugin(
            "type",
            &[good, ("plugin.json", r#"{"timeoutSeconds": "1"}"#)]
        )
        .is_empty()
    );
    assert!(
        plugin(
            "camel",
            &[good, ("plugin.json", r#"{"timeoutSeconds": 1.5}"#)]
        )
        .is_empty()
    );
    assert!(!plugin("semver", &[good, ("manifest.json", r#"{"version": "1"}"#)]).is_empty());
    assert!(plugin("unknown", &[good, ("plugin.json", r#"{"colour": 1}"#)]).is_empty());
    assert!(!plugin::check(&dir.path().join("missing")).is_empty());
}
