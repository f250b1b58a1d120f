//! Variables of the platform that existing plugins were written for. Most are aliases of a key and
//! stand in the table; here are the others: those that make a value together, those that would mean
//! something that the gateway does not do, and those that it can do without. None is passed over in
//! silence.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use crate::{Environment, KEYS, Key, KeySource, Origin, Problem, keys::Settings, value};

/// A `.env` is small; a larger file of that name is something else.
const MAX_DOTENV_BYTES: u64 = 1 << 20;

/// What stands in a variable that is set and not empty.
fn given(environment: &dyn Environment, variable: &str) -> Option<String> {
    let text = environment.get(variable)?;
    (!text.is_empty()).then(|| text.to_string_lossy().into_owned())
}

/// What the original's variables say of a key that nothing else says anything of, and the variable
/// to name for it.
pub(super) fn value_for(
    environment: &dyn Environment,
    key: &Key,
) -> Option<(&'static str, String)> {
    match key.name {
        "listen" => listen(environment),
        "cors_origins" => origins(environment),
        _ => None,
    }
}

/// `PORT`, with `HOST` where there is one. `HOST` alone counts only where it is an address: shells
/// and compilers keep other things there.
fn listen(environment: &dyn Environment) -> Option<(&'static str, String)> {
    let host = given(environment, "HOST").map(|host| match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => (format!("[{address}]"), true),
        Ok(IpAddr::V4(_)) => (host, true),
        Err(_) => (host, false),
    });
    match (given(environment, "PORT"), host) {
        (Some(port), Some((host, _))) => Some(("PORT", format!("{host}:{}", port.trim()))),
        (Some(port), None) => Some(("PORT", format!("127.0.0.1:{}", port.trim()))),
        (None, Some((host, true))) => Some(("HOST", format!("{host}:8000"))),
        (None, _) => None,
    }
}

/// `FRONTEND_URL` and `ADDITIONAL_CORS_ORIGINS`, with or without a slash at the end.
fn origins(environment: &dyn Environment) -> Option<(&'static str, String)> {
    const NAMES: [&str; 2] = ["FRONTEND_URL", "ADDITIONAL_CORS_ORIGINS"];
    let listed = NAMES.map(|name| given(environment, name));
    let first = NAMES[usize::from(listed[0].is_none())];
    let origins: Vec<String> = listed
        .iter()
        .flatten()
        .flat_map(|list| list.split(','))
        .map(|origin| origin.trim().trim_end_matches('/').to_owned())
        .filter(|origin| !origin.is_empty())
        .collect();
    (!origins.is_empty()).then(|| (first, origins.join(",")))
}

/// When a variable is not harmless.
#[derive(Clone, Copy)]
enum Matters {
    /// Where it says yes.
    On,
    /// Where it says anything else than this, which is what the gateway does.
    Unless(&'static [&'static str]),
}

/// Variables that stop the start where they matter: the gateway does not do what they ask for.
const REFUSED: &[(&str, Matters, &str)] = &[
    (
        "MONETIZATION",
        Matters::On,
        "unset: the gateway keeps no plans, so that every plugin is open to every user; let the \
         plugin itself ask for the plan or for a role of the token",
    ),
    (
        "MOZAIKS_TOKEN_EXCHANGE",
        Matters::On,
        "false or unset: the gateway issues no tokens of its own; clients send those of the issuer",
    ),
    (
        "MOZAIKS_USERNAME_CLAIM",
        Matters::Unless(&["username", "preferred_username"]),
        "unset: names stand in `username`, else `preferred_username`, else `email`",
    ),
    (
        "MOZAIKS_EMAIL_CLAIM",
        Matters::Unless(&["email"]),
        "unset: addresses stand in `email`",
    ),
    (
        "MOZAIKS_ADMIN_ROLE",
        Matters::Unless(&["admin"]),
        "unset: admins have the role `admin`",
    ),
    (
        "MOZAIKS_SUPERADMIN_ROLE",
        Matters::Unless(&["superadmin"]),
        "unset: superadmins have the role `superadmin`",
    ),
    (
        "MOZAIKS_SUPERADMIN_CLAIM",
        Matters::Unless(&["is_superadmin"]),
        "unset: superadmins have the role `superadmin` or `is_superadmin: true`",
    ),
];

/// Where a database's address stands with others; the gateway would not look there.
const DATABASE_ELSEWHERE: [&str; 4] = [
    "DATABASE_URL",
    "MONGO_URL",
    "MONGODB_URL",
    "MONGODB_CONNECTION_STRING",
];

