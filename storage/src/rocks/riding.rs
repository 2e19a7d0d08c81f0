//! Marks that nobody waits for: they ride with the next group that is written anyway, at most a moment later.
//!
//! A push brings about two of them, each of which would otherwise be a write of its own. Of several about one transaction
//! only the newest is left, and of a transaction that ends meanwhile none is written, since the group decides them last.
//! What is lost with the process is what a mark without a sync could lose before: a push that is repeated once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use tocsin_model::{Transaction, TransactionId};

/// How long marks wait for a group to ride with.
const RIDE_WITHIN: Duration = Duration::from_millis(10);

/// Marks that wait at once.
const RIDING_MAX: usize = 4_096;

/// Marks that wait for a group.
#[derive(Default)]
pub(super) struct Riding {
    newest: HashMap<TransactionId, Box<Transaction>>,
    taken: usize,
    due_at: Option<Instant>,
}

impl Riding {
    /// One more.
    pub(super) fn board(&mut self, marked: Box<Transaction>) {
        self.taken += 1;
        self.due_at.get_or_insert_with(|| Instant::now() + RIDE_WITHIN);
        match self.newest.entry(marked.id) {
            Entry::Occupied(mut present) if present.get().revision < marked.revision => {
                present.insert(marked);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => drop(place.insert(marked)),
        }
    }

    /// How long they may still wait for a group; `None` when there are none.
    pub(super) fn wait(&self) -> Option<Duration> {
        let left = self.due_at?.saturating_duration_since(Instant::now());
        Some(if self.has_room() { left } else { Duration::ZERO })
    }

    /// Whether more may come.
    pub(super) fn has_room(&self) -> bool {
        self.newest.len() < RIDING_MAX
    }

    /// All of them, and how many they were before older ones gave way.
    pub(super) fn alight(&mut self) -> (usize, impl Iterator<Item = Box<Transaction>> + use<>) {
        let Self { newest, taken, due_at: _ } = std::mem::take(self);
        (taken, newest.into_values())
    }
}
