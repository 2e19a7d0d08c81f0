//! Processor time of a whole process: this one, or one that we started.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The processor time of one process, all its threads and the kernel's work for them included.
#[derive(Clone, Copy, Debug)]
pub struct ProcessTime(ClockId);

impl ProcessTime {
    /// Of this process.
    pub fn own() -> Self {
        Self(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    /// Of the process with this id.
    pub fn of(process_id: i32) -> Self {
        Self(ClockId::pid_cpu_clock_id(Pid::from_raw(process_id)).expect("it runs"))
    }

    /// What it has used so far.
    pub fn used(self) -> Duration {
        Duration::from(clock_gettime(self.0).expect("it runs"))
    }

    /// What it uses while `work` is done.
    pub fn during(self, work: impl FnOnce()) -> Duration {
        let before = self.used();
        work();
        self.used().saturating_sub(before)
    }
}
