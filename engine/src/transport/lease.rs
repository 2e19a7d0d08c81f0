//! A request's hold on the pool: a place in the queue, then a stream permit. Both are given back when dropped.

use std::sync::Arc;

use tokio::time::Instant;

use super::dispatch::{Permit, Ticket};
use super::exchange::{Broken, Received, exchange};
use super::shared::{Handle, Shared};
use super::{ConnectionNumber, Outgoing};

/// A stream permit, given back when dropped.
pub(super) struct Lease {
    shared: Arc<Shared>,
    permit: Option<Permit<Handle>>,
}

/// A place in the queue, given up when dropped.
pub(super) struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl<'a> Place<'a> {
    pub(super) fn new(shared: &'a Shared, ticket: Ticket) -> Self {
        Self { shared, ticket }
    }

    /// Gives the place up. Whether there was a connection to wait for.
    pub(super) fn leave(&self) -> bool {
        self.shared.with(|dispatch| dispatch.leave(self.ticket))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Lease {
    pub(super) fn new(shared: &Arc<Shared>, permit: Permit<Handle>) -> Self {
        shared.stats.streams_in_flight.increase();
        Self { shared: shared.clone(), permit: Some(permit) }
    }

    pub(super) fn number(&self) -> ConnectionNumber {
        self.permit.as_ref().expect("only `take` and the drop empty it, and both own the lease").number
    }

    /// Sends a request on the stream that the permit is for.
    pub(super) async fn send(
        mut self,
        outgoing: &Outgoing<'_>,
        deadline: Instant,
    ) -> Result<Received, Broken> {
        let Some(Permit { number, handle }) = &mut self.permit else { return Err(Broken::Unprocessed) };
        let result = exchange(&mut handle.requests, outgoing, deadline).await;
        match result {
            Ok(_) if handle.vitals.hear(self.shared.now()) => self.shared.first_answer(*number),
            Err(Broken::TimedOut) => self.shared.doubt(*number, &handle.vitals),
            Ok(_) | Err(_) => (),
        }
        result
    }

    /// The permit, without giving it back.
    pub(super) fn take(mut self) -> Option<Permit<Handle>> {
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
