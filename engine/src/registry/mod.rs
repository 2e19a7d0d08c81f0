//! The registry: which transactions are open, who waits for them, and how one comes back to life.

mod admission;
mod enrollment_waiters;
mod recover;
mod shard;
mod turns;
mod waiters;

pub use admission::{Admission, Permit};
pub(crate) use enrollment_waiters::EnrollmentWaiters;
pub(crate) use recover::{Dormant, list_open, look_at_phones, recover};
pub(crate) use shard::{AskError, Registry};
pub(crate) use turns::{Turn, Turns};
pub use waiters::{Listening, Until, WaitPlace, Waiters};
