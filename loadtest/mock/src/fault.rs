//! What shall go wrong, told beforehand.
//!
//! A script is a list of rules, oldest first. A rule is for one target (device token, registration token
//! or installation id) or for whatever comes next; the first rule that fits a request is used for it, and
//! rules for its target go before general ones. A refusal scripted for a request that breaks a rule of
//! the provider does not hide that: the provider's own refusal is sent.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::MockError;
use crate::sync::lock;
use crate::wire::{Action, Reply};

/// One thing that goes wrong; `R` is the provider's own kind of refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault<R> {
    /// Answer with this refusal.
    Refuse(R),
    /// Process the request, then hold the answer back this long.
    Delay(Duration),
    /// Read the request and never answer; it is not processed.
    NeverAnswer,
    /// Cut the connection as soon as the request's headers are read.
    CutBeforeReading,
    /// Cut the connection when the whole request is read; it is not processed.
    CutAfterReading,
    /// Process the request, then cut the connection in place of the answer.
    CutAfterProcessing,
    /// Send GOAWAY with this debug data. `processed` says whether the request is still processed and
    /// answered; if not, its stream lies above the last id (or is refused, where a later stream has
    /// already been processed), and the client may send it again.
    GoAway {
        /// Debug data, for APNs `{"reason":"…"}`.
        debug_data: String,
        /// Whether this request still gets its answer.
        processed: bool,
    },
    /// Reset the stream with REFUSED_STREAM: not processed.
    RefuseStream,
    /// Announce a stream limit of 1, answer as usual, and raise the limit at the next accepted push.
    LowerStreamLimit,
}

impl<R> Fault<R> {
    /// What it does in place of processing the request; `None` if the request is processed.
    pub(crate) fn before_processing(&self) -> Option<Action> {
        match self {
            Self::NeverAnswer => Some(Action::Silence),
            Self::CutBeforeReading | Self::CutAfterReading => Some(Action::Cut),
            Self::RefuseStream => Some(Action::RefuseStream),
            Self::GoAway { debug_data, processed: false } => {
                Some(Action::GoAway { answer: None, debug_data: debug_data.clone().into() })
            }
            Self::Refuse(_)
            | Self::Delay(_)
            | Self::CutAfterProcessing
            | Self::GoAway { processed: true, .. }
            | Self::LowerStreamLimit => None,
        }
    }

    /// What it does with the answer to a processed request.
    pub(crate) async fn after_processing(fault: Option<Self>, reply: Reply) -> Action {
        match fault {
            Some(Self::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Action::Answer(reply)
            }
            Some(Self::CutAfterProcessing) => Action::Cut,
            Some(Self::GoAway { debug_data, .. }) => {
                Action::GoAway { answer: Some(reply), debug_data: debug_data.into() }
            }
            Some(
                Self::Refuse(_)
                | Self::NeverAnswer
                | Self::CutBeforeReading
                | Self::CutAfterReading
                | Self::RefuseStream
                | Self::LowerStreamLimit,
            )
            | None => Action::Answer(reply),
        }
    }
}

/// How often a rule is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// This many times.
    Times(u32),
    /// Until the script is cleared.
    Always,
    /// For so many of each thousand requests that it fits, evenly spread, until the script is cleared.
    Share {
        /// Of a thousand.
        per_mille: u16,
    },
}

/// The faults that a server will show.
#[derive(Debug)]
pub struct FaultScript<R> {
    rules: Mutex<VecDeque<Rule<R>>>,
}

struct Rule<R> {
    target: Option<String>,
    repeat: Repeat,
    /// What a rule for a share of the requests has saved up for its next use, in thousandths.
    saved: u16,
    fault: Fault<R>,
}

impl<R> std::fmt::Debug for Rule<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rule").field("repeat", &self.repeat).finish_non_exhaustive()
    }
}

impl<R: Clone> FaultScript<R> {
    /// Most rules a script holds.
    pub const RULES_MAX: usize = 16_384;

    pub(crate) fn new() -> Self {
        Self { rules: Mutex::new(VecDeque::new()) }
    }

    /// The next `count` requests, whatever their target, get `fault`.
    pub fn for_next(&self, count: u32, fault: Fault<R>) -> Result<(), MockError> {
        self.push(Rule { target: None, repeat: Repeat::Times(count), saved: 0, fault })
    }

    /// Every request gets `fault` until the script is cleared.
    pub fn for_all(&self, fault: Fault<R>) -> Result<(), MockError> {
        self.push(Rule { target: None, repeat: Repeat::Always, saved: 0, fault })
    }

