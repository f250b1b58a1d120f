//! Precedence, checking, redaction, and the table in the documentation.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::*;

mod original;
mod sign_in;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A working directory with an environment and flags.
struct Setup {
    dir: tempfile::TempDir,
    environment: MapEnvironment,
    flags: BTreeMap<&'static str, String>,
    auth_required: bool,
}

impl Setup {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            environment: MapEnvironment::default(),
            flags: BTreeMap::new(),
            auth_required: false,
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.0.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Self {
        self.flags.insert(name, value.into());
        self
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.dir.path().join("mozaiks.toml"), text).unwrap();
        self
    }

    fn auth_required(mut self) -> Self {
        self.auth_required = true;
        self
    }

    fn try_load(&self) -> Result<Loaded, Problems> {
        load(&Inputs {
            flags: &self.flags,
            environment: &self.environment,
            file: None,
            working_dir: self.dir.path(),
            auth_required: self.auth_required,
        })
    }

    fn load(&self) -> Loaded {
        self.try_load().unwrap()
    }

    fn problems(&self) -> Vec<Problem> {
        self.try_load().unwrap_err().0
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let setup = Setup::new();
    assert_eq!(setup.load().config.server.listen.port(), 8000);
    assert_eq!(setup.load().origin("listen"), &Origin::Default);

    let setup = setup.file("listen = \"127.0.0.1:1\"\n");
    assert_eq!(setup.load().config.server.listen.port(), 1);

    let setup = setup.variable("MOZAIKS_LISTEN", "127.0.0.1:2");
    assert_eq!(setup.load().config.server.listen.port(), 2);
    assert_eq!(
        setup.load().origin("listen"),
        &Origin::Variable("MOZAIKS_LISTEN")
    );

    let setup = setup.flag("listen", "localhost:3");
    assert_eq!(setup.load().config.server.listen.port(), 3);
    assert_eq!(setup.load().origin("listen"), &Origin::Flag("listen"));
}

#[test]
fn aliases_are_read_where_the_variable_itself_is_not_set() {
    let setup = Setup::new()
        .variable("DATABASE_URI", "mongodb://alias/")
        .variable("JWT_SECRET", SECRET)
        .variable("JWT_ALGORITHM", "HS512");
    let loaded = setup.load();
    assert_eq!(
        loaded.config.database.uri.as_deref(),
        Some("mongodb://alias/")
    );
    assert!(matches!(
        loaded.config.auth.keys,
        Some(KeySource::Secret { ref secret, ref algorithm })
            if secret == SECRET.as_bytes() && algorithm == "HS512"
    ));

    let setup = setup.variable("MOZAIKS_DATABASE_URI", "mongodb://own/");
    assert_eq!(
        setup.load().config.database.uri.as_deref(),
        Some("mongodb://own/")
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let setup = Setup::new()
        .variable("MOZAIKS_JWKS_URL", "")
        .variable("MOZAIKS_JWT_SECRET", "")
        .variable("JWT_SECRET", SECRET);
    assert!(matches!(
        setup.load().config.auth.keys,
        Some(KeySource::Secret { .. })
    ));
}

#[test]
fn every_key_has_three_spellings_that_differ_from_all_others() {
    let mut seen = std::collections::BTreeSet::new();
    for key in KEYS {
        assert!(seen.insert(key.name), "{} twice", key.name);
        assert!(seen.insert(key.variable), "{} twice", key.variable);
        assert!(
            seen.insert(key.flag) || key.flag == key.name,
            "{}",
            key.flag
        );
        assert_eq!(
            key.variable,
            format!("MOZAIKS_{}", key.name.to_ascii_uppercase())
        );
        assert!(!key.about.is_empty() && !key.allowed().is_empty());
    }
}

#[test]
fn every_default_is_itself_allowed_in_each_spelling() {
    let mut settings = keys::Settings::default();
    for key in KEYS {
        let Some(text) = key.show(&mut settings) else {
            continue;
        };
        let loaded = Setup::new().variable(key.variable, &text).load();
        assert_eq!(loaded.origin(key.name), &Origin::Variable(key.variable));
        let loaded = Setup::new()
            .file(&format!("{} = {:?}\n", key.name, text))
            .load();
        assert!(matches!(loaded.origin(key.name), Origin::File(_)));
        let loaded = Setup::new().flag(key.flag, &text).load();
        assert_eq!(loaded.origin(key.name), &Origin::Flag(key.flag));
    }
}

#[test]
fn all_problems_are_reported_with_key_origin_finding_and_allowed() {
    let problems = Setup::new()
        .file("max_headers = 1\nlog_format = \"xml\"\nmax_depth = [1]\n")
        .variable("MOZAIKS_LISTEN", "nowhere")
        .variable("MOZAIKS_PLUGIN_TIMEOUT_SECONDS", "-1")
        .variable("MOZAIKS_JWT_SECRET", "short")
        .flag("max-body-bytes", "1TiB")
        .problems();
    let by_key = |name: &str| {
        problems
            .iter()
            .find(|problem| problem.key == name)
            .unwrap_or_else(|| panic!("no problem reported for {name}"))
    };
    assert_eq!(problems.len(), 7);
    assert!(by_key("max_headers").origin.ends_with("mozaiks.toml"));
    assert_eq!(by_key("max_headers").found, "\"1\"");
    assert_eq!(by_key("max_headers").allowed, "8 to 1024");
    assert_eq!(by_key("log_format").allowed, "json, pretty");
    assert_eq!(by_key("max_depth").found, "a array");
    assert_eq!(by_key("listen").origin, "MOZAIKS_LISTEN");
    assert_eq!(by_key("listen").found, "\"nowhere\"");
    assert_eq!(by_key("plugin_timeout_seconds").found, "\"-1\"");
    assert_eq!(by_key("max_body_bytes").origin, "--max-body-bytes");
    assert_eq!(by_key("jwt_secret").found, "\"***\"");
    assert_eq!(by_key("jwt_secret").allowed, "at least 32 bytes");
}

#[test]
fn an_unknown_key_of_the_file_names_the_nearest() {
    let problems = Setup::new()
        .file("lisen = 1\n[server]\nlisten = \"127.0.0.1:1\"\n")
        .problems();
    assert_eq!(problems.len(), 2);
    assert_eq!(problems[0].key, "lisen");
    assert!(problems[0].allowed.ends_with("the nearest is listen"));
    assert_eq!(problems[1].found, "an unknown section");
}

#[test]
fn a_broken_file_is_reported_by_line_and_without_its_text() {
    let problems = Setup::new()
        .file(&format!("dev = true\njwt_secret = \"{SECRET}\n"))
        .problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].found.starts_with("line 2"), "{problems:?}");
    assert!(!format!("{problems:?}").contains(SECRET));
}

