//! Durable state of Tocsin: a storage trait that speaks the product's verbs, its records and its back ends.
//!
//! A verb is one compare-and-set on the rows it touches; what it decides is written once, in `verb`, over an
//! abstract table of rows, so that every back end decides alike. The back ends differ only in where rows live:
//! `memory` in a map, `rocks` (feature `rocks`) in RocksDB behind one writer thread with group commit.

mod error;
mod store;

pub use error::{StoreError, StoreErrorKind};
pub use store::{
    Attempted, CommitReport, Created, Ended, EnrollmentCancelled, EnrollmentOpened, Enrolled, MetaKey, OpenPage, Pending,
    PushTargetVerdict, Revoked, Store, StoreObserver, NewEnrollment, NewTransaction,
};
