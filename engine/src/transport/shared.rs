//! What a pool, its requests and its tasks have in common: one table behind a lock, and who is told of changes.
//!
//! Each method is one event for [`Dispatch`], followed by what it answers with. The lock is held for that one
//! call and never over an await or a message.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::connection::{Phase, Vitals};
use super::dispatch::{Bounds, Dispatch, Grant, Step};
use super::lease::Lease;
use super::{ConnectionNumber, PoolLimits, TransportStats, Unsent, random_unit};
use crate::clock::Clock;

/// Tells a waiting request.
pub(super) type Waiter = oneshot::Sender<Result<Lease, Unsent>>;

/// What the pool, its requests and its tasks have in common.
pub(super) struct Shared {
    pub(super) name: Box<str>,
    pub(super) limits: PoolLimits,
    pub(super) stats: TransportStats,
    pub(super) changed: Notify,
    pub(super) phase: watch::Sender<Phase>,
    dispatch: Mutex<Dispatch<Handle, Waiter>>,
    clock: Clock,
}

/// One connection, as its requests use it.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) vitals: Arc<Vitals>,
}

impl Shared {
    pub(super) fn new(name: &str, limits: PoolLimits, clock: Clock) -> Self {
        let bounds = Bounds { connections_max: limits.connections_max.max(1), queue_max: limits.queue_max };
        Self {
            name: name.into(),
            limits,
            stats: TransportStats::default(),
            changed: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
            dispatch: Mutex::new(Dispatch::new(bounds)),
            clock,
        }
    }

    /// The monotonic present.
    pub(super) fn now(&self) -> Instant {
        self.clock.instant()
    }

    pub(super) fn next_step(&self) -> Step {
        self.with(|dispatch| dispatch.next_step(self.now()))
    }

    pub(super) fn opened(self: &Arc<Self>, number: ConnectionNumber, handle: Handle, limit: usize) {
        let now = self.now();
        let granted = self.with(|dispatch| dispatch.opened(now, number, handle, limit));
        self.hand_over(granted);
        self.changed.notify_one();
    }

    pub(super) fn connect_failed(self: &Arc<Self>) {
        let (now, random) = (self.now(), random_unit());
        let (granted, refused) = self.with(|dispatch| dispatch.connect_failed(now, random));
        self.hand_over(granted);
        refuse(refused, Unsent::Unavailable);
        self.changed.notify_one();
    }

    pub(super) fn removed(&self, number: ConnectionNumber) {
        let (now, random) = (self.now(), random_unit());
        let refused = self.with(|dispatch| dispatch.removed(now, number, random));
        refuse(refused, Unsent::Unavailable);
        self.changed.notify_one();
    }

    pub(super) fn went_away(&self, address: SocketAddr) {
        self.lock().went_away(address);
    }

    pub(super) fn limit_changed(self: &Arc<Self>, number: ConnectionNumber, limit: usize) {
        let granted = self.with(|dispatch| dispatch.limit_changed(number, limit));
        self.hand_over(granted);
    }

    pub(super) fn trust(self: &Arc<Self>, number: ConnectionNumber) {
        let granted = self.with(|dispatch| dispatch.trust(number));
        self.hand_over(granted);
    }

    pub(super) fn doubt(&self, number: ConnectionNumber, vitals: &Vitals) {
        self.with(|dispatch| dispatch.doubt(number));
        vitals.suspect();
        self.changed.notify_one();
    }

    pub(super) fn first_answer(&self, number: ConnectionNumber) {
        self.with(|dispatch| dispatch.answered(number));
        self.changed.notify_one();
    }

    pub(super) fn ended(self: &Arc<Self>, number: ConnectionNumber) {
        let granted = self.with(|dispatch| dispatch.ended(number));
        self.hand_over(granted);
    }

    pub(super) fn close(&self, phase: Phase) {
        let refused = self.with(Dispatch::close);
        refuse(refused, Unsent::Closed);
        self.phase.send_replace(phase);
        self.changed.notify_one();
    }

    /// Hands permits to those who waited. One whose request has just been given up goes to the next.
    fn hand_over(self: &Arc<Self>, granted: Vec<Grant<Handle, Waiter>>) {
        let mut granted = VecDeque::from(granted);
        while let Some(Grant { waiter, permit }) = granted.pop_front() {
            let lease = Lease::new(self, permit);
            if let Err(Ok(lease)) = waiter.send(Ok(lease))
                && let Some(permit) = lease.take()
            {
                granted.extend(self.with(|dispatch| dispatch.ended(permit.number)));
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Dispatch<Handle, Waiter>> {
        // Nothing panics under the lock; should it, the table is still a table.
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Dispatch<Handle, Waiter>) -> R) -> R {
        let mut dispatch = self.lock();
        let result = change(&mut dispatch);
        self.stats.queue_length.set(dispatch.waiting());
        self.stats.stream_limit.set(dispatch.streams().1);
        result
    }
}

fn refuse(waiters: Vec<Waiter>, reason: Unsent) {
    for waiter in waiters {
        // A request that has just been given up needs no answer.
        let _given_up = waiter.send(Err(reason));
    }
}
