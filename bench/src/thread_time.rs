//! Processor time of the calling thread, as a measurement of criterion.
//!
//! Client and server of a push share the machine, so that wall time would show the server's cost, too. The
//! client's thread does nothing but the client's work: its own processor time, the kernel's share included, is its
//! cost.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use nix::time::{ClockId, clock_gettime};

/// Processor time of the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTime;

/// Times read the same, whatever clock they come from.
static FORMATTER: WallTime = WallTime;

impl ThreadTime {
    /// What this thread has used so far.
    pub fn used() -> Duration {
        let clock = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux keeps this clock");
        Duration::from(clock)
    }
}

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::used()
    }

    fn end(&self, started: Duration) -> Duration {
        Self::used().saturating_sub(started)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        FORMATTER.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        FORMATTER.formatter()
    }
}
