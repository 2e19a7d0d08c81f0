//! Which flow a push is for. A portal learns the id of its transaction with the reply to its call, and the push may be
//! sooner; where that call waits for the outcome, it always is.
//!
//! A push with an unknown id is for the phone's only flow without an id, or waits until it is clear for which one.
//! Among flows whose call waits no order matters, so the oldest push goes to the oldest flow.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

/// Pushes of one phone that may wait for their flow.
const PARKED_MAX: usize = 64;

/// Flows by transaction, and those that have none yet.
#[derive(Debug)]
pub(super) struct Bindings<P> {
    by_id: HashMap<Uuid, u64>,
    phones: HashMap<u32, Phone<P>>,
}

#[derive(Debug)]
struct Phone<P> {
    unnamed: VecDeque<Unnamed>,
    parked: VecDeque<(Uuid, P)>,
}

#[derive(Debug)]
struct Unnamed {
    flow: u64,
    /// Its call is held until the outcome.
    is_held: bool,
}

impl<P> Default for Bindings<P> {
    fn default() -> Self {
        Self { by_id: HashMap::new(), phones: HashMap::new() }
    }
}

impl<P> Default for Phone<P> {
    fn default() -> Self {
        Self { unnamed: VecDeque::new(), parked: VecDeque::new() }
    }
}

impl<P> Bindings<P> {
    /// A flow of this phone begins.
    pub(super) fn begin(&mut self, phone: u32, flow: u64, is_held: bool) {
        self.phones.entry(phone).or_default().unnamed.push_back(Unnamed { flow, is_held });
    }

    /// The flow learns the id of its transaction. Returns pushes that are now known to be for a flow.
    pub(super) fn named(&mut self, phone: u32, flow: u64, id: Uuid) -> Vec<(u64, P)> {
        self.by_id.insert(id, flow);
        let mut found = Vec::new();
        if let Some(waiting) = self.phones.get_mut(&phone) {
            waiting.unnamed.retain(|unnamed| unnamed.flow != flow);
            if let Some(index) = waiting.parked.iter().position(|(parked, _)| *parked == id) {
                found.extend(waiting.parked.remove(index).map(|(_, push)| (flow, push)));
            }
        }
        self.settle(phone, &mut found);
        found
    }

    /// A push came. Returns those that are now known to be for a flow.
    pub(super) fn pushed(&mut self, phone: u32, id: Uuid, push: P) -> Vec<(u64, P)> {
        if let Some(flow) = self.by_id.get(&id) {
            return vec![(*flow, push)];
        }
        let mut found = Vec::new();
        if let Some(waiting) = self.phones.get_mut(&phone)
            && waiting.parked.len() < PARKED_MAX
        {
            waiting.parked.push_back((id, push));
            self.settle(phone, &mut found);
        }
        found
    }

    /// The flow of this transaction.
    pub(super) fn flow_of(&self, id: Uuid) -> Option<u64> {
        self.by_id.get(&id).copied()
    }

    /// The flow ends, whether or not it ever had a transaction. Returns pushes that are now known to be for another.
    pub(super) fn end(&mut self, phone: u32, flow: u64, id: Option<Uuid>) -> Vec<(u64, P)> {
        if let Some(id) = id {
            self.by_id.remove(&id);
        }
        if let Some(waiting) = self.phones.get_mut(&phone) {
            waiting.unnamed.retain(|unnamed| unnamed.flow != flow);
        }
        let mut found = Vec::new();
        self.settle(phone, &mut found);
        found
    }

    fn settle(&mut self, phone: u32, found: &mut Vec<(u64, P)>) {
        let Some(waiting) = self.phones.get_mut(&phone) else { return };
        while waiting.unnamed.len() == 1 || waiting.unnamed.iter().all(|unnamed| unnamed.is_held) {
            if waiting.unnamed.is_empty() || waiting.parked.is_empty() {
                break;
            }
            if let (Some(unnamed), Some((id, push))) =
                (waiting.unnamed.pop_front(), waiting.parked.pop_front())
            {
                self.by_id.insert(id, unnamed.flow);
                found.push((unnamed.flow, push));
            }
        }
        if waiting.unnamed.is_empty() {
            self.phones.remove(&phone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_push_finds_its_flow_whichever_of_id_and_push_comes_first() {
        let mut bindings = Bindings::default();
        bindings.begin(1, 10, false);
        assert_eq!(bindings.named(1, 10, A), []);
        assert_eq!(bindings.pushed(1, A, "push"), [(10, "push")]);
        bindings.begin(1, 11, false);
        assert_eq!(bindings.pushed(1, B, "early"), [(11, "early")]);
        assert_eq!(bindings.named(1, 11, B), []);
        assert_eq!(bindings.flow_of(B), Some(11));
    }

    #[test]
    fn a_push_that_could_be_for_two_flows_waits_until_it_is_clear() {
        let mut bindings = Bindings::default();
        bindings.begin(1, 10, false);
        bindings.begin(1, 11, true);
        assert_eq!(bindings.pushed(1, A, "a"), []);
        assert_eq!(bindings.pushed(1, B, "b"), []);
        // The first learns that it is B's, so that A can only be the other's.
        assert_eq!(bindings.named(1, 10, B), [(10, "b"), (11, "a")]);
    }

    #[test]
    fn pushes_of_held_calls_go_to_them_in_order_and_nothing_is_left_behind() {
        let mut bindings = Bindings::default();
        bindings.begin(1, 10, true);
        bindings.begin(1, 11, true);
        assert_eq!(bindings.pushed(1, A, "a"), [(10, "a")]);
        assert_eq!(bindings.pushed(1, B, "b"), [(11, "b")]);
        bindings.end(1, 10, Some(A));
        bindings.end(1, 11, Some(B));
        assert!(bindings.by_id.is_empty() && bindings.phones.is_empty());
        assert_eq!(bindings.pushed(1, A, "stray"), []);
    }
}