#[test]
fn a_named_file_must_exist() {
    let setup = Setup::new();
    let missing = Path::new("/nonexistent/gateway.toml");
    let problems = load(&Inputs {
        flags: &setup.flags,
        environment: &setup.environment,
        file: Some(missing),
        working_dir: setup.dir.path(),
        auth_required: false,
    })
    .unwrap_err();
    assert_eq!(problems.0[0].origin, "--config");
}

#[test]
fn relative_paths_of_the_file_are_relative_to_it() {
    let setup = Setup::new().file("plugins_path = \"mine\"\n");
    assert_eq!(
        setup.load().config.plugins.dir,
        setup.dir.path().join("mine")
    );
    let setup = setup.variable("MOZAIKS_PLUGINS_PATH", "mine");
    assert_eq!(setup.load().config.plugins.dir, Path::new("mine"));
}

#[test]
fn two_sources_of_keys_are_refused_by_name() {
    let problems = Setup::new()
        .file("jwks_url = \"https://id.example/jwks\"\n")
        .variable("JWT_SECRET", SECRET)
        .auth_required()
        .problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].found.contains("jwt_secret (from JWT_SECRET)"));
    assert!(problems[0].found.contains("mozaiks.toml"));
}

#[test]
fn without_dev_an_auth_configuration_is_demanded() {
    let setup = Setup::new().auth_required();
    let problems = setup.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].allowed.contains("MOZAIKS_JWT_SECRET"));
    assert!(problems[0].allowed.contains("--dev"));

    let short = Setup::new()
        .auth_required()
        .variable("JWT_SECRET", "short")
        .problems();
    assert_eq!(short.len(), 1, "the short secret is the one problem");

    assert!(setup.flag("dev", "true").load().config.auth.keys.is_none());
}

