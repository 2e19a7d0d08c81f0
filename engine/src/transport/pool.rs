//! The pool: one way to send, whatever the connections do.
//!
//! A request takes a stream permit or waits for one in the bounded queue, goes out on that connection, and
//! gives the permit back. State is in one owner, [`Dispatch`], behind a lock that is never held over an await.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tocsin_model::UnixMs;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::connection::{Phase, Vitals};
use super::connector::Connect;
use super::dispatch::{Admission, Bounds, Dispatch, Grant, Permit, Step, Ticket};
use super::exchange::{Broken, exchange};
use super::keeper::keep;
use super::{
    Answer, ConnectionNumber, Interruption, Outgoing, SendError, TransportStats, Unsent, random_unit,
};
use crate::clock::Clock;

/// How often one request is sent again after the peer certainly did not process it.
const UNPROCESSED_REPEATS_MAX: usize = 4;

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Connections that take new streams at once.
    pub connections_max: usize,
    /// Requests waiting for a stream.
    pub queue_max: usize,
    /// Longest wait for a connection, its first SETTINGS included.
    pub connect_timeout: Duration,
    /// Silence after which a PING asks whether the connection lives.
    pub ping_interval: Duration,
    /// Longest wait for the answer to it.
    pub ping_timeout: Duration,
}

/// Connections to one endpoint under one credential.
pub struct Pool {
    shared: Arc<Shared>,
    started: Once,
    start: Mutex<Option<Start>>,
}

type Start = Box<dyn FnOnce(Arc<Shared>) + Send>;
type Waiter = oneshot::Sender<Result<Lease, Unsent>>;

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

/// A stream permit, given back when dropped.
struct Lease {
    shared: Arc<Shared>,
    permit: Option<Permit<Handle>>,
}

impl Pool {
    /// A pool that opens nothing until it is used. `name` is for the log.
    pub fn new<C: Connect>(name: &str, connector: C, limits: PoolLimits, clock: Clock) -> Self {
        let bounds = Bounds { connections_max: limits.connections_max.max(1), queue_max: limits.queue_max };
        let shared = Arc::new(Shared {
            name: name.into(),
            limits,
            stats: TransportStats::default(),
            changed: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
            dispatch: Mutex::new(Dispatch::new(bounds)),
            clock,
        });
        let start: Start = Box::new(|shared| drop(tokio::spawn(keep(Arc::new(connector), shared))));
        Self { shared, started: Once::new(), start: Mutex::new(Some(start)) }
    }

    /// Sends a request and waits for its answer until `deadline`. What the peer certainly did not process is
    /// sent again here; what may have been processed is never.
    pub async fn send(&self, outgoing: &Outgoing<'_>, deadline: Instant) -> Result<Answer, SendError> {
        self.ensure_started();
        for _ in 0..=UNPROCESSED_REPEATS_MAX {
            let lease = self.lease(outgoing.avoid, deadline).await.map_err(SendError::Unsent)?;
            let connection = lease.number();
            let error = match lease.send(outgoing, deadline).await {
                Ok((status, headers, body)) => return Ok(Answer { status, headers, body, connection }),
                Err(Broken::Unprocessed) => {
                    self.shared.stats.resent_unprocessed.increase();
                    continue;
                }
                Err(Broken::Malformed) => SendError::Unsent(Unsent::Malformed),
                Err(Broken::Cut) => SendError::Unknown(Interruption::Cut { connection }),
                Err(Broken::TimedOut) => SendError::Unknown(Interruption::TimedOut { connection }),
            };
            return Err(error);
        }
        Err(SendError::Unsent(Unsent::Unavailable))
    }

    /// Begins no new stream on this connection; it closes when its last one has ended.
    pub fn retire(&self, connection: ConnectionNumber) {
        let handle = self.shared.lock().handle(connection).cloned();
        if let Some(handle) = handle {
            handle.vitals.retire();
            drop(handle);
            self.shared.removed(connection);
        }
    }

    /// Keeps a connection open also without traffic. Ends when the pool is closed.
    pub async fn keep_open(&self) {
        self.ensure_started();
        self.shared.lock().keep_one_open();
        self.shared.changed.notify_one();
        let mut phase = self.shared.phase.subscribe();
        // An error means that the pool is gone, which ends this too.
        let _gone = phase.wait_for(|phase| *phase != Phase::Open).await;
    }

    /// Takes no new request, refuses those that wait, and closes each connection when its last stream ends.
    pub fn close(&self) {
        self.shared.close(Phase::Draining);
    }

