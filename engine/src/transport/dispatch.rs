//! Who sends where, and when another connection is wanted: the pool's pure core.
//!
//! Takes events and `now`; performs nothing. `H` is the handle of a connection, `W` the way to tell a waiting
//! request; both are opaque here.
//!
//! ```text
//!            room ┌───────────────► granted ──► ended (gives the permit back, the queue moves up)
//! request ────────┤                  ▲
//!            full └──► waiting ──────┘ a permit came free, a limit rose, a connection opened
//!                        └──► refused: busy, or no connection can come before its deadline
//! ```
//! Invariants: the queue and the connections are bounded; a waiting request that could use a free permit has
//! it; one connection is opened at a time; after a fault none is opened before the back-off has passed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Backoff;
use super::permits::Permits;

/// Jittered waits between attempts to connect.
const CONNECT_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// How long a new connection may take to raise its first limit before a second one is opened beside it.
const WARM_UP_MAX: Duration = Duration::from_secs(1);

/// The number of a connection within its pool; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionNumber(u64);

#[cfg(test)]
impl ConnectionNumber {
    /// A number for tests that have no pool.
    pub(crate) const fn for_tests(number: u64) -> Self {
        Self(number)
    }
}

/// The place of a waiting request; lower ones came earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connections_max: usize,
    pub(super) queue_max: usize,
}

/// A stream permit on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Permit<H> {
    pub(super) number: ConnectionNumber,
    pub(super) handle: H,
}

/// A permit for a request that waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant<H, W> {
    pub(super) waiter: W,
    pub(super) permit: Permit<H>,
}

/// What becomes of a new request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<H> {
    /// It has a permit.
    Granted(Permit<H>),
    /// It waits.
    Waiting(Ticket),
    /// The queue is full.
    Busy,
    /// No connection can come before its deadline.
    Unavailable,
    /// The pool is closed.
    Closed,
}

/// What the keeper of the pool has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Open a connection under this number, if it can be to another address.
    Open(ConnectionNumber, Option<SocketAddr>),
    /// Ask again at this moment, or after a change.
    Until(Instant),
    /// Ask again after a change.
    Idle,
    /// The pool is closed.
    End,
}

struct Slot<H> {
    number: ConnectionNumber,
    handle: H,
    permits: Permits,
    opened_at: Instant,
    has_answered: bool,
    is_doubted: bool,
}

struct Waiter<W> {
    waiter: W,
    deadline: Instant,
    avoid: Option<ConnectionNumber>,
}

/// The connections that take new streams, and the requests that wait for one.
pub(super) struct Dispatch<H, W> {
    bounds: Bounds,
    slots: Vec<Slot<H>>,
    waiting: BTreeMap<Ticket, Waiter<W>>,
    next_number: u64,
    next_ticket: u64,
    is_opening: bool,
    keeps_one_open: bool,
    is_closed: bool,
    faults: u32,
    not_before: Option<Instant>,
    went_away: Option<SocketAddr>,
}