/// What is to be said of variables that are not used, where they are set to anything but the last.
const UNUSED: &[(&str, &str, &str)] = &[
    (
        "ALLOWED_HOSTS",
        "the proxy before the gateway checks host names",
        "",
    ),
    (
        "INTERNAL_API_KEY",
        "admins and services come with a token of the role `admin`",
        "",
    ),
    (
        "MOZAIKS_APP_ADMIN_KEY",
        "admins and services come with a token of the role `admin`",
        "",
    ),
    ("MOZAIKS_API_KEY", "the gateway calls no platform", ""),
    (
        "MOZAIKS_GATEWAY_BASE_URL",
        "the gateway calls no platform",
        "",
    ),
    (
        "MOZAIKS_MANAGED",
        "`oidc_issuer` and `audience` say whose tokens are taken",
        "false",
    ),
    (
        "MOZAIKS_HOSTING_MODE",
        "`oidc_issuer` and `audience` say whose tokens are taken",
        "",
    ),
    ("MOZAIKS_SDK_VERSION", "the gateway brings its SDK", ""),
    (
        "MOZAIKS_BOOTSTRAP_ADMIN",
        "users and their roles are the issuer's",
        "0",
    ),
    (
        "MOZAIKS_LOAD_DOTENV",
        "the gateway reads no .env in any case",
        "",
    ),
    ("MOZAIKS_JWT_ALGORITHMS", "algorithms come from the key", ""),
    (
        "MOZAIKS_PLATFORM_JWT_ALGORITHMS",
        "algorithms come from the key",
        "",
    ),
    (
        "ACCESS_TOKEN_EXPIRE_MINUTES",
        "the gateway issues no tokens; `exp` counts",
        "",
    ),
    (
        "MOZAIKS_APP_TOKEN_EXPIRE_MINUTES",
        "the gateway issues no tokens; `exp` counts",
        "",
    ),
    (
        "PLUGIN_EXEC_MAX_CONCURRENCY",
        "`plugin_max_concurrency` is its nearest, which counts waiting calls too",
        "",
    ),
    (
        "PUSH_VAPID_PUBLIC_KEY",
        "it follows from `vapid_private_key`",
        "",
    ),
    (
        "HOSTING_SERVICE",
        "mail is on where `email_http_url` or `smtp_url` is set",
        "0",
    ),
    (
        "NOTIFICATION_DIGEST_ENABLED",
        "users choose digests in their preferences",
        "true",
    ),
    (
        "NOTIFICATION_DIGEST_WEEKLY_DAY",
        "weekly digests go out on Mondays",
        "0",
    ),
    (
        "OPENAPI_ENABLED",
        "`/openapi.json` and `/docs` are open",
        "true",
    ),
    (
        "CORS_ALLOW_CREDENTIALS",
        "the gateway knows no cookies; tokens stand in a header",
        "false",
    ),
    (
        "INSIGHTS_PUSH_ENABLED",
        "the gateway reports to nobody; see `/metrics`",
        "false",
    ),
    ("RUNTIME_BASE_URL", "the gateway runs plugins alone", ""),
];

/// The original's name of a claim's variable without its old prefix.
fn without_platform(name: &str) -> String {
    name.replacen("MOZAIKS_PLATFORM_", "MOZAIKS_", 1)
}

/// Whether there is something to say of a variable here.
pub(super) fn knows(name: &str) -> bool {
    let plain = without_platform(name);
    name == "MOZAIKS_AUTH_MODE"
        || REFUSED.iter().any(|(refused, ..)| *refused == plain)
        || UNUSED.iter().any(|(unused, ..)| *unused == name)
}