#[test]
fn durations_and_sizes_take_units() {
    for (text, millis) in [
        ("30", 30_000),
        ("30s", 30_000),
        ("1.5", 1_500),
        ("500ms", 500),
        ("5m", 300_000),
        ("1h", 3_600_000),
        (" 2 s", 2_000),
    ] {
        assert_eq!(
            value::duration(text),
            Some(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in [
        "", "s", "-1", "1e3", "inf", "NaN", "1.2.3", "5 weeks", ".5", "1_0",
    ] {
        assert_eq!(value::duration(text), None, "{text}");
    }
    for (text, bytes) in [
        ("1024", 1024),
        ("64KiB", 65_536),
        ("1MiB", 1 << 20),
        ("8 MiB", 8 << 20),
        ("1MB", 1_000_000),
    ] {
        assert_eq!(value::bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "MiB", "1.5MiB", "-1", "1XB", "99999999999GiB"] {
        assert_eq!(value::bytes(text), None, "{text}");
    }
    let loaded = Setup::new()
        .file("plugin_timeout_seconds = 1.5\nmax_body_bytes = \"2MiB\"\nmax_headers = 32\n")
        .load();
    assert_eq!(
        loaded.config.plugins.call_timeout,
        Duration::from_millis(1500)
    );
    assert_eq!(loaded.config.server.max_body_bytes, 2 << 20);
}

#[test]
fn origins_are_checked_and_written_as_browsers_send_them() {
    let loaded = Setup::new()
        .variable(
            "MOZAIKS_CORS_ORIGINS",
            "https://App.Example.com, http://localhost:3000,https://a.example:443",
        )
        .load();
    assert_eq!(
        loaded.config.server.cors_origins,
        [
            "https://app.example.com",
            "http://localhost:3000",
            "https://a.example"
        ]
    );
    let loaded = Setup::new()
        .file("cors_origins = [\"https://a.example\", \"https://b.example\"]\n")
        .load();
    assert_eq!(loaded.config.server.cors_origins.len(), 2);
    for bad in [
        "*",
        "null",
        "app.example.com",
        "https://a.example/",
        "https://a.example/path",
        "https://u:p@a.example",
        "ftp://a.example",
        "https://a.example?x",
    ] {
        let problems = Setup::new()
            .variable("MOZAIKS_CORS_ORIGINS", bad)
            .problems();
        assert_eq!(problems[0].key, "cors_origins", "{bad}");
    }
}

#[test]
fn proxies_are_addresses_and_networks() {
    let shown = |setup: Setup| -> Vec<String> {
        let networks = setup.load().config.server.trusted_proxies;
        networks.iter().map(ToString::to_string).collect()
    };
    let given = "10.0.0.1, 10.2.3.4/8,::ffff:192.0.2.1, fd00::1/8";
    assert_eq!(
        shown(Setup::new().variable("MOZAIKS_TRUSTED_PROXIES", given)),
        ["10.0.0.1/32", "10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]
    );
    let listed = "trusted_proxies = [\"127.0.0.1\", \"::1\"]\n";
    assert_eq!(
        shown(Setup::new().file(listed)),
        ["127.0.0.1/32", "::1/128"]
    );
    assert!(shown(Setup::new()).is_empty());
    for bad in ["*", "proxy.example", "10.0.0.0/33", "10.0.0.1:80"] {
        let problems = Setup::new()
            .variable("MOZAIKS_TRUSTED_PROXIES", bad)
            .problems();
        assert_eq!(problems[0].key, "trusted_proxies", "{bad}");
    }
}

#[test]
fn jwks_urls_are_https_or_loopback() {
    for good in [
        "https://id.example/jwks",
        "http://127.0.0.1:9/jwks",
        "http://localhost/jwks",
        "http://[::1]:9/jwks",
    ] {
        Setup::new().variable("MOZAIKS_JWKS_URL", good).load();
    }
    for bad in [
        "http://id.example/jwks",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "file:///etc/passwd",
        "jwks",
    ] {
        let problems = Setup::new().variable("MOZAIKS_JWKS_URL", bad).problems();
        assert_eq!(problems[0].key, "jwks_url", "{bad}");
    }
}

#[test]
fn secrets_are_never_printed() {
    let loaded = Setup::new()
        .variable(
            "MOZAIKS_DATABASE_URI",
            "mongodb://app:hunter2@db1,db2/main?replicaSet=rs0&tlsCertificateKeyFilePassword=pw9",
        )
        .variable("MOZAIKS_JWT_SECRET", SECRET)
        .load();
    for text in [effective(&loaded), format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("pw9"), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
    let text = effective(&loaded);
    assert!(text.contains("mongodb://app:***@db1,db2/main?replicaSet=rs0"));
    assert!(text.contains("MOZAIKS_JWT_SECRET"));

    for (uri, shown) in [
        (
            "https://u:p@h/jwks?apikey=1&x=2",
            "https://u:***@h/jwks?apikey=***&x=2",
        ),
        ("mongodb://u:p@ss/w@h/db", "mongodb://u:***@h/db"),
        ("mongodb://token@h/db", "mongodb://***@h/db"),
        ("mongodb://h/db", "mongodb://h/db"),
    ] {
        assert_eq!(redact_uri(uri), shown);
    }
    let problems = Setup::new()
        .variable("DATABASE_URI", "postgres://app:hunter2@db/main")
        .problems();
    assert_eq!(problems[0].found, "\"postgres://app:***@db/main\"");
}

#[test]
fn odd_variables_are_warned_about() {
    let loaded = Setup::new()
        .variable("MOZAIKS_JWKS_ULR", "https://id.example/jwks")
        // Those of commands are none of the gateway's, and no slips either.
        .variable("MOZAIKS_URL", "http://x")
        .variable("MOZAIKS_TOKEN", "t")
        .load();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].ends_with("MOZAIKS_JWKS_URL"));
}

#[test]
fn the_documentation_holds_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("<!-- config:begin -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- config:end -->").unwrap();
    assert_eq!(
        table.trim(),
        markdown_table().trim(),
        "run `mozaiks config --markdown` and put its output between the markers"
    );
}
