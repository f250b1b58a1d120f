//! Names of databases.

use super::{StoreError, StoreErrorKind};

/// What MongoDB allows for a database name, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// The database that a URI names, `mongodb://host/NAME?…`.
pub(super) fn database_of_uri(uri: &str) -> Option<String> {
    let after_scheme = uri.split_once("://")?.1;
    let path = after_scheme.split_once('/')?.1;
    let name = path.split('?').next()?;
    (!name.is_empty()).then(|| percent_decoded(name))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%' && tail.len() >= 2)
            .then(|| std::str::from_utf8(&tail[..2]).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Checks a configured name.
pub(super) fn check_database(name: &str) -> Result<(), StoreError> {
    if !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(is_forbidden) {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Invalid,
        format!("`{name}` cannot be the name of a database"),
    ))
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '/' | '\\' | '.' | ' ' | '"' | '$' | '*' | '<' | '>' | ':' | '|' | '?'
        )
}

/// Databases that servers keep for themselves.
const SERVERS_OWN: [&str; 3] = ["admin", "config", "local"];

/// How much of the base stands before a digest: with it, the longest name that is allowed.
const BASE_BYTES: usize = 20;
const DIGEST_CHARS: usize = 40;

/// The database of the gateway's own data, beside `base`, which is the plugins'.
///
/// # Errors
/// A name that is none, or that names or may come to name a database of plugins.
pub(super) fn control_database(
    base: &str,
    configured: Option<&str>,
    database_per_app: bool,
) -> Result<String, StoreError> {
    check_database(base)?;
    let default = format!("{base}_control");
    let name = configured.unwrap_or(&default);
    check_database(name)?;
    for name in [base, name] {
        if SERVERS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(taken(name, "it is the server's own"));
        }
    }
    if name.eq_ignore_ascii_case(base) {
        return Err(taken(name, "plugins use the same"));
    }
    let lower = name.to_lowercase();
    let of_apps = [format!("{base}_"), hashed_prefix(base)];
    if database_per_app
        && lower != default.to_lowercase()
        && of_apps
            .iter()
            .any(|prefix| lower.starts_with(&prefix.to_lowercase()))
    {
        return Err(taken(name, "an app's database may come to have that name"));
    }
    Ok(name.to_owned())
}

fn taken(name: &str, why: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Invalid,
        format!("`{name}` cannot be the database of the gateway or of plugins: {why}"),
    )
}

/// The database of one app of many. App ids that cannot be part of a name, or that differ from
/// another's in case only (servers do not tell such databases apart), get a digest.
///
/// # Errors
/// [`StoreErrorKind::Invalid`] for an app id that would name the database `control`.
pub(super) fn database_of_app(
    base: &str,
    control: &str,
    app_id: &str,
) -> Result<String, StoreError> {
    let plain = app_id
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let mut name = format!("{base}_{app_id}");
    if !plain || app_id.is_empty() || name.len() > MAX_NAME_BYTES {
        name = hashed_prefix(base) + &digest(base, app_id);
    }
    if name.eq_ignore_ascii_case(control) {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format!("the app id `{app_id}` is reserved: it names the gateway's own database"),
        ));
    }
    Ok(name)
}

/// `_x_` begins no plain app id: `_` is not among its characters.
fn hashed_prefix(base: &str) -> String {
    let end = (0..=BASE_BYTES.min(base.len()))
        .rev()
        .find(|end| base.is_char_boundary(*end));
    format!("{}_x_", &base[..end.unwrap_or(0)])
}

/// 200 bits of SHA-256 in lower-case letters and digits, since servers do not tell cases apart.
fn digest(base: &str, app_id: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(base.as_bytes());
    context.update(&[0]);
    context.update(app_id.as_bytes());
    let hash = context.finish();
    let mut text = String::with_capacity(DIGEST_CHARS);
    // Five bytes are eight letters.
    for chunk in hash.as_ref().chunks_exact(5).take(DIGEST_CHARS / 8) {
        let bits = chunk
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for letter in (0..8).rev() {
            let index = usize::try_from(bits >> (5 * letter) & 31).unwrap_or(0);
            text.push(char::from(ALPHABET[index]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_names_the_database() {
        let cases = [
            ("mongodb://h/shop", Some("shop")),
            ("mongodb://u:p@h1,h2:27018/shop?w=1", Some("shop")),
            ("mongodb://h/?w=1", None),
            ("mongodb://h", None),
            ("mongodb+srv://h/my%2Ddb", Some("my-db")),
            ("mongodb://%2Ftmp%2Fs.sock/shop", Some("shop")),
        ];
        for (uri, name) in cases {
            assert_eq!(database_of_uri(uri).as_deref(), name, "{uri}");
        }
    }

    #[test]
    fn every_app_has_a_name_of_its_own() {
        let of = |base: &str, app: &str| database_of_app(base, "c", app).expect("a name");
        assert_eq!(of("mozaiks", "shop-1"), "mozaiks_shop-1");
        let odd = ["Shop", "shop", "sh/op", "", "x_1", &"s".repeat(80)];
        let names: std::collections::HashSet<_> = odd
            .iter()
            .map(|id| of("mozaiks", id).to_lowercase())
            .collect();
        assert_eq!(names.len(), odd.len());
        for name in names {
            assert!(check_database(&name).is_ok(), "{name}");
        }
    }
    #[test]
    fn long_app_ids_that_share_all_but_a_letter_are_told_apart() {
        let long = "s".repeat(200);
        let names: std::collections::HashSet<_> = (0..500)
            .map(|n| database_of_app("basis", "c", &format!("{long}{n}{long}")).expect("a name"))
            .collect();
        assert_eq!(names.len(), 500);
        // Known from `printf 'mozaiks\0Shop' | sha256sum | xxd -r -p | base32`.
        assert_eq!(
            database_of_app("mozaiks", "c", "Shop").expect("a name"),
            "mozaiks_x_g2cvzrlsuz5ajyjvtpqld4wauc4jipkvhnauxniz"
        );
        // Bases that begin alike, and those of wide letters.
        let (one, two) = (
            format!("{}1", "b".repeat(30)),
            format!("{}2", "b".repeat(30)),
        );
        let of = |base: &str| database_of_app(base, "c", "Shop").expect("a name");
        assert_ne!(of(&one), of(&two));
        for base in ["ä".repeat(15), "b".repeat(60)] {
            assert!(check_database(&of(&base)).is_ok(), "{}", of(&base));
        }
    }

    #[test]
    fn the_gateways_own_database_is_nobody_elses() {
        let control = |name, many| control_database("mozaiks", name, many);
        assert_eq!(control(None, true).expect("a name"), "mozaiks_control");
        assert_eq!(control(Some("gateway"), true).expect("a name"), "gateway");
        assert!(control(Some("mozaiks_shop"), false).is_ok());
        for name in ["mozaiks", "MOZAIKS", "admin", "local", "Config", "a/b", ""] {
            assert!(control(Some(name), false).is_err(), "{name}");
        }
        for name in ["mozaiks_shop", "Mozaiks_Shop", "mozaiks_x_abc"] {
            assert!(control(Some(name), true).is_err(), "{name}");
        }
        assert!(control_database("admin", None, false).is_err());
        assert!(control_database(&"b".repeat(60), None, false).is_err());
        let error = database_of_app("mozaiks", "mozaiks_control", "control").expect_err("reserved");
        assert_eq!(error.kind, StoreErrorKind::Invalid);
    }
}
