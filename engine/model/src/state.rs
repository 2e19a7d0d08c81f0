//! The states of a transaction: `pending`, then exactly one final state.

use std::fmt;

/// How a transaction reaches its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A push to enrolled phones, answered by a signature.
    Push,
    /// A one-time code in an SMS, typed at the portal.
    Sms,
    /// A one-time code in an e-mail, typed at the portal.
    Email,
    /// A one-time password that the portal shows and any enrolled phone claims.
    Otp,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::Push, Self::Sms, Self::Email, Self::Otp];

    /// The word of the portal's view, of the configuration and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Otp => "otp",
        }
    }

    /// Whether its user types a code that was sent.
    pub const fn sends_code(self) -> bool {
        matches!(self, Self::Sms | Self::Email)
    }
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// Every push was refused for good.
    ProviderRejected,
    /// No push network could be reached.
    ProviderUnavailable,
    /// Too many wrong tries.
    AttemptsExceeded,
    /// The wrong number was chosen or typed.
    WrongNumber,
    /// The only phone that could answer was removed.
    DeviceRevoked,
    /// The phone vanished after the start.
    NoDevice,
    /// The user was erased.
    UserDeleted,
    /// It was open when a backup was restored.
    Restored,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::ProviderRejected,
        Self::ProviderUnavailable,
        Self::AttemptsExceeded,
        Self::WrongNumber,
        Self::DeviceRevoked,
        Self::NoDevice,
        Self::UserDeleted,
        Self::Restored,
    ];

    /// The word of the portal's view.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderRejected => "provider_rejected",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::AttemptsExceeded => "attempts_exceeded",
            Self::WrongNumber => "wrong_number",
            Self::DeviceRevoked => "device_revoked",
            Self::NoDevice => "no_device",
            Self::UserDeleted => "user_deleted",
            Self::Restored => "restored",
        }
    }
}

/// The state of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for its user.
    Pending,
    /// Approved.
    Accepted,
    /// Refused.
    Declined,
    /// Refused as fraud.
    Reported,
    /// Nobody decided in time.
    Timeout,
    /// It could not be decided.
    Failed(FailureReason),
    /// Withdrawn by its portal.
    Cancelled,
}

/// The word of a state, which says nothing of the reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateWord(&'static str);

impl StateWord {
    /// Every word.
    pub const ALL: [&'static str; 7] =
        ["pending", "accepted", "declined", "reported", "timeout", "failed", "cancelled"];

    /// The word of the interface, spelled exactly.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known == word).map(Self)
    }

    /// Whether it is the word of this state.
    pub fn is_of(self, state: State) -> bool {
        state.as_str() == self.0
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl State {
    /// Whether nothing can change any more.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending)
    }

    /// The word of the portal's view and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Reported => "reported",
            Self::Timeout => "timeout",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Why it failed, when it did.
    pub const fn failure_reason(self) -> Option<FailureReason> {
        match self {
            Self::Failed(reason) => Some(reason),
            Self::Pending
            | Self::Accepted
            | Self::Declined
            | Self::Reported
            | Self::Timeout
            | Self::Cancelled => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a phone's signed answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Approve.
    Accept,
    /// Refuse.
    Decline,
    /// Refuse as fraud.
    Report,
}

impl Decision {
    /// Parses the protocol's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Accept, Self::Decline, Self::Report].into_iter().find(|decision| decision.as_str() == word)
    }

    /// The word of the device protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Report => "report",
        }
    }

    /// The final state that this decision makes.
    pub const fn outcome(self) -> State {
        match self {
            Self::Accept => State::Accepted,
            Self::Decline => State::Declined,
            Self::Report => State::Reported,
        }
    }
}
