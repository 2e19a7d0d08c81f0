//! What the server has ever said, and whether it keeps to it. Pure: replies in, contradictions out.
//!
//! Replies may come in another order than they were made, so that each is entered with the moment at which its call
//! was sent: only a call sent after a reply had come must agree with it. A final state, once told, is the only one.

use std::collections::HashMap;

use tocsin_model::{State, TransactionId};

/// Contradictions that are kept; more say nothing new.
const CONTRADICTIONS_MAX: usize = 50;

/// A moment between replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// An answer that a phone signed, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct SentAnswer {
    pub(super) member: usize,
    pub(super) jws: String,
    /// The state of the 200 that it got.
    pub(super) told: Option<State>,
}

/// What is known of one transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The round of kills in which it was started.
    pub(super) round: u32,
    pub(super) end: Option<(State, Moment)>,
    pub(super) answers: Vec<SentAnswer>,
}

/// Everything that the server has said.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    now: u64,
    entries: HashMap<TransactionId, Entry>,
    keys: HashMap<String, (KeyedStart, TransactionId)>,
    /// Starts with a key that got no reply.
    cut_starts: Vec<KeyedStart>,
    contradictions: Vec<String>,
}

/// A start with an idempotency key; whoever sends it again must get the one transaction of it.
#[derive(Clone, Debug)]
pub(super) struct KeyedStart {
    pub(super) member: usize,
    pub(super) key: String,
    pub(super) ttl_s: u64,
}

impl Ledger {
    /// The moment at which a call is sent.
    pub(super) fn moment(&mut self) -> Moment {
        self.now += 1;
        Moment(self.now)
    }

    /// A start was acknowledged.
    pub(super) fn started(&mut self, id: TransactionId, round: u32, keyed: Option<KeyedStart>) {
        self.entries.entry(id).or_insert_with(|| Entry { round, ..Entry::default() });
        let Some(keyed) = keyed else { return };
        let key = keyed.key.clone();
        let first = self.keys.entry(key.clone()).or_insert((keyed, id)).1;
        if first != id {
            self.contradict(format!("the key {key} made {first} and then {id}"));
        }
    }

    /// A start with a key got no reply.
    pub(super) fn start_cut(&mut self, keyed: KeyedStart) {
        self.cut_starts.push(keyed);
    }

    /// The starts that got no reply, to be sent again.
    pub(super) fn take_cut_starts(&mut self) -> Vec<KeyedStart> {
        std::mem::take(&mut self.cut_starts)
    }

    /// The transaction was shown in `state` to a call that was sent at `sent`.
    pub(super) fn saw(&mut self, id: TransactionId, sent: Moment, state: State) {
        let now = self.moment();
        let entry = self.entries.entry(id).or_default();
        match entry.end {
            None => entry.end = state.is_final().then_some((state, now)),
            Some((end, _)) if state == end => {}
            // The reply was made before the end was told.
            Some((_, told)) if state == State::Pending && sent < told => {}
            Some((end, _)) => self.contradict(format!("{id} was {end} and is now {state}")),
        }
    }

    /// The transaction was not found.
    pub(super) fn missed(&mut self, id: TransactionId, why: &str) {
        self.contradict(format!("{id} is gone: {why}"));
    }

    /// A phone sends this answer.
    pub(super) fn answering(&mut self, id: TransactionId, member: usize, jws: &str) {
        let entry = self.entries.entry(id).or_default();
        entry.answers.push(SentAnswer { member, jws: jws.to_owned(), told: None });
    }

    /// An answer sent at `sent` was taken: 200 with this state.
    pub(super) fn answer_taken(&mut self, id: TransactionId, sent: Moment, jws: &str, state: State) {
        let entry = self.entries.entry(id).or_default();
        let answer = entry.answers.iter_mut().find(|answer| answer.jws == jws);
        let before = answer.and_then(|answer| answer.told.replace(state));
        if before.is_some_and(|before| before != state) {
            self.contradict(format!("{id}: the same answer was told {before:?} and then {state}"));
        }
        if !state.is_final() {
            self.contradict(format!("{id}: an answer was taken and the state is {state}"));
        }
        self.saw(id, sent, state);
    }

