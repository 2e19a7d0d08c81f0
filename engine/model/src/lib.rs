//! The vocabulary of Tocsin: what every other package means by an id, a user, a device, a transaction,
//! its states and the errors a caller can meet.
//!
//! Plain data and validation only: no I/O, no clock, no wire or disk form (those stand at the edges, in
//! `api` and `storage`). A value of one of these types is valid by construction.

mod address;
mod audit;
mod callback;
mod challenge;
mod code;
mod device;
mod enrollment;
mod id;
mod idempotency;
mod key;
mod language;
mod name;
mod number;
mod otp;
mod problem;
mod profile;
mod push;
mod secret;
mod shared_text;
mod standing;
mod start;
mod state;
mod template;
mod text;
mod time;
mod transaction;
mod user;

pub use address::{CodeAddress, EmailAddress, PhoneNumber};
pub use audit::{AuditActor, AuditEvent, AuditHash, AuditKind, AuditRow, Pseudonym};
pub use callback::{
    Callback, CallbackClient, CallbackFault, CallbackHost, CallbackPhase, CallbackUrl, CallbackUrlError,
};
pub use challenge::{KeptChallenge, SealedChallenge};
pub use code::{
    CodeDigits, CodeKeyId, CodeState, CodeText, Fallback, FallbackPlan, FallbackReason, OneTimeCode, Sending,
};
pub use device::{AppVersion, Device, DeviceGuards, DeviceProfile, DeviceStatus, Platform, ProfileChange};
pub use enrollment::{
    AUTHORIZES_FOR, ActivationCodeHash, CONFIRMATION_TRIES_MAX, Enrollment, EnrollmentStanding,
    EnrollmentState, EnrolmentMode, EnrolmentRules,
};
pub use id::{DeviceId, EnrollmentId, IdError, Partition, PushId, TransactionId};
pub use idempotency::{Fingerprint, Idempotency, IdempotencyKey};
pub use key::{DeviceKey, KeyId, KeyUse, Nonce, PublicKey, ServerKeyPair, ServerSecret, Thumbprint};
pub use language::{Language, LanguageError};
pub use name::{
    AppName, ClientId, MasterKeyName, NAME_BYTES_MAX, NameError, OperatorName, ProviderName, RealmName,
    TypeName,
};
pub use number::{NumberMatch, NumberMatchRule, TwoDigits};
pub use otp::{Otp, OtpHash};
pub use problem::{ErrorCode, Problem, SelectableDevice};
pub use profile::UserProfile;
pub use push::{DeliveryReason, DeliveryStatus, PushEnvironment, PushKind, PushTarget, PushToken};
pub use secret::Secret;
pub use standing::{
    BlockRule, Guard, LockReason, MISSES_COUNT_FOR, MISSES_KEPT_MAX, ReportLock, UserLock, UserStanding,
};
pub use start::{DeliveryChoice, StartRequest};
pub use state::{Decision, FailureReason, Method, State, StateWord};
pub use template::{OriginTag, Placeholder, Template, TextTag, UnknownPlaceholder};
pub use text::{Content, ContentLimits, Detail, Particulars};
pub use time::{DurationMs, UnixMs};
pub use transaction::{
    Answer, CallContext, Counter, Delivery, Fatigue, Recipient, RequestMessage, Seldom, Transaction,
};
pub use user::{User, UserId, UserIdError, UserIdRule};
