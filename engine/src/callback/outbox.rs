//! What is tried next: a pure table of hosts, each with what is known of its owed callbacks.
//!
//! The storage holds the callbacks; here stand only hosts, the time of each one's next try, and the tries in flight.
//! A host is one of a client: clients share the tries and nothing else.
//!
//! ```text
//!              owed, found               next                    read
//!   (unknown) ─────────────► ready ───────────────► reading ───────────────► trying
//!                              ▲                       │ unread                 │ ended
//!                              └───────────────────────┴────────────────────────┘
//! ```
//!
//! Invariants: no callback is tried twice at once; a host has no more tries in flight than it may, one that cannot be
//! reached only one, and all that cannot be reached together no more than half of all; a free try goes to the client
//! with the fewest; a client's hosts take no room from another's, and its hosts that cannot be reached none from those
//! that can; a row that was settled while its host was being read is not tried again by what was read.

use std::collections::BTreeMap;
use std::mem;

use tocsin_model::{Callback, CallbackClient, CallbackHost, CallbackPhase, TransactionId, UnixMs};
use tocsin_storage::DueCallbacks;

use super::line::{Host, Line, Reading};

/// How many tries may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// All hosts together.
    pub(super) total_max: usize,
    /// One host.
    pub(super) per_host_max: usize,
}

/// An order to read what a host is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Which host.
    pub(super) host: CallbackHost,
    /// Nothing is due before.
    pub(super) from: UnixMs,
    /// How many rows; those in flight may be among them.
    pub(super) limit: usize,
}

/// The table. It has as many lines as clients are owed something, each of bounded length.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lines: BTreeMap<CallbackClient, Line>,
    taken: usize,
    taken_by_troubled: usize,
    /// Hosts are owed something that do not stand in the table.
    misses_hosts: bool,
}

impl Outbox {
    /// A host is owed something from `at` on. Where a client's line is full, the host that can wait longest makes
    /// room; who finds none waits in the storage.
    pub(super) fn owed(&mut self, host: CallbackHost, at: UnixMs, now: UnixMs) {
        let line = self.lines.entry(host.client()).or_default();
        if line.is_full_for(&host) {
            self.misses_hosts = true;
            if !line.make_room(at, now) {
                return;
            }
        }
        self.change(host, |known| known.owed(at));
    }

    /// Whether a host was left to the storage since this was asked last: a walk finds it.
    pub(super) fn take_misses(&mut self) -> bool {
        mem::take(&mut self.misses_hosts)
    }

    /// The next host to read, if one may have more tries now. Its places are kept until it was read.
    pub(super) fn next(&mut self, now: UnixMs, bounds: Bounds) -> Option<Look> {
        let left = bounds.total_max.saturating_sub(self.taken);
        if left == 0 {
            return None;
        }
        let troubled_may = self.taken_by_troubled < share_of_troubled(bounds);
        let firsts = self.lines.values().filter_map(|line| {
            let first = line.first(now, bounds.per_host_max, troubled_may)?;
            Some((line.taken(), first.is_troubled, first.at, first.host, first.room))
        });
        let (.., host, room) = firsts.min()?;
        let reserved = room.min(left);
        let mut look = Look { host, from: now, limit: reserved };
        self.change(host, |known| {
            look.from = known.from;
            look.limit += known.in_flight.len();
            known.reading = Some(Reading { reserved, word: None, ended: Vec::new() });
        });
        Some(look)
    }

    /// What a look brought; answers with what is to be tried.
    pub(super) fn read(
        &mut self,
        host: CallbackHost,
        due: DueCallbacks,
        now: UnixMs,
        bounds: Bounds,
    ) -> Vec<Callback> {
        let mut fresh = Vec::new();
        let troubled_may = self.taken_by_troubled < share_of_troubled(bounds);
        self.change(host, |known| {
            let Some(reading) = known.reading.take() else { return };
            let seen_at = due.callbacks.iter().filter_map(next_try_at).chain(due.next_try_at);
            known.from = seen_at.chain(reading.word).min().unwrap_or(known.from);
            let was_troubled = known.in_trouble();
            known.learn(&due.callbacks);
            let mut found = due.callbacks;
            found.retain(|callback| {
                let id = &callback.transaction_id;
                !known.in_flight.contains(id) && !reading.ended.contains(id)
            });
            let room = if known.in_trouble() {
                usize::from(known.in_flight.is_empty() && (was_troubled || troubled_may))
            } else {
                reading.reserved
            };
            let is_cut = found.len() > room;
            found.truncate(room);
            known.in_flight.extend(found.iter().map(|callback| callback.transaction_id));
            known.next_try_at = if reading.word.is_some() || is_cut {
                Some(now)
            } else {
                // A host with a long list stands behind the others again.
                due.next_try_at.map(|at| at.max(now))
            };
            fresh = found;
        });
        fresh
    }

    /// A look failed.
    pub(super) fn unread(&mut self, host: CallbackHost, again_at: UnixMs) {
        self.change(host, |known| {
            known.reading = None;
            known.next_try_at = Some(again_at);
        });
    }

    /// A try ended and is settled. `is_reached` says whether the host answered at all; `next_try_at` when the same
    /// callback is tried again.
    pub(super) fn ended(
        &mut self,
        host: CallbackHost,
        id: TransactionId,
        is_reached: bool,
        next_try_at: Option<UnixMs>,
    ) {
        self.change(host, |known| {
            known.in_flight.retain(|known| *known != id);
            known.is_reached = Some(is_reached);
            if let Some(reading) = &mut known.reading {
                reading.ended.push(id);
            }
            if let Some(at) = next_try_at {
                known.again(at);
            }
        });
    }

    /// When something becomes due that is not due yet.
    pub(super) fn wake_at(&self, now: UnixMs) -> Option<UnixMs> {
        self.lines.values().filter_map(|line| line.first_behind(now)).min()
    }

    /// Changes what is known of a host, and keeps order and sums right.
    fn change(&mut self, host: CallbackHost, change: impl FnOnce(&mut Host)) {
        let line = self.lines.entry(host.client()).or_default();
        let before = (line.taken(), line.taken_by_troubled());
        line.change(host, change);
        let after = (line.taken(), line.taken_by_troubled());
        self.taken = self.taken - before.0 + after.0;
        self.taken_by_troubled = self.taken_by_troubled - before.1 + after.1;
        if line.is_empty() {
            self.lines.remove(&host.client());
        }
    }
}

fn share_of_troubled(bounds: Bounds) -> usize {
    (bounds.total_max / 2).max(1)
}

fn next_try_at(callback: &Callback) -> Option<UnixMs> {
    match callback.phase {
        CallbackPhase::Owed { next_try_at } => Some(next_try_at),
        CallbackPhase::Dead { .. } => None,
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
