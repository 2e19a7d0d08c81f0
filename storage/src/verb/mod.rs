//! What each verb decides: once, over an abstract table of rows, for every back end.
//!
//! A verb reads rows, compares, and answers with a [`batch::Batch`] of changed rows and a reply; it never writes,
//! waits or reads a clock. A [`group::Group`] takes many verbs for one commit: a later one sees the rows of the
//! earlier ones through an overlay. Invariants: a verb that fails or loses changes nothing; no reply leaves before
//! the group that it belongs to is committed.

pub(crate) mod audit;
pub(crate) mod authorization;
pub(crate) mod batch;
pub(crate) mod callback;
pub(crate) mod device;
mod device_key;
pub(crate) mod enrol;
pub(crate) mod enrollment;
pub(crate) mod group;
pub(crate) mod idempotency;
pub(crate) mod look;
pub(crate) mod meta;
mod naming;
pub(crate) mod otp;
pub(crate) mod overlay;
pub(crate) mod push_target;
pub(crate) mod rows;
pub(crate) mod standing;
pub(crate) mod submission;
pub(crate) mod table;
pub(crate) mod transaction;
pub(crate) mod user;

#[cfg(feature = "rocks")]
pub(crate) use group::Told;
pub(crate) use group::{Group, Trail};
pub(crate) use rows::RowResult;
pub(crate) use submission::{Enrolment, Settled, Verb};
pub(crate) use table::{Retention, Table};
