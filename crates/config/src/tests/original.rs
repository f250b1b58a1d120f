//! Variables of the platform that existing plugins come from: each works, stops the start or is told of.

use super::*;

/// The only problem of a setup that has one.
fn problem(setup: &Setup) -> Problem {
    let problems = setup.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().unwrap()
}

fn warnings(setup: &Setup) -> String {
    setup.load().warnings.join("\n")
}

#[test]
fn what_has_a_key_works_under_its_old_name() {
    let loaded = Setup::new()
        .variable("MONGODB_URI", "mongodb://db.example/shop")
        .variable("DATABASE_NAME", "other")
        .variable("JWT_SECRET_KEY", SECRET)
        .variable("MAX_REQUEST_BODY_BYTES", "2000000")
        .variable("PLUGIN_EXEC_TIMEOUT_S", "15.0")
        .variable("WEBSOCKET_MAX_CONNECTIONS_PER_USER", "5")
        .variable("MOZAIKS_AUTO_REFRESH_PLUGINS", "true")
        .variable("MOZAIKS_PLATFORM_ISSUER", "https://issuer.example")
        .variable("NOTIFICATION_DIGEST_DAILY_HOUR", "9")
        .load();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = loaded.config;
    assert_eq!(
        config.database.uri.as_deref(),
        Some("mongodb://db.example/shop")
    );
    assert_eq!(config.database.name, "other");
    assert!(matches!(config.auth.keys, Some(KeySource::Secret { .. })));
    assert_eq!(config.server.max_body_bytes, 2_000_000);
    assert_eq!(config.plugins.call_timeout, Duration::from_secs(15));
    assert_eq!(config.realtime.max_connections_per_user, 5);
    assert!(config.plugins.watch);
    assert_eq!(
        config.auth.issuer.as_deref(),
        Some("https://issuer.example")
    );
    assert_eq!(config.notifications.digest_hour, 9);
}

#[test]
fn aliases_that_contradict_each_other_are_refused() {
    let setup = Setup::new()
        .variable("MONGODB_URI", "mongodb://one/")
        .variable("DATABASE_URI", "mongodb://two/");
    let found = problem(&setup);
    assert_eq!(found.key, "database_uri");
    assert!(found.found.contains("MONGODB_URI"), "{found}");
    assert!(found.found.contains("MOZAIKS_DATABASE_URI"), "{found}");

    let setup = setup.variable("DATABASE_URI", "mongodb://one/");
    assert_eq!(
        setup.load().config.database.uri.as_deref(),
        Some("mongodb://one/")
    );
}

#[test]
fn port_and_host_are_the_address() {
    let listen = |setup: &Setup| setup.load().config.server.listen.to_string();
    let port = || Setup::new().variable("PORT", "8080");
    assert_eq!(listen(&port()), "127.0.0.1:8080");
    assert!(warnings(&port()).contains("HOST=0.0.0.0"));
    let both = port().variable("HOST", "0.0.0.0");
    assert_eq!(listen(&both), "0.0.0.0:8080");
    assert_eq!(warnings(&both), "");
    assert_eq!(listen(&port().variable("HOST", "::1")), "[::1]:8080");
    assert_eq!(
        listen(&Setup::new().variable("HOST", "0.0.0.0")),
        "0.0.0.0:8000"
    );
    // What shells and compilers keep there is no address.
    assert_eq!(
        listen(&Setup::new().variable("HOST", "x86_64-linux-gnu")),
        "127.0.0.1:8000"
    );

    assert_eq!(problem(&port().variable("HOST", "elsewhere")).key, "listen");
    assert_eq!(
        problem(&Setup::new().variable("PORT", "http")).key,
        "listen"
    );

    for setup in [
        port().variable("MOZAIKS_LISTEN", "127.0.0.1:9"),
        port().file("listen = \"127.0.0.1:9\"\n"),
        port().flag("listen", "127.0.0.1:9"),
    ] {
        assert_eq!(listen(&setup), "127.0.0.1:9");
        assert!(
            warnings(&setup).contains("PORT is not used"),
            "{}",
            warnings(&setup)
        );
    }
}

#[test]
fn frontends_are_admitted() {
    let setup = Setup::new()
        .variable("FRONTEND_URL", "https://app.example/")
        .variable(
            "ADDITIONAL_CORS_ORIGINS",
            "https://a.example, http://localhost:5173",
        );
    let origins = [
        "https://app.example",
        "https://a.example",
        "http://localhost:5173",
    ];
    assert_eq!(setup.load().config.server.cors_origins, origins);
    assert_eq!(
        setup.load().origin("cors_origins"),
        &Origin::Variable("FRONTEND_URL")
    );
    let own = setup.variable("MOZAIKS_CORS_ORIGINS", "https://own.example");
    assert_eq!(
        own.load().config.server.cors_origins,
        ["https://own.example"]
    );
    assert!(warnings(&own).contains("FRONTEND_URL is not used"));
    let found = problem(&Setup::new().variable("FRONTEND_URL", "app.example"));
    assert_eq!(
        (found.key.as_str(), found.origin.as_str()),
        ("cors_origins", "FRONTEND_URL")
    );
}

