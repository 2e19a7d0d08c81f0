//! Lets flows arrive when they are meant to, whatever becomes of those before: the open loop.
//!
//! It runs on a thread of its own that sleeps more finely than a runtime's timers, and never waits for anybody: an
//! arrival that its worker has no room for is dropped and counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::arrivals::{Arrival, Arrivals};
use super::clock::RunClock;
use super::meter::{FinishedMeter, WorkerMeter};

/// Arrivals so near are let go at once; shorter sleeps cost more than they are worth.
const NEAR: Duration = Duration::from_micros(200);

/// Longest sleep, so that an interruption is seen.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Lets them arrive, each at the worker that has its phone. Ends with the last, or when interrupted.
pub(super) fn conduct(
    arrivals: Arrivals,
    phones: u32,
    workers: &[mpsc::Sender<Arrival>],
    clock: RunClock,
    is_interrupted: &AtomicBool,
) -> FinishedMeter {
    let mut meter = WorkerMeter::new();
    for arrival in arrivals {
        if !wait_until(arrival.at, clock, is_interrupted) {
            break;
        }
        let phone = arrival.number % u64::from(phones.max(1));
        let worker = usize::try_from(phone % workers.len().max(1) as u64).unwrap_or_default();
        if workers.get(worker).is_none_or(|worker| worker.try_send(arrival).is_err()) {
            meter.dropped(arrival.at);
        }
    }
    meter.finish()
}

/// Whether the time has come; not if the run is interrupted before.
fn wait_until(at: Duration, clock: RunClock, is_interrupted: &AtomicBool) -> bool {
    loop {
        if is_interrupted.load(Ordering::Relaxed) {
            return false;
        }
        let left = at.saturating_sub(clock.now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.clamp(NEAR, SLEEP_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::meter::RunMeter;
    use crate::load::scenario::Scenario;

    fn scenario() -> Scenario {
        let text = "title = \"T\"\n[[phase]]\nshape = \"burst\"\narrivals = \"even\"\nflows = 20\nduration_s = 0.02\n";
        Scenario::parse("t", text).unwrap()
    }

    #[test]
    fn arrivals_go_to_the_worker_of_their_phone_and_what_finds_no_room_is_dropped() {
        let (first, mut at_first) = mpsc::channel(100);
        let (second, mut at_second) = mpsc::channel(4);
        let meter = conduct(
            scenario().arrivals(),
            10,
            &[first, second],
            RunClock::start_now(),
            &AtomicBool::new(false),
        );
        let numbers = |receiver: &mut mpsc::Receiver<Arrival>| {
            let mut numbers = Vec::new();
            while let Ok(arrival) = receiver.try_recv() {
                numbers.push(arrival.number);
            }
            numbers
        };
        assert_eq!(numbers(&mut at_first), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(numbers(&mut at_second), [1, 3, 5, 7]);
        let mut run = RunMeter::new();
        run.finish(meter);
        assert_eq!(run.live().dropped, 6);
    }

    #[test]
    fn an_interruption_ends_them() {
        let (sender, receiver) = mpsc::channel(100);
        conduct(scenario().arrivals(), 1, &[sender], RunClock::start_now(), &AtomicBool::new(true));
        assert_eq!(receiver.len(), 0);
    }
}
