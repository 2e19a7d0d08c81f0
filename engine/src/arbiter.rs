//! The threads of actors and connections.
//!
//! A thread that goes to sleep in every gap is woken for every single event: the switch costs more than the event, and
//! what the caches held is gone. So one that is busy rests a moment before it waits for events, and finds several, as
//! network cards do with their interrupts. An idle one waits for nothing.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::Arbiter;
use tokio::runtime::Builder;

/// How long one is looked at before it is told how busy it is.
const WINDOW: Duration = Duration::from_millis(10);

/// From which part of a window at work on it rests.
const BUSY_FROM: f64 = 0.45;

/// How long it would rest if it was at work all the time. A call waits for a rest some two or three times.
const REST_MAX: Duration = Duration::from_millis(3);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Which arbiter of its engine this thread is; `None` where it is none.
pub(crate) fn number() -> Option<usize> {
    NUMBER.get()
}

/// How an arbiter has spent its time so far.
pub(crate) struct Diary(Arc<Mutex<Gaps>>);

impl Diary {
    /// At work, and resting.
    pub(crate) fn spent(&self) -> (Duration, Duration) {
        locked(&self.0).spent(Instant::now())
    }
}

/// Starts the one with this number.
pub(crate) fn start(number: usize) -> (Arbiter, Diary) {
    let diary = Diary(Arc::new(Mutex::new(Gaps::new(Instant::now()))));
    let (gaps, at_work) = (Arc::clone(&diary.0), Arc::clone(&diary.0));
    let arbiter = Arbiter::with_tokio_rt(move || {
        NUMBER.set(Some(number));
        Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || {
                let rest = locked(&gaps).begin(Instant::now());
                if !rest.is_zero() {
                    std::thread::sleep(rest);
                    locked(&gaps).rested(Instant::now());
                }
            })
            .on_thread_unpark(move || locked(&at_work).end(Instant::now()))
            .build()
            .expect("a thread has a runtime: files and memory for it are there at the start")
    });
    (arbiter, diary)
}

fn locked(gaps: &Mutex<Gaps>) -> MutexGuard<'_, Gaps> {
    gaps.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a thread had nothing to do.
struct Gaps {
    window_began: Instant,
    work_began: Instant,
    worked: Duration,
    rest: Duration,
    /// One that never runs out of work has no gaps.
    is_at_work: bool,
    worked_ever: Duration,
    rested_ever: Duration,
}

impl Gaps {
    fn new(now: Instant) -> Self {
        Self {
            window_began: now,
            work_began: now,
            worked: Duration::ZERO,
            rest: Duration::ZERO,
            is_at_work: true,
            worked_ever: Duration::ZERO,
            rested_ever: Duration::ZERO,
        }
    }

    /// Nothing is left to do. How long to rest before what comes next is waited for.
    fn begin(&mut self, now: Instant) -> Duration {
        let worked = now.saturating_duration_since(self.work_began);
        self.worked += worked;
        self.worked_ever += worked;
        self.work_began = now;
        self.is_at_work = false;
        let window = now.saturating_duration_since(self.window_began);
        if window >= WINDOW {
            self.rest = rest_at(self.worked.as_secs_f64() / window.as_secs_f64());
            self.window_began = now;
            self.worked = Duration::ZERO;
        }
        self.rest
    }

    /// The rest that began with the gap is over.
    fn rested(&mut self, now: Instant) {
        self.rested_ever += now.saturating_duration_since(self.work_began);
    }

    /// There is something to do again.
    fn end(&mut self, now: Instant) {
        self.work_began = now;
        self.is_at_work = true;
    }

    /// At work, and resting.
    fn spent(&self, now: Instant) -> (Duration, Duration) {
        let going_on =
            if self.is_at_work { now.saturating_duration_since(self.work_began) } else { Duration::ZERO };
        (self.worked_ever + going_on, self.rested_ever)
    }
}

/// The busier, the longer: the more there is to be found at once.
fn rest_at(share: f64) -> Duration {
    REST_MAX.mul_f64(((share - BUSY_FROM) / (1.0 - BUSY_FROM)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest after working and waiting for so many milliseconds in turns.
    fn rest_after(gaps: &mut Gaps, now: &mut Instant, work: u64, wait: u64) -> Duration {
        let mut rest = Duration::MAX;
        for _ in 0..20 {
            *now += Duration::from_millis(work);
            rest = gaps.begin(*now);
            *now += rest;
            gaps.rested(*now);
            *now += Duration::from_millis(wait);
            gaps.end(*now);
        }
        rest
    }

    #[test]
    fn it_tells_how_long_it_was_at_work_and_rested() {
        let mut now = Instant::now();
        let mut gaps = Gaps::new(now);
        assert_eq!(rest_after(&mut gaps, &mut now, 1, 4), Duration::ZERO);
        assert_eq!(gaps.spent(now), (Duration::from_millis(20), Duration::ZERO));
        let rest = rest_after(&mut gaps, &mut now, 4, 1);
        let (worked, rested) = gaps.spent(now);
        assert_eq!(worked, Duration::from_millis(100));
        assert!(rest <= rested && rested <= 20 * REST_MAX, "{rested:?}");
        // It has work without an end.
        now += Duration::from_secs(7);
        assert_eq!(gaps.spent(now), (Duration::from_millis(7_100), rested));
    }

    #[test]
    fn the_busier_one_is_the_longer_it_rests_and_an_idle_one_does_not() {
        let mut now = Instant::now();
        let mut gaps = Gaps::new(now);
        assert_eq!(rest_after(&mut gaps, &mut now, 1, 4), Duration::ZERO);
        let half = rest_after(&mut gaps, &mut now, 2, 2);
        let most = rest_after(&mut gaps, &mut now, 4, 1);
        assert!(Duration::ZERO < half && half < most && most < REST_MAX, "{half:?} {most:?}");
        assert_eq!(rest_after(&mut gaps, &mut now, 1, 4), Duration::ZERO);
    }

    #[test]
    fn a_long_wait_is_no_work() {
        let mut now = Instant::now();
        let mut gaps = Gaps::new(now);
        assert!(rest_after(&mut gaps, &mut now, 5, 1) > Duration::ZERO);
        now += Duration::from_secs(1);
        gaps.end(now);
        assert_eq!(gaps.begin(now + Duration::from_millis(1)), Duration::ZERO);
    }
}
