//! Apple's refusals: status and reason as documented, and anything else a test wants to send.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::json;

use crate::wire::Reply;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $status:literal,)*) => {
        /// The `reason` of a refused push.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ApnsReason { $($(#[$doc])* $name,)* }

        impl ApnsReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

reasons! {
    /// The collapse id is longer than 64 bytes.
    BadCollapseId = 400,
    /// The device token is malformed or of the other environment.
    BadDeviceToken = 400,
    /// `apns-expiration` is no whole number.
    BadExpirationDate = 400,
    /// `apns-id` is no canonical UUID.
    BadMessageId = 400,
    /// `apns-priority` is not 10, 5 or 1, or does not fit the push type.
    BadPriority = 400,
    /// `apns-topic` is malformed or does not fit the push type.
    BadTopic = 400,
    /// The device token belongs to another app.
    DeviceTokenNotForTopic = 400,
    /// A header stands there twice.
    DuplicateHeaders = 400,
    /// The connection was idle too long.
    IdleTimeout = 400,
    /// `apns-push-type` is unknown, missing or does not fit the payload.
    InvalidPushType = 400,
    /// The path names no device token.
    MissingDeviceToken = 400,
    /// `apns-topic` is missing.
    MissingTopic = 400,
    /// There is no payload that APNs could deliver.
    PayloadEmpty = 400,
    /// The key may not push to this topic.
    TopicDisallowed = 400,
    /// The client certificate is bad.
    BadCertificate = 403,
    /// The client certificate is for the other environment.
    BadCertificateEnvironment = 403,
    /// The key is for the other environment.
    BadEnvironmentKeyIdInToken = 403,
    /// The same under the name that has been seen on the wire.
    BadEnvironmentKeyInToken = 403,
    /// The provider token is more than an hour off.
    ExpiredProviderToken = 403,
    /// What was asked is not allowed, such as two teams on one connection.
    Forbidden = 403,
    /// The provider token is malformed, unknown or badly signed.
    InvalidProviderToken = 403,
    /// There is no provider token.
    MissingProviderToken = 403,
    /// The key id is not the one of the connection's first push.
    UnrelatedKeyIdInToken = 403,
    /// The path is not one of APNs.
    BadPath = 404,
    /// The method is not POST.
    MethodNotAllowed = 405,
    /// The device token has expired.
    ExpiredToken = 410,
    /// The device token is no longer active for the topic.
    Unregistered = 410,
    /// The payload is longer than 4096 bytes.
    PayloadTooLarge = 413,
    /// A second provider token within 20 minutes on one connection.
    TooManyProviderTokenUpdates = 429,
    /// Too many pushes in a row to one device.
    TooManyRequests = 429,
    /// Apple's own fault.
    InternalServerError = 500,
    /// The service is not available.
    ServiceUnavailable = 503,
    /// The server is shutting down.
    Shutdown = 503,
}

/// A refusal as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApnsRefusal {
    /// One of Apple's own.
    Documented {
        /// The reason; it decides the status.
        reason: ApnsReason,
        /// When APNs learned that the token is dead, in Unix milliseconds; only with status 410.
        timestamp_ms: Option<u64>,
    },
    /// Anything else: an unknown reason, a body that is no JSON, no body at all.
    Undocumented {
        /// The status.
        status: StatusCode,
        /// The body, byte for byte.
        body: String,
    },
}

impl From<ApnsReason> for ApnsRefusal {
    fn from(reason: ApnsReason) -> Self {
        Self::Documented { reason, timestamp_ms: None }
    }
}

impl ApnsRefusal {
    /// A dead device token, as of `timestamp_ms`.
    pub fn dead(reason: ApnsReason, timestamp_ms: u64) -> Self {
        Self::Documented { reason, timestamp_ms: Some(timestamp_ms) }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Documented { reason, .. } => {
                StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Undocumented { status, .. } => *status,
        }
    }

    pub(super) fn word(&self) -> Cow<'static, str> {
        match self {
            Self::Documented { reason, .. } => Cow::Borrowed(reason.as_str()),
            Self::Undocumented { .. } => Cow::Borrowed("undocumented"),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Documented { reason, timestamp_ms: None } => {
                Reply::json(self.status(), &json!({"reason": reason.as_str()}))
            }
            Self::Documented { reason, timestamp_ms: Some(timestamp_ms) } => {
                Reply::json(self.status(), &json!({"reason": reason.as_str(), "timestamp": timestamp_ms}))
            }
            Self::Undocumented { status, body } => Reply::new(*status, body.clone()),
        }
    }
}
