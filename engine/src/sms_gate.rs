//! How many codes leave by SMS: bounds per number, per beginning of numbers and per client, each in an hour.
//!
//! Each SMS costs money, and numbers can be rented that earn by receiving them; so what is sent is counted before it is
//! sent, whether it is the first code of a transaction, a resend, a fallback or one by another gateway after a first that
//! may have cost something. A send counts for an hour and up to five
//! minutes more, so that no hour ever holds more than its bound. Numbers are kept as keyed hashes. The counts are not
//! stored: a restart begins anew, which nobody outside can bring about.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use tocsin_config::{CountryPrefix, SmsRules};
use tocsin_model::{ClientId, DeliveryReason, DurationMs, ErrorCode, PhoneNumber, Problem, UnixMs};

use crate::limits::SMS_NUMBERS_MAX;

/// How finely time is counted.
const SLOT: DurationMs = DurationMs::from_seconds(300);
/// Slots that an hour can touch.
const SLOTS: usize = 13;

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmsBound {
    /// Too many to this number.
    Number,
    /// Too many to numbers that begin so.
    Prefix,
    /// Too many by this client.
    Client,
}

impl SmsBound {
    /// Every bound.
    pub(crate) const ALL: [Self; 3] = [Self::Number, Self::Prefix, Self::Client];

    /// The value of the metric's label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Prefix => "prefix",
            Self::Client => "client",
        }
    }
}

/// Why a code may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeBarred {
    /// Codes are not sent to numbers of its country any more.
    Country,
    /// Too many left in the last hour.
    TooMany(SmsRefusal),
}

impl CodeBarred {
    /// What the caller who asked for it is told.
    pub(crate) fn problem(self) -> Problem {
        let refusal = match self {
            Self::Country => {
                let detail = "codes are not sent to numbers of this country any more";
                return Problem::new(ErrorCode::MethodDisabled, detail);
            }
            Self::TooMany(refusal) => refusal,
        };
        let detail = match refusal.bound {
            SmsBound::Number => "too many codes were sent to this number in the last hour",
            SmsBound::Prefix => "too many codes were sent to this country in the last hour",
            SmsBound::Client => "too many codes were sent for this client in the last hour",
        };
        Problem::new(ErrorCode::RateLimited, detail).with_retry_after(refusal.retry_after)
    }

    /// How its sending ends where nobody waits for it.
    pub(crate) const fn reason(self) -> DeliveryReason {
        match self {
            Self::Country => DeliveryReason::AddressRefused,
            Self::TooMany(_) => DeliveryReason::Throttled,
        }
    }
}

/// Which bound keeps one more from leaving, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SmsRefusal {
    /// Which bound.
    pub(crate) bound: SmsBound,
    /// When it may be tried again.
    pub(crate) retry_after: DurationMs,
}

/// Counts what is sent.
pub(crate) struct SmsGate {
    hasher: RandomState,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    numbers: HashMap<u64, Hour>,
    prefixes: HashMap<CountryPrefix, Hour>,
    clients: HashMap<ClientId, Hour>,
    tidied_in: u64,
}

/// What was sent in each of the last slots.
#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    newest: u64,
    counts: [u32; SLOTS],
}

