//! How our user name and password stand with a proxy or a mail server, so that a wrong password locks no account. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::Backoff;

/// How long a server is left in peace after it refused them.
const REFUSED_BACKOFF: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(15 * 60));

/// What is known of our credentials at one server. What it says while it is left in peace answers a question from before,
/// and changes nothing.
///
/// ```text
/// unproven ──── it took them ────► proven
///    ▲  └─── it refused them ──┐     │ it refused them
///    └── the time is over ── refused ◄┘
/// ```
#[derive(Debug, Default)]
pub(crate) struct Standing {
    is_proven: bool,
    refusals: u32,
    refused_until: Option<Instant>,
}

impl Standing {
    /// Whether the server took them the last time.
    pub(crate) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether they may be sent now.
    pub(crate) fn may_be_sent(&self, now: Instant) -> bool {
        self.refused_until.is_none_or(|until| until <= now)
    }

    /// The server took them for certain.
    pub(crate) fn taken(&mut self, now: Instant) {
        if self.may_be_sent(now) {
            *self = Self { is_proven: true, ..Self::default() };
        }
    }

    /// It refused them. Answers with how long it is left in peace from now on, unless it is already; `random` is from 0
    /// to 1.
    pub(crate) fn refused(&mut self, now: Instant, random: f64) -> Option<Duration> {
        if !self.may_be_sent(now) {
            return None;
        }
        self.is_proven = false;
        self.refusals = self.refusals.saturating_add(1);
        let pause = REFUSED_BACKOFF.delay(self.refusals, random);
        self.refused_until = Some(now + pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_credentials_rest_longer_each_time() {
        let (mut standing, mut now) = (Standing::default(), Instant::now());
        assert!(standing.may_be_sent(now) && !standing.is_proven());
        for minutes in [1, 2, 4, 8, 15, 15] {
            let pause = Duration::from_secs(60 * minutes);
            assert_eq!(standing.refused(now, 0.0), Some(pause));
            assert!(!standing.may_be_sent(now + pause - Duration::from_millis(1)));
            now += pause;
            assert!(standing.may_be_sent(now) && !standing.is_proven());
        }
    }

    #[test]
    fn credentials_that_were_taken_start_over() {
        let (mut standing, mut now) = (Standing::default(), Instant::now());
        for minutes in [1, 2] {
            assert_eq!(standing.refused(now, 0.0), Some(Duration::from_secs(60 * minutes)));
            now += Duration::from_secs(60 * minutes);
        }
        standing.taken(now);
        assert!(standing.is_proven() && standing.may_be_sent(now));
        assert_eq!(standing.refused(now, 0.0), Some(Duration::from_secs(60)));
        assert!(!standing.is_proven());
    }

    #[test]
    fn late_answers_to_what_was_sent_before_a_refusal_change_nothing() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.taken(now);
        assert_eq!(standing.refused(now, 0.0), Some(Duration::from_secs(60)));
        for _ in 0..9 {
            assert_eq!(standing.refused(now + Duration::from_secs(59), 0.0), None);
        }
        standing.taken(now + Duration::from_secs(59));
        assert!(!standing.is_proven() && !standing.may_be_sent(now + Duration::from_secs(59)));
        assert_eq!(standing.refused(now + Duration::from_secs(60), 0.0), Some(Duration::from_secs(120)));
    }
}
