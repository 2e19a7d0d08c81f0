//! Where a phone can be pushed to, and how far a push came.

use std::fmt;

use crate::UnixMs;

/// Longest push token in bytes.
const PUSH_TOKEN_BYTES_MAX: usize = 4096;

/// The kind of a push target, which names the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushKind {
    /// An APNs device token, in hexadecimal.
    Apns,
    /// An FCM registration token.
    FcmToken,
    /// A Firebase installation id.
    FcmFid,
    /// The phone cannot be pushed to; it asks by itself.
    None,
}

impl PushKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Apns, Self::FcmToken, Self::FcmFid, Self::None];

    /// The word of the device protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::FcmToken => "fcm_token",
            Self::FcmFid => "fcm_fid",
            Self::None => "none",
        }
    }

    /// Parses the protocol's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The APNs environment that a token belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PushEnvironment {
    /// Apps from the App Store and TestFlight.
    #[default]
    Production,
    /// Apps signed for development.
    Sandbox,
}

impl PushEnvironment {
    /// Both environments.
    pub const ALL: [Self; 2] = [Self::Production, Self::Sandbox];

    /// The word of the device protocol and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}

/// The address of a phone in a push network. Whoever has it can send to the phone, so it is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushToken(Box<str>);

impl PushToken {
    /// Takes a token of 1 to 4096 visible ASCII characters; APNs tokens are checked further by their kind.
    pub fn new(kind: PushKind, value: &str) -> Option<Self> {
        let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=PUSH_TOKEN_BYTES_MAX).contains(&value.len());
        let well_formed = match kind {
            PushKind::Apns => {
                value.len().is_multiple_of(2)
                    && value.len() <= 400
                    && value.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            PushKind::FcmToken | PushKind::FcmFid => true,
            PushKind::None => false,
        };
        (visible && fits && well_formed).then(|| Self(value.into()))
    }

    /// The token; call it only where it is sent, stored or compared.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PushToken([redacted])")
    }
}

/// Where a phone can be pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// The network.
    pub kind: PushKind,
    /// The address; `None` exactly when the kind is [`PushKind::None`].
    pub token: Option<PushToken>,
    /// What the phone says of its APNs environment; the app's configuration decides.
    pub environment: PushEnvironment,
    /// When the phone told us this address. A 410 of APNs counts only when it is later.
    pub registered_at: UnixMs,
}

impl PushTarget {
    /// The target of a phone that cannot be pushed to.
    pub const fn none(registered_at: UnixMs) -> Self {
        Self { kind: PushKind::None, token: None, environment: PushEnvironment::Production, registered_at }
    }
}

/// How far a push came. No network reports "delivered", so there is no such word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStatus {
    /// Waiting for the provider.
    Queued,
    /// Written to the provider.
    Sent,
    /// The provider took it.
    Relayed,
    /// The phone listed, fetched or answered it.
    Fetched,
    /// It will not arrive.
    Failed,
    /// It was cut off; it may arrive.
    Unknown,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Sent, Self::Relayed, Self::Fetched, Self::Failed, Self::Unknown];

    /// The word of the portal's view.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Relayed => "relayed",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a push failed or is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryReason {
    /// The network says that the phone's address is dead.
    TokenDead,
    /// The network refuses the phone's address, perhaps by our configuration.
    TokenSuspect,
    /// The network refuses our credential or topic.
    CredentialRefused,
    /// The network refuses the request itself: a fault of ours.
    RequestRefused,
    /// The network asks for fewer pushes.
    Throttled,
    /// The network cannot be reached or answers that it is out of order.
    Unavailable,
    /// Our own queue refused it, or each connection to the gateway was taken for too long.
    Busy,
    /// It could not be sent in time.
    Late,
    /// The stream was cut after the request was written.
    Cut,
    /// The gateway says that no message will ever reach this number or mailbox from us.
    AddressRefused,
    /// The gateway took the message, and reported later that it did not arrive.
    Undelivered,
}

impl DeliveryReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::TokenDead,
        Self::TokenSuspect,
        Self::CredentialRefused,
        Self::RequestRefused,
        Self::Throttled,
        Self::Unavailable,
        Self::Busy,
        Self::Late,
        Self::Cut,
        Self::AddressRefused,
        Self::Undelivered,
    ];

    /// The word of the portal's view and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenDead => "token_dead",
            Self::TokenSuspect => "token_suspect",
            Self::CredentialRefused => "credential_refused",
            Self::RequestRefused => "request_refused",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Late => "late",
            Self::Cut => "cut",
            Self::AddressRefused => "address_refused",
            Self::Undelivered => "undelivered",
        }
    }

    /// Whether another gateway may still reach the same number: its word is not the number's.
    pub const fn may_work_elsewhere(self) -> bool {
        !matches!(self, Self::AddressRefused | Self::Late)
    }

    /// Whether the network itself was out of reach, rather than refusing this push.
    pub const fn is_unavailable(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::Busy | Self::Late | Self::Cut => true,
            Self::TokenDead
            | Self::TokenSuspect
            | Self::CredentialRefused
            | Self::RequestRefused
            | Self::AddressRefused
            | Self::Undelivered => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_checked_by_kind_and_never_printed() {
        assert!(PushToken::new(PushKind::Apns, "0aFF").is_some());
        for bad in ["", "0aF", "zz", &"0".repeat(402)] {
            assert_eq!(PushToken::new(PushKind::Apns, bad), None, "{bad}");
        }
        assert_eq!(PushToken::new(PushKind::FcmToken, "a b"), None);
        assert_eq!(PushToken::new(PushKind::None, "a"), None);
        let token = PushToken::new(PushKind::FcmToken, "abc:DEF").expect("valid");
        assert!(!format!("{token:?}").contains("DEF"));
    }
}
