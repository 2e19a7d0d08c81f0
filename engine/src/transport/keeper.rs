//! The tasks of a pool: one that opens connections when they are wanted, one for each connection.
//!
//! All end with the pool: gracefully when it is closed, at once when it is dropped.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::{sleep_until, timeout};

use super::ConnectionNumber;
use super::connection::{Event, Live, Phase, Vitals, open};
use super::connector::{Connect, ConnectError};
use super::dispatch::Step;
use super::keepalive::Keepalive;
use super::shared::{Handle, Shared};

/// Opens connections for the pool until it is closed.
pub(super) async fn keep<C: Connect>(connector: Arc<C>, shared: Arc<Shared>) {
    loop {
        let changed = shared.changed.notified();
        match shared.next_step() {
            Step::End => return,
            Step::Idle => changed.await,
            Step::Until(moment) => tokio::select! {
                () = changed => (),
                () = sleep_until(moment) => (),
            },
            Step::Open(number, avoid) => {
                let registration = Registration { shared: shared.clone(), number, is_open: false };
                tokio::spawn(one_connection(connector.clone(), registration, avoid));
            }
        }
    }
}

/// Tells the pool that a connection is gone, however its task ends.
struct Registration {
    shared: Arc<Shared>,
    number: ConnectionNumber,
    is_open: bool,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.is_open {
            self.shared.removed(self.number);
            self.shared.stats.connections_open.decrease();
        } else {
            self.shared.connect_failed();
        }
    }
}

async fn one_connection<C: Connect>(
    connector: Arc<C>,
    mut registration: Registration,
    avoid: Option<SocketAddr>,
) {
    let shared = registration.shared.clone();
    let mut phase = shared.phase.subscribe();
    let connecting = timeout(shared.limits.connect_timeout, establish(&*connector, avoid));
    let connected = tokio::select! {
        connected = connecting => connected.unwrap_or(Err(ConnectError::Late)),
        _ = phase.wait_for(|phase| *phase != Phase::Open) => return,
    };
    match connected {
        Ok((live, requests, address)) => {
            registration.is_open = true;
            serve(&registration, live, requests, address).await;
        }
        Err(error) => {
            shared.stats.connects_failed.increase();
            tracing::warn!(pool = %shared.name, error = %error, "connection failed");
        }
    }
}

async fn establish<C: Connect>(
    connector: &C,
    avoid: Option<SocketAddr>,
) -> Result<(Live<C::Stream>, SendRequest<Bytes>, SocketAddr), ConnectError> {
    let (stream, address) = connector.connect(avoid).await?;
    let (live, requests) = open(stream).await?;
    Ok((live, requests, address))
}

async fn serve<T>(
    registration: &Registration,
    live: Live<T>,
    requests: SendRequest<Bytes>,
    address: SocketAddr,
) where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (shared, number) = (&registration.shared, registration.number);
    let vitals = Arc::new(Vitals::new(shared.now()));
    shared.stats.connects_ok.increase();
    shared.stats.connections_open.increase();
    tracing::info!(pool = %shared.name, peer = %address, streams = live.limit, "connection open");
    let handle = Handle { requests: requests.clone(), vitals: vitals.clone() };
    shared.opened(number, handle, live.limit);
    let keepalive = Keepalive::new(shared.limits.ping_interval, shared.limits.ping_timeout);
    let tell = |event| match event {
        Event::Limit(limit) => shared.limit_changed(number, limit),
        Event::Pong => shared.trust(number),
        Event::PingLost => {
            shared.stats.pings_lost.increase();
            tracing::warn!(pool = %shared.name, peer = %address, "connection is silent, given up");
        }
        Event::Leaving { by_goaway } => {
            if by_goaway {
                shared.stats.goaways.increase();
                shared.went_away(address);
            }
            shared.removed(number);
        }
    };
    live.run(requests, &vitals, keepalive, shared.phase.subscribe(), || shared.now(), tell).await;
    tracing::info!(pool = %shared.name, peer = %address, "connection closed");
}
