//! The typed configuration of Tocsin.
//!
//! Layers: the commented `default.toml` (compiled in), then one file, then `TOCSIN_…` environment variables.
//! Everything is validated into the types of [`Config`] before anything else of the process starts; all faults
//! are reported at once, each with its place. A [`Config`] value is therefore valid by construction.
//!
//! The way of a value: `schema` names every key and the shape of its value → `document` and
//! `environment` read the layers → `complete` adds what has a default → `check` compares keys with each other
//! and looks for files → `assemble` makes the [`Config`]. Certificates of doors are read and compared; credentials
//! of providers are only looked for here, and what is in them is read by who uses them.

mod assemble;
mod authentication_type;
mod callbacks;
mod certificate;
mod check;
mod complete;
mod credential;
mod der_time;
mod document;
#[cfg(test)]
mod documented;
mod dump;
mod environment;
mod fatigue;
mod fault;
mod findings;
mod hint;
mod load;
mod login;
mod mail;
mod networks;
mod path;
mod place;
mod proxy;
mod schema;
mod settings;
mod shape;
mod sms;
mod template;
mod texts;
mod types;
mod url;
mod word;

pub use authentication_type::{AuthenticationType, CodeRules, DeviceChoice, FallbackRule, Purpose, PushText};
pub use callbacks::{
    BasicCredentials, CallbackBody, CallbackEntry, Callbacks, ClientCallbacks, WebhookSecret,
};
pub use certificate::{Authorities, CertificateFault, Identity, certificate_is_for};
pub use credential::{NewClient, NewCredentialError, NewToken};
pub use dump::{Effective, EffectiveKey, EffectiveValue};
pub use environment::process_environment;
pub use fatigue::{Ladder, PendingPush};
pub use fault::{Fault, Faults, Warning};
pub use load::{DEFAULT_TOML, Loaded};
pub use login::{Login, PasswordSource};
pub use mail::{MailSecurity, SmtpProvider};
pub use networks::Networks;
pub use place::{Place, Source};
pub use proxy::{NoProxy, ProxyScheme, ProxySettings};
pub use sms::{
    AnswerPattern, AnswerRules, BodyFormat, CountryPrefix, GatewayAccess, GatewayMethod, HttpSmsProvider,
    SmsRules, StatusRange, TwilioApiKey, TwilioProvider, TwilioSender,
};
pub use template::{Escape, Filling, Template};
pub use texts::{FieldPath, Localized, LocationService, LocationSource, Origin, TypeTexts};
pub use tocsin_model::EnrolmentMode;
pub use types::{
    ApnsProvider, App, AppPlatform, Client, ClientCertificates, Config, Confirmation, Door, DoorTls,
    Durability, EngineLimits, FcmProvider, Grant, Log, LogFormat, MasterKeySetting, MasterKeySource,
    Operator, PlatformVersion, Provider, ProviderLimits, ProviderNetwork, Realm, Requirement, Right, Role,
    Storage, Switches, WrongCodeLimit,
};