impl SmsGate {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), counts: Mutex::default() }
    }

    /// Counts one message, or says which bound it would break; then nothing is counted.
    pub(crate) fn admit(
        &self,
        rules: &SmsRules,
        number: &PhoneNumber,
        prefix: &CountryPrefix,
        client: &ClientId,
        now: UnixMs,
    ) -> Result<(), SmsRefusal> {
        self.judge(rules, number, prefix, client, now, true)
    }

    /// Says which bound one more message would break, and counts nothing.
    pub(crate) fn look(
        &self,
        rules: &SmsRules,
        number: &PhoneNumber,
        prefix: &CountryPrefix,
        client: &ClientId,
        now: UnixMs,
    ) -> Result<(), SmsRefusal> {
        self.judge(rules, number, prefix, client, now, false)
    }

    fn judge(
        &self,
        rules: &SmsRules,
        number: &PhoneNumber,
        prefix: &CountryPrefix,
        client: &ClientId,
        now: UnixMs,
        counts_it: bool,
    ) -> Result<(), SmsRefusal> {
        let slot = now.get() / SLOT.get();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.tidy(slot);
        let key = self.hasher.hash_one(number);
        let by_number = counts.numbers.get(&key).copied().unwrap_or_default();
        let by_prefix = counts.prefixes.get(prefix).copied().unwrap_or_default();
        let by_client = counts.clients.get(client).copied().unwrap_or_default();
        for (bound, hour, sends_max) in [
            (SmsBound::Number, &by_number, rules.sends_per_number_per_hour_max),
            (SmsBound::Prefix, &by_prefix, rules.sends_per_prefix_per_hour_max),
            (SmsBound::Client, &by_client, rules.sends_per_client_per_hour_max),
        ] {
            hour.judge(slot, sends_max, now).map_err(|retry_after| SmsRefusal { bound, retry_after })?;
        }
        if !counts.numbers.contains_key(&key) && counts.numbers.len() >= SMS_NUMBERS_MAX {
            return Err(SmsRefusal { bound: SmsBound::Number, retry_after: SLOT });
        }
        if counts_it {
            counts.numbers.insert(key, by_number.with_one_more(slot));
            counts.prefixes.insert(prefix.clone(), by_prefix.with_one_more(slot));
            counts.clients.insert(client.clone(), by_client.with_one_more(slot));
        }
        Ok(())
    }
}

impl Counts {
    /// Forgets, once in each slot, what no hour touches any more.
    fn tidy(&mut self, slot: u64) {
        if self.tidied_in == slot {
            return;
        }
        self.tidied_in = slot;
        self.numbers.retain(|_, hour| hour.is_alive(slot));
        self.prefixes.retain(|_, hour| hour.is_alive(slot));
        self.clients.retain(|_, hour| hour.is_alive(slot));
    }
}

impl Hour {
    fn is_alive(&self, slot: u64) -> bool {
        slot.abs_diff(self.newest) < SLOTS as u64
    }

    /// The same as of `slot`: what is too old is gone. A clock that was set back counts on in the newest slot.
    fn at(mut self, slot: u64) -> Self {
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for step in 1..=passed {
            let index = (self.newest + step) % SLOTS as u64;
            if let Some(count) = self.counts.get_mut(usize::try_from(index).unwrap_or_default()) {
                *count = 0;
            }
        }
        self.newest = self.newest.max(slot);
        self
    }

    /// Whether one more fits; else how long until one does.
    fn judge(self, slot: u64, sends_max: u32, now: UnixMs) -> Result<(), DurationMs> {
        let hour = self.at(slot);
        let total: u32 = hour.counts.iter().fold(0, |total, count| total.saturating_add(*count));
        if total < sends_max {
            return Ok(());
        }
        let mut left = total;
        let oldest = hour.newest.saturating_sub(SLOTS as u64 - 1);
        for at in oldest..=hour.newest {
            let index = usize::try_from(at % SLOTS as u64).unwrap_or_default();
            left = left.saturating_sub(hour.counts.get(index).copied().unwrap_or_default());
            if left < sends_max {
                let free_at = UnixMs::new((at + SLOTS as u64) * SLOT.get());
                return Err(free_at.since(now));
            }
        }
        Err(SLOT)
    }

