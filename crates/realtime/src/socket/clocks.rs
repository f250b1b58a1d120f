//! When a socket has to do something by itself.

use std::time::Duration;

use tokio::time::Instant;

use mozaiks_config::RealtimeConfig;

/// Put off for a client that is busy reading.
const PING_PUT_OFF: Duration = Duration::from_secs(1);

/// Something whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nobody has said who this is.
    Auth,
    /// The token is not good any more.
    Expiry,
    /// The ping was not answered.
    Pong,
    /// A ping is to be sent.
    Ping,
}

/// The deadlines of one socket.
#[derive(Debug)]
pub(super) struct Clocks {
    heartbeat_interval: Duration,
    pong_timeout: Duration,
    auth: Option<Instant>,
    expiry: Option<Instant>,
    pong: Option<Instant>,
    ping: Instant,
}

impl Clocks {
    pub(super) fn new(config: &RealtimeConfig, now: Instant) -> Self {
        Self {
            heartbeat_interval: config.heartbeat_interval,
            pong_timeout: config.pong_timeout,
            auth: None,
            expiry: None,
            pong: None,
            ping: now + config.heartbeat_interval,
        }
    }

    pub(super) fn await_auth(&mut self, timeout: Duration) {
        self.auth = Some(Instant::now() + timeout);
    }

    pub(super) fn authenticated(&mut self) {
        self.auth = None;
    }

    pub(super) fn expire_at(&mut self, at: Instant) {
        self.expiry = Some(at);
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        // A second ping does not excuse the first.
        self.pong.get_or_insert(now + self.pong_timeout);
        self.ping = now + self.heartbeat_interval;
    }

    pub(super) fn put_off_ping(&mut self, now: Instant) {
        self.ping = now + PING_PUT_OFF.min(self.heartbeat_interval);
    }

    pub(super) fn pong(&mut self) {
        self.pong = None;
    }

    /// The most important thing whose time has come.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        if passed(self.auth) {
            Some(Due::Auth)
        } else if passed(self.expiry) {
            Some(Due::Expiry)
        } else if passed(self.pong) {
            Some(Due::Pong)
        } else if self.ping <= now {
            Some(Due::Ping)
        } else {
            None
        }
    }

    /// When to look again.
    pub(super) fn next(&self, also: Option<Instant>) -> Instant {
        [self.auth, self.expiry, self.pong, also]
            .into_iter()
            .flatten()
            .fold(self.ping, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_their_order() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut clocks = Clocks::new(&RealtimeConfig::default(), now);
        assert_eq!(clocks.due(now), None);
        assert_eq!(clocks.next(None), after(25));
        assert_eq!(clocks.next(Some(after(3))), after(3));
        assert_eq!(clocks.due(after(25)), Some(Due::Ping));
        clocks.pinged(after(25));
        assert_eq!(clocks.next(None), after(35));
        assert_eq!(clocks.due(after(35)), Some(Due::Pong));
        clocks.pinged(after(26));
        assert_eq!(
            clocks.next(None),
            after(35),
            "a second ping excuses nothing"
        );
        clocks.pinged(after(25));
        clocks.pong();
        assert_eq!(clocks.next(None), after(50));
        clocks.expire_at(after(40));
        assert_eq!(clocks.due(after(40)), Some(Due::Expiry));
        clocks.put_off_ping(after(50));
        clocks.expire_at(after(90));
        assert_eq!(clocks.next(None), after(51));
    }
}
