//! What can go wrong in the mock itself, as opposed to what it answers.

use std::time::Duration;

/// A failure of the mock or of a wait on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The TLS settings were refused.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A key could not be made.
    #[error("cannot make a key")]
    KeyGeneration,
    /// A socket or file failed; `action` says during what.
    #[error("cannot {action}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A bounded table or script is full; `what` names it.
    #[error("{what} is full ({max} entries)")]
    Full {
        /// The table.
        what: &'static str,
        /// Its bound.
        max: usize,
    },
    /// What was waited for did not come.
    #[error("nothing that fits came within {waited:?}")]
    Deadline {
        /// How long the wait was.
        waited: Duration,
    },
    /// The server has been stopped.
    #[error("the server has been stopped")]
    Stopped,
}

impl MockError {
    pub(crate) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