/// What must not go on: a variable asks for what the gateway does not do, or a database was meant
/// where none is configured.
pub(super) fn refused(
    environment: &dyn Environment,
    working_dir: &Path,
    settings: &Settings,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, origin: &str, found: String, allowed: &str| {
        problems.push(Problem {
            key: key.into(),
            origin: origin.into(),
            found,
            allowed: allowed.into(),
        });
    };
    for (name, matters, instead) in REFUSED {
        let old = name.replacen("MOZAIKS_", "MOZAIKS_PLATFORM_", 1);
        let is_key = KEYS.iter().any(|key| key.is_spelled(name));
        let names = [(*name, !is_key), (old.as_str(), old != *name)];
        for (name, _) in names.into_iter().filter(|(_, counts)| *counts) {
            let Some(text) = given(environment, name) else {
                continue;
            };
            let harmless = match matters {
                Matters::On => value::switch(&text.to_ascii_lowercase()) == Some(false),
                Matters::Unless(own) => own.contains(&text.as_str()),
            };
            if !harmless {
                let renamed = format!("{}, which has taken its place", without_platform(name));
                let instead = if is_key { &renamed } else { *instead };
                refuse(name, name, format!("\"{text}\""), instead);
            }
        }
    }
    if let Some(mode) = given(environment, "MOZAIKS_AUTH_MODE") {
        let is_secret = matches!(settings.config.auth.keys, Some(KeySource::Secret { .. }));
        let instead = match mode.trim().to_ascii_lowercase().as_str() {
            "local" | "jwt" if is_secret || settings.config.dev => None,
            "local" | "jwt" => Some("jwt_secret, which this mode means"),
            "external" | "oidc" | "platform"
                if !is_secret && settings.config.auth.keys.is_some() =>
            {
                None
            }
            "external" | "oidc" | "platform" => {
                Some("oidc_issuer or jwks_url, which this mode means")
            }
            _ => Some("external, oidc, platform, local or jwt"),
        };
        if let Some(instead) = instead {
            let origin = "MOZAIKS_AUTH_MODE";
            refuse(origin, origin, format!("\"{mode}\""), instead);
        }
    }
    if settings.config.database.uri.is_none() {
        let key = "database_uri";
        for name in databases_elsewhere(environment) {
            let allowed = "MOZAIKS_DATABASE_URI, MONGODB_URI or DATABASE_URI: without one of them \
                           the embedded store would be used";
            refuse(key, &name, "the address of a database".into(), allowed);
        }
        if let Some(name) = in_dotenv(&working_dir.join(".env")) {
            let allowed = "the same in the environment (`set -a; . ./.env; set +a`) or in \
                           mozaiks.toml: the gateway reads no .env, and the embedded store would \
                           be used";
            refuse(
                key,
                ".env",
                format!("{name}, the address of a database"),
                allowed,
            );
        }
    }
    problems
}

/// Variables that hold the address of a MongoDB under a name that the gateway does not read.
fn databases_elsewhere(environment: &dyn Environment) -> Vec<String> {
    let own = |name: &String| {
        DATABASE_ELSEWHERE.contains(&name.as_str())
            || (name.starts_with("MOZAIKS_") && KEYS.iter().all(|key| !key.is_spelled(name)))
    };
    let mut names = environment.names();
    names.retain(own);
    names.retain(|name| given(environment, name).is_some_and(|text| is_database(&text)));
    names.sort();
    names
}

fn is_database(text: &str) -> bool {
    text.starts_with("mongodb://") || text.starts_with("mongodb+srv://")
}

/// The variable of a `.env` that would name the database, had the file been read.
fn in_dotenv(path: &Path) -> Option<&'static str> {
    if fs::metadata(path).ok()?.len() > MAX_DOTENV_BYTES {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let key = KEYS.iter().find(|key| key.name == "database_uri")?;
    key.aliases.iter().copied().find(|name| {
        text.lines().any(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            let value = line.strip_prefix(name).map(str::trim_start);
            let value = value.and_then(|rest| rest.strip_prefix('='));
            value.is_some_and(|value| is_database(value.trim().trim_matches(['"', '\''])))
        })
    })
}

/// What a person should be told of the original's variables although it stops nothing.
pub(super) fn warnings(
    environment: &dyn Environment,
    settings: &Settings,
    origins: &BTreeMap<&'static str, Origin>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, instead, default) in UNUSED {
        if given(environment, name).is_some_and(|text| text.trim() != *default) {
            warnings.push(format!("the variable {name} is not used: {instead}"));
        }
    }
    let origin = |key: &str| origins.get(key).unwrap_or(&Origin::Default);
    for (name, key) in [("PORT", "listen"), ("FRONTEND_URL", "cors_origins")] {
        let from_here = matches!(origin(key), Origin::Variable(from)
            if ["PORT", "HOST", "FRONTEND_URL", "ADDITIONAL_CORS_ORIGINS"].contains(from));
        if given(environment, name).is_some() && !from_here {
            let used = origin(key);
            warnings.push(format!(
                "the variable {name} is not used: {key} is from {used}"
            ));
        }
    }
    if *origin("listen") == Origin::Variable("PORT") && given(environment, "HOST").is_none() {
        warnings.push(
            "PORT is set without HOST: the gateway listens on 127.0.0.1 alone; HOST=0.0.0.0 lets \
             other machines in"
                .into(),
        );
    }
    if given(environment, "APP_ID").is_some() && *origin("app_id") == Origin::Default {
        warnings.push(format!(
            "the variable APP_ID is not used: the app is `{}`; MOZAIKS_APP_ID names it",
            settings.config.auth.app_id
        ));
    }
    let by_alias = matches!(origin("database_uri"), Origin::Variable(name)
        if *name != "MOZAIKS_DATABASE_URI");
    if let Some(env) = given(environment, "ENV")
        && by_alias
        && *origin("database_name") == Origin::Default
    {
        warnings.push(format!(
            "ENV={env} chooses no database: the one in the URI is used, else `{}`; the original \
             kept its data in `client` (production) or `MozaiksCore`",
            settings.config.database.name
        ));
    }
    warnings
}
