//! When to ask whether a connection lives, and when it is dead. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The silence of one connection.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    patience: Duration,
    asked_at: Option<Instant>,
}

/// What to do about a connection now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nothing.
    Fine,
    /// Send a PING.
    Ask,
    /// Give it up.
    Dead,
}

impl Keepalive {
    /// Asks after `interval` of silence and waits for `patience`.
    pub(super) fn new(interval: Duration, patience: Duration) -> Self {
        Self { interval, patience, asked_at: None }
    }

    /// When to check next.
    pub(super) fn due_at(&self, heard: Instant) -> Instant {
        self.asked_at.map_or(heard + self.interval, |asked| asked + self.patience)
    }

    /// What to do now, when the peer was last heard at `heard`.
    pub(super) fn check(&mut self, now: Instant, heard: Instant) -> Health {
        if self.asked_at.is_some_and(|asked| heard > asked) {
            self.asked_at = None;
        }
        if now < self.due_at(heard) {
            return Health::Fine;
        }
        if self.asked_at.is_some() { Health::Dead } else { self.ask(now) }
    }

    /// Asks at once, unless it was asked already.
    pub(super) fn ask(&mut self, now: Instant) -> Health {
        if self.asked_at.is_some() {
            return Health::Fine;
        }
        self.asked_at = Some(now);
        Health::Ask
    }

    /// The PING was answered.
    pub(super) fn answered(&mut self) {
        self.asked_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_connection_is_asked_and_then_dead() {
        let heard = Instant::now();
        let mut keepalive = Keepalive::new(60 * SECOND, 10 * SECOND);
        assert_eq!(keepalive.check(heard + 59 * SECOND, heard), Health::Fine);
        assert_eq!(keepalive.check(heard + 60 * SECOND, heard), Health::Ask);
        assert_eq!(keepalive.check(heard + 69 * SECOND, heard), Health::Fine);
        assert_eq!(keepalive.check(heard + 70 * SECOND, heard), Health::Dead);
    }

    #[test]
    fn a_pong_or_any_answer_is_a_sign_of_life() {
        let heard = Instant::now();
        let mut keepalive = Keepalive::new(60 * SECOND, 10 * SECOND);
        assert_eq!(keepalive.ask(heard), Health::Ask);
        assert_eq!(keepalive.ask(heard), Health::Fine, "asked once");
        keepalive.answered();
        assert_eq!(keepalive.check(heard + 11 * SECOND, heard), Health::Fine);
        assert_eq!(keepalive.ask(heard + 12 * SECOND), Health::Ask);
        assert_eq!(keepalive.check(heard + 40 * SECOND, heard + 13 * SECOND), Health::Fine);
    }
}
