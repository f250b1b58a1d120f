//! What is counted apart: routes, kinds of calls, how calls ended.

/// Which route answered, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /api/execute/{plugin}`
    Execute,
    /// Everything else below `/api`.
    Api,
    /// `/__mozaiks/admin`
    Admin,
    /// `/ws`
    WebSocket,
    /// Health, readiness, metrics, documentation.
    Operations,
    /// No route.
    Unknown,
}

impl Route {
    pub(super) const ALL: [(Route, &'static str); 6] = [
        (Route::Execute, "execute"),
        (Route::Api, "api"),
        (Route::Admin, "admin"),
        (Route::WebSocket, "websocket"),
        (Route::Operations, "operations"),
        (Route::Unknown, "unknown"),
    ];
}

/// The kinds of calls of a plugin that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// `execute`, by a client.
    Execute,
    /// A handler of an event.
    Event,
    /// A handler of a live connection's message.
    Message,
    /// A route of a plugin.
    Route,
    /// A lifecycle function.
    Life,
    /// A run of a scheduled job.
    Job,
    /// A migration.
    Migration,
    /// A function of a hook.
    Hook,
}

impl CallKind {
    pub(super) const ALL: [(CallKind, &'static str); 8] = [
        (CallKind::Execute, "execute"),
        (CallKind::Event, "event"),
        (CallKind::Message, "message"),
        (CallKind::Route, "route"),
        (CallKind::Life, "life"),
        (CallKind::Job, "job"),
        (CallKind::Migration, "migration"),
        (CallKind::Hook, "hook"),
    ];
}

/// How a call of a plugin ended, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// A dict without an error.
    Ok,
    /// A dict with an error.
    DomainFailure,
    /// The plugin's fault: raised, or returned what cannot be sent.
    PluginError,
    /// Over its time limit.
    TimedOut,
    /// Not taken: full or draining.
    Overloaded,
    /// The request's or the gateway's fault.
    Rejected,
    /// The process that ran it has died.
    Crashed,
}

impl CallOutcome {
    pub(super) const ALL: [(CallOutcome, &'static str); 7] = [
        (CallOutcome::Ok, "ok"),
        (CallOutcome::DomainFailure, "domain_failure"),
        (CallOutcome::PluginError, "plugin_error"),
        (CallOutcome::TimedOut, "timeout"),
        (CallOutcome::Overloaded, "overloaded"),
        (CallOutcome::Rejected, "rejected"),
        (CallOutcome::Crashed, "crashed"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_follow_the_enums() {
        for (index, (route, _)) in Route::ALL.iter().enumerate() {
            assert_eq!(*route as usize, index);
        }
        for (index, (kind, _)) in CallKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
        for (index, (outcome, _)) in CallOutcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
    }
}
