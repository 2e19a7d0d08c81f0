//! The outside world for tests, demos and load: strict doubles of APNs and FCM, of SMS gateways and mail servers, of what
//! knows places, of a portal that is called back, and of the proxy on the way to them.
//!
//! Each double is a real server: TLS 1.2 or later with a certificate made at run time, HTTP/2 on the
//! wire, and by default it refuses what Apple and Google refuse. [`Strictness::Fast`] is the one switch
//! that turns the checks off; it exists to measure a client and not this crate.
//!
//! Start at [`World`] for Apple and Google at once, or at [`ApnsServer`], [`FcmServer`], [`TwilioServer`],
//! [`GatewayServer`], [`SmtpServer`], [`LocationServer`], [`CallbackServer`] and [`ProxyServer`] for one of
//! them.
//! What came is in [`PushLog`] or [`Log`]; what shall go wrong is told to a [`FaultScript`].
//!
//! It deliberately imports nothing else of this product, so that a fault of the product cannot hide
//! behind the same fault here: signatures, tokens and payloads are checked by code of its own.

mod apns;
mod authority;
mod callback;
mod clock;
mod credential;
mod error;
mod fault;
mod fcm;
mod form;
mod jws;
mod location;
mod log;
mod proxy;
mod record;
mod sms;
mod smtp;
mod strictness;
mod sync;
mod wire;
mod world;

pub use apns::{
    ApnsEnvironment, ApnsFault, ApnsKey, ApnsOptions, ApnsReason, ApnsRefusal, ApnsServer, DeviceRegister,
    KeyEnvironment, Topics, UnknownTokens,
};
pub use authority::{Authority, ServerIdentity};
pub use callback::{CallbackLog, CallbackOptions, CallbackRecord, CallbackRefusal, CallbackServer};
pub use clock::MockClock;
pub use credential::{ApnsCredential, FcmCredential};
pub use error::MockError;
pub use fault::{Fault, FaultScript, Repeat};
pub use fcm::{
    FcmFault, FcmOptions, FcmRefusal, FcmServer, FcmTarget, OAuthFault, OAuthRefusal, RegistrationRegister,
    TokenEndpoint,
};
pub use location::{CityDatabase, LocationCall, LocationOptions, LocationRefusal, LocationServer, MockPlace};
pub use log::Log;
pub use proxy::{ProxyLog, ProxyOptions, ProxyRecord, ProxyRefusal, ProxyServer};
pub use record::{PushLog, PushOutcome, PushRecord};
pub use sms::{
    GatewayAccess, GatewayForm, GatewayOptions, GatewayServer, SmsLog, SmsRecord, SmsRefusal, SmsServer,
    StatusReport, TwilioOptions, TwilioServer,
};
pub use smtp::{MailLog, MailRecord, SmtpOptions, SmtpSecurity, SmtpServer, SmtpStage, SmtpTrouble};
pub use strictness::Strictness;
pub use wire::{ConnectionNumber, ConnectionReport, Traffic};
pub use world::{CredentialFiles, World, WorldOptions};