impl<H: Clone, W> Dispatch<H, W> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            slots: Vec::new(),
            waiting: BTreeMap::new(),
            next_number: 0,
            next_ticket: 0,
            is_opening: false,
            keeps_one_open: false,
            is_closed: false,
            faults: 0,
            not_before: None,
            went_away: None,
        }
    }

    /// A request wants a stream before `deadline`, on another connection than `avoid` where there can be one.
    pub(super) fn request(
        &mut self,
        now: Instant,
        deadline: Instant,
        avoid: Option<ConnectionNumber>,
        waiter: impl FnOnce() -> W,
    ) -> Admission<H> {
        if self.is_closed {
            return Admission::Closed;
        }
        let avoid = avoid.filter(|_| self.bounds.connections_max > 1);
        // Nobody is overtaken: whoever waits cannot use what is free.
        if let Some(permit) = self.take_permit(avoid) {
            return Admission::Granted(permit);
        }
        if self.is_hopeless(now, deadline) {
            return Admission::Unavailable;
        }
        if self.waiting.len() >= self.bounds.queue_max {
            return Admission::Busy;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, Waiter { waiter: waiter(), deadline, avoid });
        Admission::Waiting(ticket)
    }

    /// A waiting request gave up. Whether a connection was there to wait for.
    pub(super) fn leave(&mut self, ticket: Ticket) -> bool {
        self.waiting.remove(&ticket);
        !self.slots.is_empty()
    }

    /// A stream ended and gives its permit back.
    pub(super) fn ended(&mut self, number: ConnectionNumber) -> Vec<Grant<H, W>> {
        if let Some(slot) = self.slot(number) {
            slot.permits.give_back();
        }
        self.grant()
    }

    /// The peer answered on this connection: it works, and the back-off starts over.
    pub(super) fn answered(&mut self, number: ConnectionNumber) {
        if let Some(slot) = self.slot(number) {
            slot.has_answered = true;
            self.faults = 0;
        }
    }

    /// The connection asked for by [`Step::Open`] is up.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        number: ConnectionNumber,
        handle: H,
        limit: usize,
    ) -> Vec<Grant<H, W>> {
        self.is_opening = false;
        self.not_before = None;
        if self.is_closed {
            return Vec::new();
        }
        let permits = Permits::new(limit);
        let (has_answered, is_doubted) = (false, false);
        self.slots.push(Slot { number, handle, permits, opened_at: now, has_answered, is_doubted });
        self.grant()
    }

    /// The connection asked for by [`Step::Open`] could not be made. Nobody insists on another connection any
    /// more. Answers also with those who cannot wait for the next attempt.
    pub(super) fn connect_failed(&mut self, now: Instant, random: f64) -> (Vec<Grant<H, W>>, Vec<W>) {
        self.is_opening = false;
        self.back_off(now, random);
        for waiter in self.waiting.values_mut() {
            waiter.avoid = None;
        }
        (self.grant(), self.take_hopeless(now))
    }

    /// The peer's limit changed.
    pub(super) fn limit_changed(&mut self, number: ConnectionNumber, limit: usize) -> Vec<Grant<H, W>> {
        if let Some(slot) = self.slot(number) {
            slot.permits.set_limit(limit);
        }
        self.grant()
    }

    /// The peer at `address` said GOAWAY: the next connection goes elsewhere if it can.
    pub(super) fn went_away(&mut self, address: SocketAddr) {
        self.went_away = Some(address);
    }

    /// The connection takes no new stream any more. One that never answered counts as a fault, so that a peer
    /// that closes at once is not hammered. Answers with those who cannot wait for the next attempt.
    pub(super) fn removed(&mut self, now: Instant, number: ConnectionNumber, random: f64) -> Vec<W> {
        let Some(index) = self.slots.iter().position(|slot| slot.number == number) else {
            return Vec::new();
        };
        let slot = self.slots.remove(index);
        if !slot.has_answered {
            self.back_off(now, random);
        }
        self.take_hopeless(now)
    }

    /// A request had no answer in time: the connection gets no new stream until it has proved itself.
    pub(super) fn doubt(&mut self, number: ConnectionNumber) {
        if let Some(slot) = self.slot(number) {
            slot.is_doubted = true;
        }
    }

    /// The connection answered a PING.
    pub(super) fn trust(&mut self, number: ConnectionNumber) -> Vec<Grant<H, W>> {
        if let Some(slot) = self.slot(number) {
            slot.is_doubted = false;
        }
        self.grant()
    }

    /// The handle of a connection that takes new streams.
    pub(super) fn handle(&self, number: ConnectionNumber) -> Option<&H> {
        self.slots.iter().find(|slot| slot.number == number).map(|slot| &slot.handle)
    }

    /// From now on a connection is kept open without traffic too.
    pub(super) fn keep_one_open(&mut self) {
        self.keeps_one_open = true;
    }

    /// Takes no new request and lets go of the connections; answers with everyone who waited.
    pub(super) fn close(&mut self) -> Vec<W> {
        self.is_closed = true;
        self.slots.clear();
        std::mem::take(&mut self.waiting).into_values().map(|waiter| waiter.waiter).collect()
    }

    /// What to do now.
    pub(super) fn next_step(&mut self, now: Instant) -> Step {
        if self.is_closed {
            return Step::End;
        }
        if self.is_opening || self.slots.len() >= self.bounds.connections_max {
            return Step::Idle;
        }
        let wanted_at = match self.waiting.first_key_value() {
            Some((_, first)) => self.warm_until(first.avoid),
            None if self.keeps_one_open && self.slots.is_empty() => None,
            None => return Step::Idle,
        };
        match wanted_at.into_iter().chain(self.not_before).max() {
            Some(moment) if moment > now => Step::Until(moment),
            _ => self.open(),
        }
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Streams in flight and streams allowed, on the connections that take new ones.
    pub(super) fn streams(&self) -> (usize, usize) {
        let permits = self.slots.iter().map(|slot| &slot.permits);
        permits.fold((0, 0), |(used, limit), one| (used + one.in_flight(), limit + one.limit()))
    }

    fn open(&mut self) -> Step {
        self.is_opening = true;
        let number = ConnectionNumber(self.next_number);
        self.next_number += 1;
        Step::Open(number, self.went_away.take())
    }

    /// Until when a young connection may still raise its limit enough for those who wait.
    fn warm_until(&self, avoid: Option<ConnectionNumber>) -> Option<Instant> {
        let young = |slot: &&Slot<H>| !slot.has_answered && !slot.is_doubted && Some(slot.number) != avoid;
        self.slots.iter().filter(young).map(|slot| slot.opened_at + WARM_UP_MAX).max()
    }

    fn back_off(&mut self, now: Instant, random: f64) {
        self.faults = self.faults.saturating_add(1);
        self.not_before = Some(now + CONNECT_BACKOFF.delay(self.faults, random));
    }

    fn is_hopeless(&self, now: Instant, deadline: Instant) -> bool {
        let next_attempt = self.not_before.filter(|moment| *moment > now);
        let nothing_comes = self.slots.is_empty() && !self.is_opening;
        nothing_comes && next_attempt.is_some_and(|moment| deadline <= moment)
    }

    fn take_hopeless(&mut self, now: Instant) -> Vec<W> {
        let hopeless: Vec<Ticket> = self
            .waiting
            .iter()
            .filter(|(_, waiter)| self.is_hopeless(now, waiter.deadline))
            .map(|(ticket, _)| *ticket)
            .collect();
        hopeless.iter().filter_map(|ticket| self.waiting.remove(ticket)).map(|waiter| waiter.waiter).collect()
    }

    /// Gives free permits to those who wait, in their order.
    fn grant(&mut self) -> Vec<Grant<H, W>> {
        let mut grants = Vec::new();
        let mut after = None;
        while let Some((ticket, avoid)) = self.first_waiting(after) {
            match self.take_permit(avoid) {
                Some(permit) => {
                    let Some(waiter) = self.waiting.remove(&ticket) else { break };
                    grants.push(Grant { waiter: waiter.waiter, permit });
                }
                None if avoid.is_none() => break,
                None => after = Some(ticket),
            }
        }
        grants
    }

    fn first_waiting(&self, after: Option<Ticket>) -> Option<(Ticket, Option<ConnectionNumber>)> {
        let from = after.map_or(Ticket(0), |ticket| Ticket(ticket.0 + 1));
        self.waiting.range(from..).next().map(|(ticket, waiter)| (*ticket, waiter.avoid))
    }

    /// The oldest connection with room: many streams on few connections cost least, the others are for when it
    /// is full or in doubt.
    fn take_permit(&mut self, avoid: Option<ConnectionNumber>) -> Option<Permit<H>> {
        let usable = |slot: &&mut Slot<H>| !slot.is_doubted && Some(slot.number) != avoid;
        let slot =
            self.slots.iter_mut().filter(usable).find_map(|slot| slot.permits.take().then_some(slot))?;
        Some(Permit { number: slot.number, handle: slot.handle.clone() })
    }

    fn slot(&mut self, number: ConnectionNumber) -> Option<&mut Slot<H>> {
        self.slots.iter_mut().find(|slot| slot.number == number)
    }
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
