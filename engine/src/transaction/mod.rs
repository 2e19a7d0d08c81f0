//! Transactions: a pure state machine and the thin actor around it.
//!
//! `state` decides, `event` and `effect` are the closed lists of what it takes and gives, `actor` performs.
//! Nothing here knows a provider: pushes and their outcomes cross in the words of `protocol`.

mod actor;
mod alarms;
mod callers;
mod closing;
mod effect;
mod event;
mod message;
mod push;
mod state;

#[cfg(test)]
mod code_tests;
#[cfg(test)]
mod state_tests;

pub(crate) use actor::{
    Ask, Beginning, News, Opening, Request, Ring, Standing, TransactionActor, judge_ended, unanswered,
};
pub(crate) use alarms::Alarms;
pub(crate) use closing::Closings;
pub use effect::{Effect, Reply};
pub use event::{CallerId, Claim, Event, StoreFailure, WriteOutcome};
pub(crate) use push::{PushIds, Target, push_by};
pub use state::Machine;
pub(crate) use state::otp_used;