    fn with_one_more(self, slot: u64) -> Self {
        let mut hour = self.at(slot);
        let index = usize::try_from(hour.newest % SLOTS as u64).unwrap_or_default();
        if let Some(count) = hour.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
        hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    /// A moment at the beginning of a slot.
    const NOON: u64 = 300_000 * 5_000_000;

    fn rules(per_number: u32, per_prefix: u32, per_client: u32) -> SmsRules {
        SmsRules {
            country_prefixes: vec![prefix("+1"), prefix("+49")],
            refused_prefixes: Vec::new(),
            sends_per_number_per_hour_max: per_number,
            sends_per_prefix_per_hour_max: per_prefix,
            sends_per_client_per_hour_max: per_client,
        }
    }

    fn prefix(text: &str) -> CountryPrefix {
        CountryPrefix::parse(text).expect("a prefix")
    }

    fn admit(
        gate: &SmsGate,
        rules: &SmsRules,
        number: &str,
        client: &str,
        at: u64,
    ) -> Result<(), SmsRefusal> {
        let number = PhoneNumber::parse(number).expect("a number");
        let prefix = rules.prefix_of(&number).expect("allowed").clone();
        gate.admit(rules, &number, &prefix, &client.parse().expect("a name"), UnixMs::new(NOON + at))
    }

    #[test]
    fn each_bound_holds_by_itself() {
        let (gate, rules) = (SmsGate::new(), rules(2, 3, 4));
        assert_eq!(admit(&gate, &rules, "+15055551234", "shop", 0), Ok(()));
        assert_eq!(admit(&gate, &rules, "+15055551234", "shop", 1), Ok(()));
        let bound =
            |number: &str, client: &str| admit(&gate, &rules, number, client, 2).expect_err("refused").bound;
        assert_eq!(bound("+15055551234", "bank"), SmsBound::Number);
        assert_eq!(admit(&gate, &rules, "+15055551235", "shop", 2), Ok(()));
        assert_eq!(bound("+15055551236", "shop"), SmsBound::Prefix);
        assert_eq!(admit(&gate, &rules, "+4915112345678", "shop", 2), Ok(()));
        assert_eq!(bound("+4915112345679", "shop"), SmsBound::Client);
        assert_eq!(admit(&gate, &rules, "+4915112345679", "bank", 2), Ok(()), "a refusal counts nothing");
    }

    #[test]
    fn a_send_counts_for_an_hour_and_five_minutes_at_most() {
        for sent_at in [0, 1, 299_999] {
            let (gate, rules) = (SmsGate::new(), rules(1, 100, 100));
            let again = |at| admit(&gate, &rules, "+15055551234", "shop", at);
            assert_eq!(again(sent_at), Ok(()));
            let refused = again(sent_at + HOUR).expect_err("within the hour");
            assert_eq!(
                again(sent_at + HOUR + refused.retry_after.get() - 1).map_err(|one| one.bound),
                Err(SmsBound::Number)
            );
            assert!(refused.retry_after.get() <= 300_000, "{refused:?}");
            assert_eq!(again(sent_at + HOUR + refused.retry_after.get()), Ok(()));
        }
    }

    #[test]
    fn what_is_told_as_the_wait_is_enough() {
        let (gate, rules) = (SmsGate::new(), rules(3, 100, 100));
        for at in [0, 20 * 60_000, 40 * 60_000] {
            assert_eq!(admit(&gate, &rules, "+15055551234", "shop", at), Ok(()));
        }
        let refused = admit(&gate, &rules, "+15055551234", "shop", 50 * 60_000).expect_err("full");
        assert_eq!(refused.retry_after.get(), 15 * 60_000, "until the first is over");
        let then = 50 * 60_000 + refused.retry_after.get();
        assert_eq!(admit(&gate, &rules, "+15055551234", "shop", then), Ok(()));
        assert!(admit(&gate, &rules, "+15055551234", "shop", then).is_err());
    }

    #[test]
    fn no_hour_ever_holds_more_than_its_bound() {
        let (gate, rules) = (SmsGate::new(), rules(5, 1_000, 1_000));
        let mut sent: Vec<u64> = Vec::new();
        for at in (0..4 * HOUR).step_by(61_000) {
            if admit(&gate, &rules, "+15055551234", "shop", at).is_ok() {
                sent.push(at);
            }
        }
        assert!(sent.len() > 15, "{}", sent.len());
        for first in &sent {
            let within = sent.iter().filter(|at| (*first..=*first + HOUR).contains(at)).count();
            assert!(within <= 5, "{within} from {first}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_frees_nobody_and_blocks_nobody_for_long() {
        let (gate, rules) = (SmsGate::new(), rules(1, 100, 100));
        assert_eq!(admit(&gate, &rules, "+15055551234", "shop", HOUR), Ok(()));
        assert!(admit(&gate, &rules, "+15055551234", "shop", HOUR / 2).is_err());
        assert_eq!(admit(&gate, &rules, "+15055551234", "shop", 3 * HOUR), Ok(()));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (gate, rules) = (SmsGate::new(), rules(1, 100, 100));
        for number in 0..50 {
            assert_eq!(admit(&gate, &rules, &format!("+150555500{number:02}"), "shop", 0), Ok(()));
        }
        assert_eq!(admit(&gate, &rules, "+4915112345678", "bank", 2 * HOUR), Ok(()));
        let counts = gate.counts.lock().expect("not poisoned");
        assert_eq!((counts.numbers.len(), counts.prefixes.len(), counts.clients.len()), (1, 1, 1));
    }
}
