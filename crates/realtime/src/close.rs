//! Why a connection ends: the close codes of the contract.

/// A close code that the gateway sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum CloseCode {
    /// The client closed; its close is answered.
    Normal = 1000,
    /// The gateway shuts down.
    GoingAway = 1001,
    /// The client broke RFC 6455.
    Protocol = 1002,
    /// A binary message; clients send JSON text.
    Unsupported = 1003,
    /// A text message that is not UTF-8.
    InvalidText = 1007,
    /// A message larger than allowed.
    TooLarge = 1009,
    /// Nobody said who this is in time, the token is not good, or it has expired.
    Unauthorized = 4401,
    /// The user may not have this connection.
    Forbidden = 4403,
    /// The client does not keep up, or did not answer a ping.
    TooSlow = 4408,
    /// The user has too many connections.
    TooMany = 4429,
}

impl CloseCode {
    /// All codes, for counters.
    pub const ALL: [Self; 10] = [
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::Unsupported,
        Self::InvalidText,
        Self::TooLarge,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TooSlow,
        Self::TooMany,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}
