//! Durable state of Tocsin: a storage trait that speaks the product's verbs, its records and its back ends.
//!
//! A verb is one compare-and-set on the rows it touches; what it decides is written once, in `verb`, over an
//! abstract table of rows, so that every back end decides alike. The back ends differ only in where rows live:
//! `memory` in a map, `rocks` (feature `rocks`) in RocksDB behind one writer thread with group commit, its rows
//! sealed where there is a master key (`sealing`).

mod back_end;
#[cfg(feature = "bench-hook")]
pub mod bench_hook;
mod clock;
mod envelope;
mod error;
mod hash;
mod key;
pub mod memory;
mod pseudonym;
mod record;
#[cfg(feature = "rocks")]
pub mod rocks;
mod sealing;
mod store;
mod verb;

pub use clock::Clock;
pub use error::{StoreError, StoreErrorKind};
pub use sealing::{MasterKey, MasterKeyId, SealError, Sealer};
pub use store::{
    Amended, Attempted, AuditChecked, AuditCheckpoint, AuditCut, AuditFault, AuditPage, AuditQuery,
    AuditSummary, CallbackList, CallbackPage, CallbackSettled, CallbackVerdict, ChangeNoted, Claimed,
    CommitReport, Created, DeviceChange, DeviceChanged, DueCallbacks, Ended, Enrolled, EnrollmentCancelled,
    EnrollmentConfirmed, EnrollmentOpened, Erased, Erasure, KeptProviderToken, KeyApproval, KeyChange,
    KeyDeleted, KeyPut, KnownUser, MetaKey, NewEnrollment, NewTransaction, NoObserver, OpenIds, OpenPage,
    Pending, PinTried, PushTargetVerdict, Read, Redelivered, Registered, Resend, Resent, Revoked, RowsKept,
    Store, StoreObserver, TransactionPage, TransactionQuery,
};
pub use verb::callback::callback_host;
pub use verb::table::Retention;
