//! Names of databases.

use std::{
    fmt::Write,
    hash::{Hash, Hasher},
};

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

/// The database of one app of many. App ids that cannot be part of a name, or that differ from
/// another's in case only (servers do not tell such databases apart), get a hash.
pub(super) fn database_of_app(base: &str, app_id: &str) -> String {
    let plain = app_id
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let name = format!("{base}_{app_id}");
    if plain && !app_id.is_empty() && name.len() <= MAX_NAME_BYTES {
        return name;
    }
    let mut hashed: String = base.chars().take(20).collect();
    // `_x` begins no plain name: `_` is not among the characters of a plain app id.
    let _ = write!(hashed, "_x_{:016x}{:016x}", fnv(app_id, 0), fnv(app_id, 1));
    hashed
}

/// FNV-1a: the same in every version of the gateway, which the standard hasher does not promise.
fn fnv(text: &str, salt: u8) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    salt.hash(&mut hasher);
    hasher.write(text.as_bytes());
    hasher.finish()
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
        assert_eq!(database_of_app("mozaiks", "shop-1"), "mozaiks_shop-1");
        let odd = ["Shop", "shop", "sh/op", "", "x_1", &"s".repeat(80)];
        let names: std::collections::HashSet<_> = odd
            .iter()
            .map(|id| database_of_app("mozaiks", id).to_lowercase())
            .collect();
        assert_eq!(names.len(), odd.len());
        for name in names {
            assert!(check_database(&name).is_ok(), "{name}");
        }
    }
}
