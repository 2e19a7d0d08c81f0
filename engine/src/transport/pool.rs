//! The pool: one way to send, whatever the connections do.
//!
//! A request takes a stream permit or waits for one in the bounded queue, goes out on that connection, and
//! gives the permit back.

use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::connection::Phase;
use super::connector::Connect;
use super::dispatch::{Admission, Ticket};
use super::exchange::Broken;
use super::keeper::keep;
use super::lease::{Lease, Place};
use super::shared::Shared;
use super::{Answer, ConnectionNumber, Interruption, Outgoing, SendError, TransportStats, Unsent};
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

/// What a request for a stream was answered with.
enum Asked {
    Granted(Lease),
    Waiting(Ticket, Granting),
}

/// Hears of a stream that came free.
type Granting = oneshot::Receiver<Result<Lease, Unsent>>;

impl Pool {
    /// A pool that opens nothing until it is used. `name` is for the log.
    pub fn new<C: Connect>(name: &str, connector: C, limits: PoolLimits, clock: Clock) -> Self {
        let shared = Arc::new(Shared::new(name, limits, clock));
        let start: Start = Box::new(|shared| drop(tokio::spawn(keep(Arc::new(connector), shared))));
        Self { shared, started: Once::new(), start: Mutex::new(Some(start)) }
    }

    /// Sends a request and waits for its answer until `deadline`. What the peer certainly did not process is
    /// sent again here; what may have been processed is never.
    pub async fn send(&self, outgoing: &Outgoing<'_>, deadline: Instant) -> Result<Answer, SendError> {
        self.ensure_started();
        for _ in 0..=UNPROCESSED_REPEATS_MAX {
            let start_by = outgoing.start_by.min(deadline);
            let lease = self.lease(outgoing.avoid, start_by).await.map_err(SendError::Unsent)?;
            let connection = lease.number();
            // In a box: what waits for a stream keeps no room for what is done on it.
            let error = match Box::pin(lease.send(outgoing, deadline)).await {
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
        match self.ask(avoid, deadline)? {
            Asked::Granted(lease) => Ok(lease),
            Asked::Waiting(ticket, receiver) => self.wait(ticket, receiver, deadline).await,
        }
    }

    fn ask(&self, avoid: Option<ConnectionNumber>, deadline: Instant) -> Result<Asked, Unsent> {
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
            (Admission::Granted(permit), _) => Ok(Asked::Granted(Lease::new(&self.shared, permit))),
            (Admission::Waiting(ticket), Some(receiver)) => Ok(Asked::Waiting(ticket, receiver)),
            (Admission::Busy, _) => {
                self.shared.stats.refused_busy.increase();
                Err(Unsent::Busy)
            }
            (Admission::Unavailable | Admission::Waiting(_), _) => Err(Unsent::Unavailable),
            (Admission::Closed, _) => Err(Unsent::Closed),
        }
    }

    async fn wait(&self, ticket: Ticket, receiver: Granting, deadline: Instant) -> Result<Lease, Unsent> {
        self.shared.changed.notify_one();
        let place = Place::new(&self.shared, ticket);
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
