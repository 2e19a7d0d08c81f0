//! The double of a server that knows places, as tests and demos hold it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use super::MockPlace;
use super::service::{LocationCall, LocationRefusal, LocationService};
use crate::sync::lock;
use crate::wire::{Listener, ListenerSettings, StreamLimits};
use crate::{FaultScript, MockError, ServerIdentity};

/// The stream limit of a connection, should a caller speak HTTP/2.
const STREAM_LIMIT: u32 = 100;
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How a [`LocationServer`] is set up.
#[derive(Debug)]
pub struct LocationOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its certificate, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// What it knows.
    pub places: HashMap<IpAddr, MockPlace>,
}

impl LocationOptions {
    /// A server on a free port of 127.0.0.1 that knows no place.
    pub fn new(identity: ServerIdentity) -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), identity, places: HashMap::new() }
    }

    /// The same with a place.
    #[must_use]
    pub fn with(mut self, address: impl Into<IpAddr>, place: MockPlace) -> Self {
        self.places.insert(address.into(), place);
        self
    }
}

/// A server that knows places.
pub struct LocationServer {
    service: Arc<LocationService>,
    listener: Listener<LocationService>,
}

impl LocationServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: LocationOptions) -> Result<Self, MockError> {
        let service =
            Arc::new(LocationService { places: Mutex::new(options.places), ..LocationService::default() });
        let limits = StreamLimits { first: STREAM_LIMIT, highest: STREAM_LIMIT };
        let tls = options.identity.tls(&PROTOCOLS)?;
        let settings = ListenerSettings { address: options.address, tls, limits };
        let listener = Listener::start(settings, Arc::clone(&service)).await?;
        Ok(Self { service, listener })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Its base address: `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr())
    }

    /// What it was asked, oldest first.
    pub fn calls(&self) -> Vec<LocationCall> {
        lock(&self.service.calls).iter().cloned().collect()
    }

    /// What shall go wrong.
    pub fn faults(&self) -> &FaultScript<LocationRefusal> {
        &self.service.faults.0
    }

    /// Knows this place from now on.
    pub fn know(&self, address: impl Into<IpAddr>, place: MockPlace) {
        lock(&self.service.places).insert(address.into(), place);
    }

    /// Closes the listening socket; connections live on.
    pub async fn stop_accepting(&self) {
        self.listener.stop_accepting().await;
    }

    /// Stops and waits for its end.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }
}

impl std::fmt::Debug for LocationServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LocationServer").field("address", &self.addr()).finish_non_exhaustive()
    }
}
