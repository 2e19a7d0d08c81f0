//! One client's hosts in the order of their next tries, those that cannot be reached apart from the others. Pure.
//!
//! The line is bounded: where it is full, a host that is due makes room for itself at the cost of the one that can wait
//! longest. Invariants: a host stands in exactly one of the two orders while something is owed to it and it is not
//! being read; what has tries in flight or is being read never makes room.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_model::{Callback, CallbackHost, TransactionId, UnixMs};

/// Hosts of one client that are known at once. Those beyond wait in the storage until there is room.
pub(super) const HOSTS_PER_CLIENT_MAX: usize = 1_000;

/// The hosts of a client.
#[derive(Debug, Default)]
pub(super) struct Line {
    hosts: BTreeMap<CallbackHost, Host>,
    ready: BTreeSet<(UnixMs, CallbackHost)>,
    troubled: BTreeSet<(UnixMs, CallbackHost)>,
    taken: usize,
    taken_by_troubled: usize,
}

/// What is known of a host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// When it is read next; `None` while nothing more is known to be owed.
    pub(super) next_try_at: Option<UnixMs>,
    /// No row of it is due before.
    pub(super) from: UnixMs,
    pub(super) in_flight: Vec<TransactionId>,
    pub(super) reading: Option<Reading>,
    /// Whether it answered at its last try; `None` before the first one that was heard of.
    pub(super) is_reached: Option<bool>,
}

/// A look at the storage that has not come back.
#[derive(Debug)]
pub(super) struct Reading {
    /// Tries that are kept for what it brings.
    pub(super) reserved: usize,
    /// The time of what became owed meanwhile, which the look may have missed.
    pub(super) word: Option<UnixMs>,
    /// What ended meanwhile, and may still stand in what the look brings.
    pub(super) ended: Vec<TransactionId>,
}

/// A host that is due and may have more tries.
#[derive(Debug)]
pub(super) struct First {
    pub(super) is_troubled: bool,
    /// Since when it is due.
    pub(super) at: UnixMs,
    pub(super) host: CallbackHost,
    /// How many.
    pub(super) room: usize,
}

impl Host {
    /// Something is owed from `at` on.
    pub(super) fn owed(&mut self, at: UnixMs) {
        if self.is_idle() {
            self.from = at;
        }
        self.again(at);
    }

    /// What was tried is owed from `at` on; if that could not be stored, its row still says so of an earlier time.
    pub(super) fn again(&mut self, at: UnixMs) {
        self.from = self.from.min(at);
        self.next_try_at = Some(self.next_try_at.map_or(at, |before| before.min(at)));
        if let Some(reading) = &mut self.reading {
            reading.word = Some(reading.word.map_or(at, |before| before.min(at)));
        }
    }

    /// Learns from the rows of a host that was not heard of yet whether it could be reached before.
    pub(super) fn learn(&mut self, due: &[Callback]) {
        let last_fault = due.first().and_then(|callback| callback.last_fault);
        if self.is_reached.is_none() && last_fault.is_some_and(|fault| fault.is_of_the_host()) {
            self.is_reached = Some(false);
        }
    }

    /// Whether it could not be reached.
    pub(super) fn in_trouble(&self) -> bool {
        self.is_reached == Some(false)
    }

    fn taken(&self) -> usize {
        self.in_flight.len() + self.reading.as_ref().map_or(0, |reading| reading.reserved)
    }

    fn is_idle(&self) -> bool {
        self.next_try_at.is_none() && self.taken() == 0 && self.reading.is_none()
    }
}

impl Line {
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    pub(super) const fn taken_by_troubled(&self) -> usize {
        self.taken_by_troubled
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether there is no room for this host, which is not known.
    pub(super) fn is_full_for(&self, host: &CallbackHost) -> bool {
        self.hosts.len() >= HOSTS_PER_CLIENT_MAX && !self.hosts.contains_key(host)
    }

    /// The first host that is due and may have more tries. Hosts that may not are passed by; each has tries in
    /// flight, so they are few.
    pub(super) fn first(&self, now: UnixMs, per_host_max: usize, troubled_may: bool) -> Option<First> {
        let first = |is_troubled: bool| {
            let (order, max) = if is_troubled { (&self.troubled, 1) } else { (&self.ready, per_host_max) };
            let due = order.iter().take_while(|(at, _)| *at <= now);
            due.map(|(at, host)| (*at, *host, max.saturating_sub(self.taken_by(host))))
                .find(|(_, _, room)| *room > 0)
                .map(|(at, host, room)| First { is_troubled, at, host, room })
        };
        first(false).or_else(|| if troubled_may { first(true) } else { None })
    }

    /// When the first host behind `now` is due.
    pub(super) fn first_behind(&self, now: UnixMs) -> Option<UnixMs> {
        let behind = (now, CallbackHost::from_bytes([u8::MAX; 16]));
        let first = |order: &BTreeSet<(UnixMs, CallbackHost)>| {
            order.range(behind..).map(|(at, _)| *at).find(|at| *at > now)
        };
        first(&self.ready).into_iter().chain(first(&self.troubled)).min()
    }

    /// Makes room for a host that is owed something from `at` on; answers whether there is some. Who is due goes before
    /// who is not, and of those that are due the ones that can be reached before the others.
    pub(super) fn make_room(&mut self, at: UnixMs, now: UnixMs) -> bool {
        let rank = |at: UnixMs, is_troubled| if at > now { (2, at) } else { (u8::from(is_troubled), at) };
        let last = |order: &BTreeSet<(UnixMs, CallbackHost)>, is_troubled| {
            let free = order.iter().rev().find(|(_, host)| self.taken_by(host) == 0)?;
            Some((rank(free.0, is_troubled), free.1))
        };
        match last(&self.ready, false).max(last(&self.troubled, true)) {
            Some((last, host)) if last > rank(at, false) => {
                self.change(host, |known| *known = Host::default());
                true
            }
            Some(_) | None => false,
        }
    }

    fn taken_by(&self, host: &CallbackHost) -> usize {
        self.hosts.get(host).map_or(0, Host::taken)
    }

    /// Changes what is known of a host, and keeps orders and sums right.
    pub(super) fn change(&mut self, host: CallbackHost, change: impl FnOnce(&mut Host)) {
        let known = self.hosts.entry(host).or_default();
        self.taken -= known.taken();
        if known.in_trouble() {
            self.taken_by_troubled -= known.taken();
        }
        if let Some(at) = known.next_try_at {
            self.ready.remove(&(at, host));
            self.troubled.remove(&(at, host));
        }
        change(known);
        self.taken += known.taken();
        if known.in_trouble() {
            self.taken_by_troubled += known.taken();
        }
        if let (Some(at), None) = (known.next_try_at, &known.reading) {
            if known.in_trouble() { &mut self.troubled } else { &mut self.ready }.insert((at, host));
        }
        if known.is_idle() {
            self.hosts.remove(&host);
        }
    }
}
