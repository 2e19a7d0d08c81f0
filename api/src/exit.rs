//! How the process ends, as exit codes (those of sysexits.h that fit).

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything went as asked; of a server: after a drain.
    Done,
    /// The machine did not give what is needed, such as a thread.
    Failed,
    /// The storage cannot be opened, or failed while the server ran.
    Storage,
    /// The configuration is wrong, a door that cannot be bound included.
    Configuration,
}

impl Exit {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Storage => 74,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