#[test]
fn a_database_that_was_meant_is_never_replaced_by_the_embedded_store() {
    for name in ["DATABASE_URL", "MONGO_URL", "MOZAIKS_MONGO_URI"] {
        let setup = Setup::new().variable(name, "mongodb://user:hidden@db.example/");
        let found = problem(&setup);
        assert_eq!(
            (found.key.as_str(), found.origin.as_str()),
            ("database_uri", name)
        );
        assert!(!found.to_string().contains("hidden"), "{found}");
        setup
            .variable("MONGODB_URI", "mongodb://db.example/")
            .load();
    }
    // Of another kind of database the gateway knows nothing.
    Setup::new()
        .variable("DATABASE_URL", "postgres://db.example/")
        .load();
}

#[test]
fn a_database_in_a_dotenv_file_is_told_of() {
    for line in [
        "MONGODB_URI=mongodb://db.example/shop",
        "export DATABASE_URI = 'mongodb+srv://db.example/shop'",
    ] {
        let setup = Setup::new();
        fs::write(
            setup.dir.path().join(".env"),
            format!("# a comment\n{line}\n"),
        )
        .unwrap();
        let found = problem(&setup);
        assert_eq!(
            (found.key.as_str(), found.origin.as_str()),
            ("database_uri", ".env")
        );
        assert!(found.allowed.contains("reads no .env"), "{found}");
        setup
            .variable("DATABASE_URI", "mongodb://db.example/")
            .load();
    }
    let setup = Setup::new();
    fs::write(
        setup.dir.path().join(".env"),
        "#MONGODB_URI=mongodb://x/\nOTHER=1\n",
    )
    .unwrap();
    setup.load();
}

#[test]
fn what_the_gateway_does_not_do_stops_the_start() {
    for (name, value) in [
        ("MONETIZATION", "1"),
        ("MOZAIKS_TOKEN_EXCHANGE", "true"),
        ("MOZAIKS_PLATFORM_USERNAME_CLAIM", "nickname"),
        ("MOZAIKS_PLATFORM_ADMIN_ROLE", "boss"),
        ("MOZAIKS_PLATFORM_SUPERADMIN_ROLE", "SuperAdmin"),
    ] {
        let found = problem(&Setup::new().variable(name, value));
        assert_eq!((found.key.as_str(), found.origin.as_str()), (name, name));
        assert!(found.found.contains(value), "{found}");
        assert!(!found.allowed.is_empty());
    }
    for (name, value) in [
        ("MONETIZATION", "0"),
        ("MOZAIKS_TOKEN_EXCHANGE", "False"),
        ("MOZAIKS_PLATFORM_USER_ID_CLAIM", "oid"),
        ("MOZAIKS_ROLES_CLAIM", "groups"),
        ("MOZAIKS_PLATFORM_ADMIN_ROLE", "admin"),
    ] {
        assert_eq!(warnings(&Setup::new().variable(name, value)), "", "{name}");
    }
}

#[test]
fn the_mode_of_authentication_must_be_the_one_that_is_configured() {
    let local = |mode| {
        let setup = Setup::new().variable("MOZAIKS_JWT_SECRET", SECRET);
        setup.variable("MOZAIKS_AUTH_MODE", mode)
    };
    assert_eq!(warnings(&local("local")), "");
    assert!(problem(&local("external")).allowed.contains("jwks_url"));
    assert!(problem(&local("magic")).allowed.contains("oidc"));
    let external = |mode| {
        let setup = Setup::new().variable("MOZAIKS_PLATFORM_JWKS_URL", "https://i.example/jwks");
        setup.variable("MOZAIKS_AUTH_MODE", mode)
    };
    assert_eq!(warnings(&external("OIDC")), "");
    assert!(problem(&external("local")).allowed.contains("jwt_secret"));
}

#[test]
fn what_is_not_used_is_said() {
    for name in [
        "ALLOWED_HOSTS",
        "INTERNAL_API_KEY",
        "MOZAIKS_MANAGED",
        "PLUGIN_EXEC_MAX_CONCURRENCY",
    ] {
        let told = warnings(&Setup::new().variable(name, "x"));
        assert!(told.contains(name) && told.contains("not used"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert!(warnings(&Setup::new().variable("APP_ID", "shop")).contains("`default`"));
    let named = Setup::new()
        .variable("APP_ID", "shop")
        .variable("MOZAIKS_APP_ID", "shop");
    assert_eq!(warnings(&named), "");

    let setup = Setup::new()
        .variable("ENV", "production")
        .variable("DATABASE_URI", "mongodb://db.example/");
    assert!(warnings(&setup).contains("`client`"));
    assert_eq!(warnings(&setup.variable("DATABASE_NAME", "client")), "");
}