    /// What the pool is doing.
    pub fn stats(&self) -> &TransportStats {
        &self.shared.stats
    }

    fn ensure_started(&self) {
        self.started.call_once(|| {
            let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(start) = start {
                start(self.shared.clone());
            }
        });
    }

    async fn lease(&self, avoid: Option<ConnectionNumber>, deadline: Instant) -> Result<Lease, Unsent> {
        let now = self.shared.now();
        if deadline <= now {
            return Err(Unsent::Late);
        }
        let mut waiting = None;
        let admission = self.shared.with(|dispatch| {
            dispatch.request(now, deadline, avoid, || {
                let (sender, receiver) = oneshot::channel();
                waiting = Some(receiver);
                sender
            })
        });
        match (admission, waiting) {
            (Admission::Granted(permit), _) => Ok(Lease::new(&self.shared, permit)),
            (Admission::Waiting(ticket), Some(receiver)) => self.wait(ticket, receiver, deadline).await,
            (Admission::Busy, _) => {
                self.shared.stats.refused_busy.increase();
                Err(Unsent::Busy)
            }
            (Admission::Unavailable | Admission::Waiting(_), _) => Err(Unsent::Unavailable),
            (Admission::Closed, _) => Err(Unsent::Closed),
        }
    }

    async fn wait(
        &self,
        ticket: Ticket,
        receiver: oneshot::Receiver<Result<Lease, Unsent>>,
        deadline: Instant,
    ) -> Result<Lease, Unsent> {
        self.shared.changed.notify_one();
        let place = Place { shared: &self.shared, ticket };
        match timeout_at(deadline, receiver).await {
            Ok(Ok(granted)) => granted,
            Ok(Err(_dropped)) => Err(Unsent::Closed),
            Err(_elapsed) if place.leave() => Err(Unsent::Late),
            Err(_elapsed) => Err(Unsent::Unavailable),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close(Phase::Gone);
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl Place<'_> {
    /// Gives the place up. Whether there was a connection to wait for.
    fn leave(&self) -> bool {
        self.shared.with(|dispatch| dispatch.leave(self.ticket))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Lease {
    fn new(shared: &Arc<Shared>, permit: Permit<Handle>) -> Self {
        shared.stats.streams_in_flight.increase();
        Self { shared: shared.clone(), permit: Some(permit) }
    }

    fn number(&self) -> ConnectionNumber {
        self.permit().number
    }

    fn permit(&self) -> &Permit<Handle> {
        self.permit.as_ref().expect("only `take` and the drop empty it, and both own the lease")
    }

    async fn send(
        self,
        outgoing: &Outgoing<'_>,
        deadline: Instant,
    ) -> Result<super::exchange::Received, Broken> {
        let mut requests = self.permit().handle.requests.clone();
        let result = exchange(&mut requests, outgoing, deadline).await;
        let Permit { number, handle } = self.permit();
        match result {
            Ok(_) if handle.vitals.hear(self.shared.now()) => self.shared.first_answer(*number),
            Err(Broken::TimedOut) => self.shared.doubt(*number, &handle.vitals),
            Ok(_) | Err(_) => (),
        }
        result
    }

    /// The permit, without giving it back.
    fn take(mut self) -> Option<Permit<Handle>> {
        self.permit.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.stats.streams_in_flight.decrease();
        if let Some(permit) = self.permit.take() {
            self.shared.ended(permit.number);
        }
    }
}

impl Shared {
    /// The monotonic present: a deadline that has passed stands at now.
    pub(super) fn now(&self) -> Instant {
        self.clock.instant_of(UnixMs::default())
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

    fn doubt(&self, number: ConnectionNumber, vitals: &Vitals) {
        self.with(|dispatch| dispatch.doubt(number));
        vitals.suspect();
        self.changed.notify_one();
    }

    fn first_answer(&self, number: ConnectionNumber) {
        self.with(|dispatch| dispatch.answered(number));
        self.changed.notify_one();
    }

    fn ended(self: &Arc<Self>, number: ConnectionNumber) {
        let granted = self.with(|dispatch| dispatch.ended(number));
        self.hand_over(granted);
    }

    fn close(&self, phase: Phase) {
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

    fn lock(&self) -> MutexGuard<'_, Dispatch<Handle, Waiter>> {
        // Nothing panics under the lock; should it, the table is still a table.
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, change: impl FnOnce(&mut Dispatch<Handle, Waiter>) -> R) -> R {
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