    /// So many of each thousand requests get `fault` until the script is cleared.
    pub fn for_share(&self, per_mille: u16, fault: Fault<R>) -> Result<(), MockError> {
        self.push(Rule { target: None, repeat: Repeat::Share { per_mille }, saved: 0, fault })
    }

    /// Requests for `target` get `fault`.
    pub fn for_target(&self, target: &str, repeat: Repeat, fault: Fault<R>) -> Result<(), MockError> {
        self.push(Rule { target: Some(target.to_owned()), repeat, saved: 0, fault })
    }

    /// Forgets every rule.
    pub fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// The number of rules not used up.
    pub fn pending(&self) -> usize {
        lock(&self.rules).len()
    }

    /// Takes the fault for a request whose headers are read, if it is one that needs no more.
    pub(crate) fn take_before_reading(&self, target: Option<&str>) -> Option<Fault<R>> {
        self.take_if(target, |fault| matches!(fault, Fault::CutBeforeReading))
    }

    /// Takes the fault for a request that has been read.
    pub(crate) fn take(&self, target: Option<&str>) -> Option<Fault<R>> {
        self.take_if(target, |_| true)
    }

    fn take_if(&self, target: Option<&str>, wanted: impl Fn(&Fault<R>) -> bool) -> Option<Fault<R>> {
        let mut rules = lock(&self.rules);
        if rules.is_empty() {
            return None;
        }
        let own = rules.iter().position(|rule| rule.target.is_some() && rule.target.as_deref() == target);
        let index = own.or_else(|| rules.iter().position(|rule| rule.target.is_none()))?;
        let rule = rules.get_mut(index).filter(|rule| wanted(&rule.fault))?;
        if !rule.is_due() {
            return None;
        }
        let fault = rule.fault.clone();
        if rule.used_up() {
            rules.remove(index);
        }
        Some(fault)
    }

    fn push(&self, rule: Rule<R>) -> Result<(), MockError> {
        let mut rules = lock(&self.rules);
        if rules.len() >= Self::RULES_MAX {
            return Err(MockError::Full { what: "the fault script", max: Self::RULES_MAX });
        }
        if rule.repeat != Repeat::Times(0) {
            rules.push_back(rule);
        }
        Ok(())
    }
}

impl<R> Rule<R> {
    /// Whether it is used for the request that it fits.
    fn is_due(&mut self) -> bool {
        let Repeat::Share { per_mille } = self.repeat else { return true };
        self.saved += per_mille.min(1_000);
        let is_due = self.saved >= 1_000;
        self.saved %= 1_000;
        is_due
    }

    /// Counts one use and says whether it was the last.
    fn used_up(&mut self) -> bool {
        match &mut self.repeat {
            Repeat::Always | Repeat::Share { .. } => false,
            Repeat::Times(left) => {
                *left -= 1;
                *left == 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_a_target_goes_before_a_general_one() {
        let script = FaultScript::new();
        script.for_next(1, Fault::Refuse("general")).unwrap();
        script.for_target("aa", Repeat::Times(1), Fault::Refuse("own")).unwrap();
        assert_eq!(script.take(Some("aa")), Some(Fault::Refuse("own")));
        assert_eq!(script.take(Some("aa")), Some(Fault::Refuse("general")));
        assert_eq!(script.take(Some("aa")), None);
    }

    #[test]
    fn headers_alone_use_up_only_a_cut_before_reading() {
        let script: FaultScript<()> = FaultScript::new();
        script.for_next(1, Fault::NeverAnswer).unwrap();
        assert_eq!(script.take_before_reading(None), None);
        assert_eq!(script.take(None), Some(Fault::NeverAnswer));
        script.for_next(1, Fault::CutBeforeReading).unwrap();
        assert_eq!(script.take_before_reading(None), Some(Fault::CutBeforeReading));
        assert_eq!(script.pending(), 0);
    }

    #[test]
    fn a_share_of_the_requests_is_spread_evenly() {
        let script = FaultScript::new();
        script.for_share(400, Fault::Refuse("some")).unwrap();
        let hit: Vec<bool> = (0..10).map(|_| script.take(None).is_some()).collect();
        assert_eq!(hit.iter().filter(|hit| **hit).count(), 4);
        assert_eq!(&hit[..5], [false, false, true, false, true]);
    }

    #[test]
    fn a_full_script_says_so() {
        let script: FaultScript<()> = FaultScript::new();
        for _ in 0..FaultScript::<()>::RULES_MAX {
            script.for_next(1, Fault::NeverAnswer).unwrap();
        }
        assert!(matches!(script.for_next(1, Fault::NeverAnswer), Err(MockError::Full { .. })));
    }
}
