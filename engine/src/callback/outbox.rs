//! What is tried next: a pure table of hosts, each with what is known of its owed callbacks.
//!
//! The storage holds the callbacks; here stand only hosts, the time of each one's next try, and the tries in flight.
//!
//! ```text
//!              owed, found               next                    read
//!   (unknown) ─────────────► ready ───────────────► reading ───────────────► trying
//!                              ▲                       │ unread                 │ ended
//!                              └───────────────────────┴────────────────────────┘
//! ```
//!
//! Invariants: no callback is tried twice at once; a host has no more tries in flight than it may, one that cannot be
//! reached only one, and all that cannot be reached together no more than half of all; a row that was settled while
//! its host was being read is not tried again by what was read.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_model::{Callback, CallbackHost, TransactionId, UnixMs};
use tocsin_storage::DueCallbacks;

/// Hosts known at once. Those beyond wait in the storage until one is done with.
const HOSTS_MAX: usize = 10_000;

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
    /// How many rows; those in flight may be among them.
    pub(super) limit: usize,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    hosts: BTreeMap<CallbackHost, Host>,
    /// Hosts that something is owed to and that are not being read, by the time of their next try.
    ready: BTreeSet<(UnixMs, CallbackHost)>,
    taken: usize,
    taken_by_troubled: usize,
}

#[derive(Debug, Default)]
struct Host {
    next_try_at: Option<UnixMs>,
    in_flight: Vec<TransactionId>,
    reading: Option<Reading>,
    in_trouble: bool,
}

/// A look at the storage that has not come back.
#[derive(Debug)]
struct Reading {
    reserved: usize,
    /// Something became owed meanwhile, which the look may have missed.
    nudged: bool,
    /// What ended meanwhile, and may still stand in what the look brings.
    ended: Vec<TransactionId>,
}

impl Host {
    fn taken(&self) -> usize {
        self.in_flight.len() + self.reading.as_ref().map_or(0, |reading| reading.reserved)
    }

    fn is_idle(&self) -> bool {
        self.next_try_at.is_none() && self.in_flight.is_empty() && self.reading.is_none()
    }
}

impl Outbox {
    /// A host is owed something from `at` on.
    pub(super) fn owed(&mut self, host: CallbackHost, at: UnixMs) {
        if !self.hosts.contains_key(&host) && self.hosts.len() >= HOSTS_MAX {
            return;
        }
        self.change(host, |known| {
            known.next_try_at = Some(known.next_try_at.map_or(at, |before| before.min(at)));
            if let Some(reading) = &mut known.reading {
                reading.nudged = true;
            }
        });
    }

    /// The next host to read, if one may have more tries now. Its places are kept until it was read.
    pub(super) fn next(&mut self, now: UnixMs, bounds: Bounds) -> Option<Look> {
        let left = bounds.total_max.saturating_sub(self.taken);
        if left == 0 {
            return None;
        }
        let due = self.ready.iter().take_while(|(at, _)| *at <= now);
        let (host, room) =
            due.map(|(_, host)| (*host, self.room(host, bounds))).find(|(_, room)| *room > 0)?;
        let reserved = room.min(left);
        let mut limit = reserved;
        self.change(host, |known| {
            limit += known.in_flight.len();
            known.reading = Some(Reading { reserved, nudged: false, ended: Vec::new() });
        });
        Some(Look { host, limit })
    }

    fn room(&self, host: &CallbackHost, bounds: Bounds) -> usize {
        let Some(known) = self.hosts.get(host) else { return 0 };
        if !known.in_trouble {
            return bounds.per_host_max.saturating_sub(known.taken());
        }
        let share_is_used = self.taken_by_troubled >= (bounds.total_max / 2).max(1);
        usize::from(known.taken() == 0 && !share_is_used)
    }

    /// What a look brought; answers with what is to be tried.
    pub(super) fn read(&mut self, host: CallbackHost, due: DueCallbacks, now: UnixMs) -> Vec<Callback> {
        let mut fresh = Vec::new();
        self.change(host, |known| {
            let Some(reading) = known.reading.take() else { return };
            let is_fresh = |callback: &Callback| {
                let id = &callback.transaction_id;
                !known.in_flight.contains(id) && !reading.ended.contains(id)
            };
            let (mut found, mut is_cut) = (due.callbacks, false);
            found.retain(is_fresh);
            if found.len() > reading.reserved {
                found.truncate(reading.reserved);
                is_cut = true;
            }
            known.in_flight.extend(found.iter().map(|callback| callback.transaction_id));
            known.next_try_at = if reading.nudged || is_cut {
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
            known.in_trouble = !is_reached;
            known.next_try_at = known.next_try_at.into_iter().chain(next_try_at).min();
            if let Some(reading) = &mut known.reading {
                reading.ended.push(id);
                // What the look says of the next try may be older than this.
                reading.nudged |= next_try_at.is_some();
            }
        });
    }

    /// When something becomes due that is not due yet.
    pub(super) fn wake_at(&self, now: UnixMs) -> Option<UnixMs> {
        let later = (UnixMs::new(now.get().saturating_add(1)), CallbackHost::from_bytes([0; 8]));
        self.ready.range(later..).next().map(|(at, _)| *at)
    }

    /// Changes what is known of a host, and keeps order and sums right.
    fn change(&mut self, host: CallbackHost, change: impl FnOnce(&mut Host)) {
        let known = self.hosts.entry(host).or_default();
        self.taken -= known.taken();
        if known.in_trouble {
            self.taken_by_troubled -= known.taken();
        }
        if let Some(at) = known.next_try_at {
            self.ready.remove(&(at, host));
        }
        change(known);
        self.taken += known.taken();
        if known.in_trouble {
            self.taken_by_troubled += known.taken();
        }
        if let (Some(at), None) = (known.next_try_at, &known.reading) {
            self.ready.insert((at, host));
        }
        if known.is_idle() {
            self.hosts.remove(&host);
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
