//! Who does what in one flow: drawn from the scenario's shares by the number of the flow, so that a run with the
//! same seed asks the same of everybody whichever worker it falls to.

use std::f64::consts::TAU;
use std::time::Duration;

use super::scenario::{AnswerDelay, PortalMix, Scenario};
use crate::random::Random;

/// Longest time that a person takes: what is drawn beyond is cut.
const DELAY_MAX: Duration = Duration::from_secs(3_600);

/// What happens in one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowPlan {
    /// Whose it is: below the number of phones. Neighbouring flows are never of the same user.
    pub phone: u32,
    /// How the portal learns of the outcome.
    pub waiting: Waiting,
    /// The portal asks for a code by SMS instead of a push.
    pub by_sms: bool,
    /// What the person does.
    pub answer: PlannedAnswer,
    /// How long the person takes.
    pub delay: Duration,
}

/// How a portal learns of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// The call that starts the transaction waits.
    Sync,
    /// One long poll.
    LongPoll,
    /// Server-sent events.
    Events,
    /// The server calls the portal.
    Callback,
    /// It does not.
    Absent,
}

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlannedAnswer {
    /// Accepts.
    Accept,
    /// Refuses.
    Refuse,
    /// Does not look.
    Ignore,
}

impl Scenario {
    /// What happens in the flow of this number.
    pub fn plan(&self, number: u64) -> FlowPlan {
        let mut random = Random::new(self.seed).fork(number.wrapping_add(1));
        let (refuse, ignore) = (self.phones.refuse_share.get(), self.phones.ignore_share.get());
        FlowPlan {
            phone: u32::try_from(number % u64::from(self.phones.count.max(1))).unwrap_or_default(),
            waiting: self.portals.mix.draw(&mut random),
            by_sms: random.unit() <= self.flows.sms_share.get(),
            answer: match random.unit() {
                drawn if drawn <= refuse => PlannedAnswer::Refuse,
                drawn if drawn <= refuse + ignore => PlannedAnswer::Ignore,
                _ => PlannedAnswer::Accept,
            },
            delay: self.phones.answer_delay.draw(&mut random),
        }
    }
}

impl PortalMix {
    fn draw(self, random: &mut Random) -> Waiting {
        let mut left = random.within(0..self.total().max(1));
        for (weight, waiting) in [
            (self.sync, Waiting::Sync),
            (self.long_poll, Waiting::LongPoll),
            (self.sse, Waiting::Events),
            (self.callback, Waiting::Callback),
        ] {
            if left < u64::from(weight) {
                return waiting;
            }
            left -= u64::from(weight);
        }
        Waiting::Absent
    }
}

impl AnswerDelay {
    fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Zero => Duration::ZERO,
            Self::LogNormal { median, sigma } => {
                // Box and Muller: two even draws make one normal one.
                let normal = (-2.0 * random.unit().ln()).sqrt() * (TAU * random.unit()).cos();
                let delay_s = median.as_secs_f64() * (sigma * normal).exp();
                Duration::try_from_secs_f64(delay_s).map_or(DELAY_MAX, |delay| delay.min(DELAY_MAX))
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
