//! The rows of rates.

use crate::keys::{Key, count, key};

/// Calls a minute at most.
const MOST: usize = 1_000_000_000;

pub(super) const RATES: &[Key] = &[
    key!(
        "rate_limit_user",
        "Requests and socket messages a minute of one user in one app; 0 is no limit.",
        count(|s| &mut s.config.rates.user, 0, MOST),
    ),
    key!(
        "rate_limit_address",
        "Requests a minute without a valid identity of one address (of IPv6: of one /64); 0 is no limit. Behind a proxy set `trusted_proxies` too.",
        count(|s| &mut s.config.rates.address, 0, MOST),
    ),
    key!(
        "rate_limit_route",
        "Requests a minute of one user, or of one address, to each route of a plugin that says no `rate_limit`; 0 is no limit.",
        count(|s| &mut s.config.rates.route, 0, MOST),
    ),
    key!(
        "rate_limit_plugin",
        "Calls a minute by all users of one app to one plugin; 0 is no limit.",
        count(|s| &mut s.config.rates.plugin, 0, MOST),
    ),
    key!(
        "rate_limit_hooks",
        "How often a minute the pages of one user may apply public hooks; 0 is no limit.",
        count(|s| &mut s.config.rates.hooks, 0, MOST),
    ),
    key!(
        "rate_limit_client_events",
        "How many events a minute the pages of one user may publish; 0 is no limit.",
        count(|s| &mut s.config.rates.client_events, 0, MOST),
    ),
    key!(
        "rate_limit_callers",
        "Callers whose rate is remembered, 17 bytes each; where there are more, those that have called least are forgotten.",
        count(|s| &mut s.config.rates.callers, 1024, 100_000_000),
    ),
];
