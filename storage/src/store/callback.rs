//! What is owed to portals, and what became of it.

use tocsin_model::{Callback, CallbackFault, TransactionId, UnixMs};

/// The two lists of callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackList {
    /// Those that are still tried.
    Owed,
    /// Those that are tried no more, and were not taken.
    Dead,
}

/// How a try to deliver a callback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackVerdict {
    /// The portal took it.
    Delivered,
    /// It failed and is tried again.
    TryAgain {
        /// When.
        at: UnixMs,
        /// How it failed.
        fault: CallbackFault,
    },
    /// It failed, and is tried no more.
    Dead {
        /// Since now.
        since: UnixMs,
        /// How it failed.
        fault: CallbackFault,
    },
}

/// What became of the word how a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackSettled {
    /// It is stored.
    Stored,
    /// The callback is owed no more, or another try was counted since.
    Lost,
}

/// What became of a redelivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redelivered {
    /// It is due now.
    Owed(Box<Callback>),
    /// Nothing is owed or dead under this id.
    Absent,
}

/// One page of a list of callbacks, newest transactions first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackPage {
    /// The callbacks.
    pub callbacks: Vec<Callback>,
    /// Behind which the next page starts; `None` at the end.
    pub next: Option<TransactionId>,
}

/// What a host is owed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueCallbacks {
    /// The callbacks, the longest due first.
    pub callbacks: Vec<Callback>,
    /// The next try of the first that is not among them.
    pub next_try_at: Option<UnixMs>,
}
