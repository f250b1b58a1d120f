//! How often users, addresses, routes and plugins may be called. All but those of pages are off unless set: what is too often
//! only the operator knows, and behind a proxy that `trusted_proxies` does not name all have one address.

/// Calls a minute, 0 for no limit.
#[derive(Debug, Clone)]
pub struct RatesConfig {
    /// Of one user in one app. `MOZAIKS_RATE_LIMIT_USER`
    pub user: usize,
    /// Of one address, of requests without a valid identity. `MOZAIKS_RATE_LIMIT_ADDRESS`
    pub address: usize,
    /// Of one caller, of each route of a plugin that does not say. `MOZAIKS_RATE_LIMIT_ROUTE`
    pub route: usize,
    /// Of all callers of one plugin in one app. `MOZAIKS_RATE_LIMIT_PLUGIN`
    pub plugin: usize,
    /// Of one user's pages, of public hooks. `MOZAIKS_RATE_LIMIT_HOOKS`
    pub hooks: usize,
    /// Of one user's pages, of events that they publish. `MOZAIKS_RATE_LIMIT_CLIENT_EVENTS`
    pub client_events: usize,
    /// Callers that are remembered. `MOZAIKS_RATE_LIMIT_CALLERS`
    pub callers: usize,
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self {
            user: 0,
            address: 0,
            route: 0,
            plugin: 0,
            hooks: 600,
            client_events: 600,
            callers: 131_072,
        }
    }
}
