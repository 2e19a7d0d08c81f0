//! The stages of a flow, and how one of them can end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of a flow that is timed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The portal's call until its 201: the transaction is on disk.
    Create,
    /// From the portal's call until the provider's double has the push.
    PushRelayed,
    /// The phone's call for the challenge until its reply.
    Challenge,
    /// The phone's call with the answer until its reply.
    Answer,
    /// From the phone's sending of the answer until the portal knows the outcome.
    WaiterTold,
    /// The whole: from the portal's call until it knows the outcome.
    Flow,
}

impl Stage {
    /// All of them, in the order of a flow.
    pub const ALL: [Self; 6] =
        [Self::Create, Self::PushRelayed, Self::Challenge, Self::Answer, Self::WaiterTold, Self::Flow];

    /// Its name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::PushRelayed => "push_relayed",
            Self::Challenge => "challenge",
            Self::Answer => "answer",
            Self::WaiterTold => "waiter_told",
            Self::Flow => "flow",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::PushRelayed => "push relayed",
            Self::Challenge => "challenge",
            Self::Answer => "answer",
            Self::WaiterTold => "waiter told",
            Self::Flow => "whole flow",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Well; counted and timed.
    Done,
    /// Well, after a time that says nothing of the server (a deadline, a person); counted and not timed.
    Untimed,
    /// Refused with the code of a problem document and with `Retry-After`: an answer, if not the one wished for.
    /// Counted and not timed.
    Refused(&'a str),
    /// Not well: the code of the problem document, or a word of the generator's own. Counted and not timed.
    Failed(&'a str),
}