    /// An answer sent at `sent` was refused, because the state was final.
    pub(super) fn answer_late(&mut self, id: TransactionId, sent: Moment, jws: &str, state: Option<State>) {
        let entry = self.entries.entry(id).or_default();
        let told = entry.answers.iter().find(|answer| answer.jws == jws).and_then(|answer| answer.told);
        if let Some(told) = told {
            self.contradict(format!("{id}: an answer was told {told}, and repeated it was refused"));
        }
        match state {
            Some(state) if state.is_final() => self.saw(id, sent, state),
            other => self.contradict(format!("{id} is final in the state {other:?}")),
        }
    }

    /// Says what contradicts what.
    pub(super) fn contradict(&mut self, what: String) {
        if self.contradictions.len() < CONTRADICTIONS_MAX {
            self.contradictions.push(what);
        }
    }

    /// Everything that was found wrong.
    pub(super) fn contradictions(&self) -> &[String] {
        &self.contradictions
    }

    /// The transactions that fit.
    pub(super) fn ids(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<TransactionId> {
        self.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(id, _)| *id).collect()
    }

    pub(super) fn entry(&self, id: TransactionId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The acknowledged starts with a key and what each made.
    pub(super) fn keyed_starts_of(&self, round: u32) -> Vec<(KeyedStart, TransactionId)> {
        let of_round = |id: &TransactionId| self.entries.get(id).is_some_and(|entry| entry.round == round);
        self.keys.values().filter(|(_, id)| of_round(id)).cloned().collect()
    }

    /// How many transactions ended in this state.
    pub(super) fn ended(&self, state: State) -> usize {
        self.entries.values().filter(|entry| entry.end.is_some_and(|(end, _)| end == state)).count()
    }

    /// How many transactions are known.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> TransactionId {
        TransactionId::from_bytes([number; 16])
    }

    fn keyed() -> KeyedStart {
        KeyedStart { member: 0, key: "key".to_owned(), ttl_s: 60 }
    }

    fn contradictions(play: impl FnOnce(&mut Ledger)) -> usize {
        let mut ledger = Ledger::default();
        ledger.started(id(1), 0, Some(keyed()));
        play(&mut ledger);
        ledger.contradictions().len()
    }

    #[test]
    fn the_same_end_told_often_is_no_contradiction() {
        let found = contradictions(|ledger| {
            let sent = ledger.moment();
            ledger.saw(id(1), sent, State::Pending);
            ledger.answering(id(1), 0, "jws");
            ledger.answer_taken(id(1), sent, "jws", State::Accepted);
            ledger.answer_taken(id(1), sent, "jws", State::Accepted);
            ledger.saw(id(1), sent, State::Accepted);
        });
        assert_eq!(found, 0);
    }

    #[test]
    fn a_second_end_is_a_contradiction() {
        let found = contradictions(|ledger| {
            let sent = ledger.moment();
            ledger.saw(id(1), sent, State::Accepted);
            ledger.saw(id(1), sent, State::Timeout);
        });
        assert_eq!(found, 1);
    }

    #[test]
    fn pending_after_the_end_is_a_contradiction_only_for_a_later_call() {
        let found = |late: bool| {
            contradictions(|ledger| {
                let early = ledger.moment();
                ledger.saw(id(1), early, State::Declined);
                let sent = if late { ledger.moment() } else { early };
                ledger.saw(id(1), sent, State::Pending);
            })
        };
        assert_eq!((found(false), found(true)), (0, 1));
    }

    #[test]
    fn a_taken_answer_that_is_refused_later_is_a_contradiction() {
        let found = contradictions(|ledger| {
            let sent = ledger.moment();
            ledger.answering(id(1), 0, "jws");
            ledger.answer_taken(id(1), sent, "jws", State::Accepted);
            ledger.answer_late(id(1), sent, "jws", Some(State::Accepted));
        });
        assert_eq!(found, 1);
    }

    #[test]
    fn a_key_that_makes_a_second_transaction_is_a_contradiction() {
        assert_eq!(contradictions(|ledger| ledger.started(id(2), 0, Some(keyed()))), 1);
        assert_eq!(contradictions(|ledger| ledger.started(id(1), 1, Some(keyed()))), 0);
    }

    #[test]
    fn a_lost_transaction_is_a_contradiction() {
        assert_eq!(contradictions(|ledger| ledger.missed(id(1), "404")), 1);
    }
}
