//! How our user name and password stand with a proxy or a mail server, so that a wrong password locks no account. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::Backoff;

/// How long a server is left in peace after it refused them.
const REFUSED_BACKOFF: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(15 * 60));

/// What is known of our credentials at one server.
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

    /// The server took them, whatever else it answered.
    pub(crate) fn taken(&mut self) {
        *self = Self { is_proven: true, ..Self::default() };
    }

    /// It refused them. Answers with how long it is left in peace; `random` is from 0 to 1.
    pub(crate) fn refused(&mut self, now: Instant, random: f64) -> Duration {
        self.is_proven = false;
        self.refusals = self.refusals.saturating_add(1);
        let pause = REFUSED_BACKOFF.delay(self.refusals, random);
        self.refused_until = Some(now + pause);
        pause
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
            let pause = standing.refused(now, 0.0);
            assert_eq!(pause, Duration::from_secs(60 * minutes));
            assert!(!standing.may_be_sent(now + pause - Duration::from_millis(1)));
            now += pause;
            assert!(standing.may_be_sent(now) && !standing.is_proven());
        }
    }

    #[test]
    fn credentials_that_were_taken_start_over() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.refused(now, 0.0);
        standing.refused(now, 0.0);
        standing.taken();
        assert!(standing.is_proven() && standing.may_be_sent(now));
        assert_eq!(standing.refused(now, 0.0), Duration::from_secs(60));
        assert!(!standing.is_proven());
    }
}
