//! What can go wrong here, in one type.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use http::StatusCode;
use tocsin_mock::MockError;

use crate::http_client::CallError;
use crate::phone::PhoneError;
use crate::portal::ProblemDocument;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LoadtestError {
    /// The machine refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is no server to start.
    #[error(
        "there is no tocsin binary at {}; build it (cargo build -p tocsin-api) or name it by TOCSIN_BIN",
        looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
    )]
    NoServerBinary {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The server ended by itself.
    #[error("the server ended {when} with {status}; its last words:\n{log}")]
    ServerEnded {
        /// In the middle of what.
        when: &'static str,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// Something took too long.
    #[error("{what} took more than {} s", after.as_secs_f32())]
    Deadline {
        /// What.
        what: String,
        /// The time it had.
        after: Duration,
    },
    /// A call got no reply.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A call got a reply that is an error.
    #[error("{0}")]
    Problem(Box<ProblemDocument>),
    /// A reply cannot be understood.
    #[error("a reply with status {status} cannot be read: {why}")]
    Unreadable {
        /// The status.
        status: StatusCode,
        /// What is wrong with it.
        why: String,
    },
    /// The double of the outside world failed.
    #[error(transparent)]
    Mock(#[from] MockError),
    /// The phone stopped.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// Something went otherwise than it must.
    #[error("{0}")]
    Unexpected(String),
}

impl LoadtestError {
    /// Wraps what the machine said to `action`.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// The code of the problem document, if that is what it is.
    pub fn problem_code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Phone(error) => error.code(),
            Self::Io { .. }
            | Self::NoServerBinary { .. }
            | Self::ServerEnded { .. }
            | Self::Deadline { .. }
            | Self::Call(_)
            | Self::Unreadable { .. }
            | Self::Mock(_)
            | Self::Unexpected(_) => None,
        }
    }
}

/// Fails with `what` unless `holds`.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), LoadtestError> {
    if holds { Ok(()) } else { Err(LoadtestError::Unexpected(what())) }
}
