//! What operators ask of the process as a whole. The ops door asks, the composition root does it.
//!
//! One command is done at a time, in the order in which they came; a full queue answers `busy`.

use tocsin_model::{AuditActor, ErrorCode, Problem};
use tokio::sync::{mpsc, oneshot};

use crate::backup::{BackupError, Made};
use crate::log::LogControl;

/// Commands that wait.
const COMMANDS_MAX: usize = 8;

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// What is allowed but worth a word, one a line.
    pub(crate) warnings: Vec<String>,
}

/// What came of a reload; all faults when it was refused.
pub(crate) type ReloadOutcome = Result<Reloaded, Vec<String>>;

/// A command and the way to the one who waits for it.
pub(crate) enum Command {
    /// Take the configuration over anew.
    Reload {
        /// For whom.
        by: AuditActor,
        /// The way to the one who waits.
        reply: oneshot::Sender<ReloadOutcome>,
    },
    /// Make a backup.
    Backup {
        /// The way to the one who waits.
        reply: oneshot::Sender<Result<Made, BackupError>>,
    },
    /// Drain and end.
    Drain,
}

/// Takes commands; clones lead to the same process.
#[derive(Clone)]
pub(crate) struct Control {
    commands: mpsc::Sender<Command>,
    log: LogControl,
}

impl Control {
    /// A way for commands, and the end that does them.
    pub(crate) fn new(log: LogControl) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { commands, log }, receiver)
    }

    /// The log of the process.
    pub(crate) const fn log(&self) -> &LogControl {
        &self.log
    }

    /// Reloads the configuration.
    pub(crate) async fn reload(&self, by: AuditActor) -> Result<ReloadOutcome, Problem> {
        let (reply, replied) = oneshot::channel();
        self.send(Command::Reload { by, reply })?;
        replied.await.map_err(|_| shutting_down())
    }

    /// Makes a backup of the running database.
    pub(crate) async fn backup(&self) -> Result<Result<Made, BackupError>, Problem> {
        let (reply, replied) = oneshot::channel();
        self.send(Command::Backup { reply })?;
        replied.await.map_err(|_| shutting_down())
    }

    /// Begins a drain.
    pub(crate) fn drain(&self) -> Result<(), Problem> {
        self.send(Command::Drain)
    }

    fn send(&self, command: Command) -> Result<(), Problem> {
        self.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Problem::new(ErrorCode::Busy, "other commands wait already; nothing was done")
            }
            mpsc::error::TrySendError::Closed(_) => shutting_down(),
        })
    }
}

fn shutting_down() -> Problem {
    Problem::new(ErrorCode::Draining, "the server is shutting down")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn one_command_more_than_may_wait_is_busy_and_none_is_taken_after_the_end() {
        let (control, mut commands) = Control::new(LogControl::deaf());
        for _ in 0..COMMANDS_MAX {
            assert_eq!(control.drain(), Ok(()));
        }
        let refused = control.drain().expect_err("no room");
        assert_eq!(refused.code, ErrorCode::Busy);
        assert!(commands.recv().await.is_some());
        assert_eq!(control.drain(), Ok(()));
        drop(commands);
        assert_eq!(control.drain().expect_err("nobody listens").code, ErrorCode::Draining);
    }

    #[actix_rt::test]
    async fn who_waits_for_a_command_that_is_dropped_is_told_of_the_end() {
        let (control, mut commands) = Control::new(LogControl::deaf());
        let asking = actix_rt::spawn(async move { control.backup().await.err() });
        drop(commands.recv().await);
        assert_eq!(asking.await.expect("an end").map(|problem| problem.code), Some(ErrorCode::Draining));
    }
}
