//! `mozaiks token`: a signed token on stdout and nothing else, for `$(mozaiks token …)`.

use std::time::Duration;

use super::{Failure, add_dev_secret, flags::ConfigFlags, print};
use mozaiks_auth::signer::{TokenRequest, sign};
use mozaiks_config::parse_duration;

/// The longest life of a token that is signed here: ten years.
const MAX_TTL: Duration = Duration::from_secs(10 * 365 * 86_400);

#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// Whom the token speaks for: the claim `user_id`.
    #[arg(long, value_name = "ID")]
    user: String,
    /// The claim `username`.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// A role, such as admin; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The app the token is for [default: the configured one].
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// How long it is valid: 90s, 15m, 1h, 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    #[command(flatten)]
    flags: ConfigFlags,
}

fn ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|ttl| (Duration::from_secs(1)..=MAX_TTL).contains(ttl))
        .ok_or_else(|| "allowed are 1s to 3650d, such as 90s, 15m, 1h, 7d".into())
}

pub(super) fn run(args: &TokenArgs) -> Result<(), Failure> {
    let mut config = args.flags.load(false)?.config;
    add_dev_secret(&mut config)?;
    let request = TokenRequest {
        user_id: &args.user,
        username: args.username.as_deref(),
        roles: &args.roles,
        app_id: args.app.as_deref(),
        ttl: args.ttl,
    };
    let token = sign(&config.auth, &request).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(print(&format!("{token}\n"))?)
}
