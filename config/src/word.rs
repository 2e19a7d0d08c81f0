//! The words of the configuration that stand for a choice, each list in one place.

use tocsin_model::{EnrolmentMode, Method, NumberMatchRule, PushEnvironment, UserIdRule};

use crate::authentication_type::{DeviceChoice, Purpose, PushText};
use crate::callbacks::CallbackBody;
use crate::fatigue::PendingPush;
use crate::mail::MailSecurity;
use crate::proxy::ProxyScheme;
use crate::sms::{BodyFormat, GatewayMethod};
use crate::types::{Confirmation, Durability, LogFormat, Requirement, Right, Role};

/// A choice that is spelled by one of a few words.
pub(crate) trait Word: Sized {
    /// The words.
    const WORDS: &'static [&'static str];

    /// What `word` stands for.
    fn parse(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($choice:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl Word for $choice {
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

words!(LogFormat { "json" => Self::Json, "text" => Self::Text });
words!(Durability { "sync" => Self::Sync, "os" => Self::Os });
words!(UserIdRule { "exact" => Self::Exact, "casefold" => Self::Casefold });
words!(Method { "push" => Self::Push, "sms" => Self::Sms, "email" => Self::Email, "otp" => Self::Otp });
words!(PushText { "loc-keys" => Self::LocalizationKeys, "message" => Self::Message });
words!(DeviceChoice { "all" => Self::All, "ask" => Self::Ask });
words!(EnrolmentMode { "single" => Self::Single, "override" => Self::Override, "multiple" => Self::Multiple });
words!(Requirement { "none" => Self::None, "accepted_transaction" => Self::AcceptedTransaction });
words!(Confirmation { "none" => Self::None, "number" => Self::Number });
words!(PendingPush { "many" => Self::Many, "reject" => Self::Reject, "supersede" => Self::Supersede });
words!(Purpose { "login" => Self::Login });
words!(NumberMatchRule { "off" => Self::Off, "choose" => Self::Choose, "type" => Self::Type });
words!(CallbackBody { "id" => Self::Id, "state" => Self::State, "full" => Self::Full });
words!(MailSecurity { "implicit" => Self::Implicit, "starttls" => Self::StartTls });
words!(ProxyScheme { "http" => Self::Http, "https" => Self::Https });
words!(Role { "read" => Self::Read, "operate" => Self::Operate });
words!(PushEnvironment { "production" => Self::Production, "sandbox" => Self::Sandbox });
words!(Right {
    "transactions" => Self::Transactions,
    "enrollments" => Self::Enrollments,
    "devices" => Self::Devices,
    "users" => Self::Users,
    "custom_delivery" => Self::CustomDelivery,
});

/// The kinds of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderKind {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// Twilio's Messages API.
    Twilio,
    /// An SMS gateway that is described by templates.
    HttpSms,
    /// A mail server.
    Smtp,
}

words!(ProviderKind {
    "apns" => Self::Apns,
    "fcm" => Self::Fcm,
    "twilio" => Self::Twilio,
    "http-sms" => Self::HttpSms,
    "smtp" => Self::Smtp,
});
words!(GatewayMethod { "GET" => Self::Get, "POST" => Self::Post, "PUT" => Self::Put });
words!(BodyFormat { "form" => Self::Form, "json" => Self::Json, "xml" => Self::Xml });

impl ProviderKind {
    /// Every kind; of several default providers the first kind's is taken.
    pub(crate) const ALL: [Self; 5] = [Self::Apns, Self::Fcm, Self::Twilio, Self::HttpSms, Self::Smtp];

    /// The method that it serves.
    pub(crate) const fn serves(self) -> Method {
        match self {
            Self::Apns | Self::Fcm => Method::Push,
            Self::Twilio | Self::HttpSms => Method::Sms,
            Self::Smtp => Method::Email,
        }
    }

    /// The word of the configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Twilio => "twilio",
            Self::HttpSms => "http-sms",
            Self::Smtp => "smtp",
        }
    }
}

/// Whether every caller of the portal door must show a certificate, where certificates are asked for at all.
pub(crate) const CLIENT_CERTIFICATE_WORDS: &[&str] = &["required", "optional"];

/// How a door off loopback may do without TLS of its own.
pub(crate) const PLAINTEXT_WORDS: &[&str] = &["behind-proxy"];

/// How an address becomes a place.
pub(crate) const LOCATION_WORDS: &[&str] = &["off", "database", "service"];
