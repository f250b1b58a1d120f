//! Takes the secrets out of what is printed. Rather too much is hidden than too little.

/// What stands where a secret stood.
pub(super) const HIDDEN: &str = "***";

/// Parts of option names whose values are hidden in a URI's query.
const SECRET_OPTIONS: [&str; 7] = [
    "password",
    "secret",
    "token",
    "key",
    "credential",
    "properties",
    "sig",
];

/// A URI without its password and without the values of secret-looking options in its query.
///
/// Works on text that is not a valid URI too: everything between `://` and the last `@` counts as
/// credentials, so that a password with an unescaped `/` or `@` is not shown either.
pub fn redact_uri(uri: &str) -> String {
    let (scheme, rest) = match uri.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), uri),
    };
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, rest),
    };
    let credentials = match credentials {
        None => String::new(),
        Some(text) => match text.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@"),
            None => format!("{HIDDEN}@"),
        },
    };
    let rest = match rest.split_once('?') {
        None => rest.to_owned(),
        Some((path, query)) => format!("{path}?{}", redact_query(query)),
    };
    format!("{scheme}{credentials}{rest}")
}

fn redact_query(query: &str) -> String {
    let options: Vec<String> = query
        .split('&')
        .map(|option| match option.split_once('=') {
            Some((name, _)) if is_secret_option(name) => format!("{name}={HIDDEN}"),
            _ => option.to_owned(),
        })
        .collect();
    options.join("&")
}

fn is_secret_option(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_OPTIONS.iter().any(|part| name.contains(part))
}
