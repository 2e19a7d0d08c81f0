//! The sockets of the doors: bound all together before anything else starts, opened once the engine runs, drained
//! and stopped at the end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use tocsin_config::{Config, Door};
use tocsin_engine::Handle;
use tokio::net::TcpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::certificates::DoorCertificate;
use super::connection::{self, Arrival, ConnectionRules, Stage};
use super::connections::Connections;
use super::pace::WRITE_TIME_MAX;
use super::rate::Rates;
use super::renewal::{Certificates, keep};
use super::surround::Surround;
use super::{CertificateError, DoorMetrics, DoorState};
use crate::control::Control;
use crate::openapi::Call;

/// Connections that may wait to be accepted at one door.
const BACKLOG: u32 = 1_024;

/// Accepted connections that may wait for the thread that serves them; more go to the next one.
const HANDED_OVER_MAX: usize = 1_024;

/// How long a connection waits that no thread takes, until it is offered again.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(2);

/// How long a door that cannot accept, as without a free file descriptor, waits before it tries again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long replies that are being written have at the end.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// How often a drain looks whether the last call has been answered, and a stop whether the last connection has ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorName {
    /// For portals and gateways.
    Portal,
    /// For phones.
    Device,
    /// For operators and Prometheus.
    Ops,
}

impl DoorName {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Portal, Self::Device, Self::Ops];

    /// The word of the configuration, of logs and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Device => "device",
            Self::Ops => "ops",
        }
    }

    pub(super) const fn settings(self, config: &Config) -> &Door {
        match self {
            Self::Portal => &config.portal,
            Self::Device => &config.device,
            Self::Ops => &config.ops,
        }
    }

    /// HTTP/2 streams of one connection at once: portals hold many calls, phones and scrapers few.
    pub(super) const fn streams_max(self) -> u32 {
        match self {
            Self::Portal => 256,
            Self::Device | Self::Ops => 16,
        }
    }

    /// All that it may be asked.
    pub(crate) const fn calls(self) -> &'static [Call] {
        match self {
            Self::Portal => crate::portal::CALLS,
            Self::Device => crate::device::CALLS,
            Self::Ops => crate::ops::CALLS,
        }
    }
}

impl fmt::Display for DoorName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A door that cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its address cannot be had.
    #[error("the {door} door cannot listen on {address}: {error}")]
    Address {
        /// Which door.
        door: DoorName,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Its certificate cannot be used.
    #[error("the {door} door cannot speak TLS: {error}")]
    Certificate {
        /// Which door.
        door: DoorName,
        /// Why.
        error: CertificateError,
    },
}

/// Where the doors listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The portal door.
    pub portal: SocketAddr,
    /// The device door.
    pub device: SocketAddr,
    /// The ops door.
    pub ops: SocketAddr,
}

/// The three sockets, listening; callers wait until the doors are opened.
#[derive(Debug)]
pub struct BoundDoors {
    addresses: Addresses,
    portal: BoundDoor,
    device: BoundDoor,
    ops: BoundDoor,
}

/// A door that callers can knock at.
struct BoundDoor {
    listener: TcpListener,
    address: SocketAddr,
    certificate: Option<Arc<DoorCertificate>>,
}

impl fmt::Debug for BoundDoor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BoundDoor").field("address", &self.address).finish_non_exhaustive()
    }
}

impl BoundDoors {
    /// Binds all three doors, or none. Must be called on a tokio runtime.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let portal = bind(DoorName::Portal, config)?;
        let device = bind(DoorName::Device, config)?;
        let ops = bind(DoorName::Ops, config)?;
        let addresses = Addresses { portal: portal.address, device: device.address, ops: ops.address };
        Ok(Self { addresses, portal, device, ops })
    }

    /// Where they listen.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The issuer of the device protocol: the device door's public URL, on loopback without one its address.
    pub fn issuer(&self, config: &Config) -> String {
        let scheme = if config.device.tls.is_some() { "https" } else { "http" };
        config.device.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", self.addresses.device))
    }

    /// Lets callers in. Must be called inside an actix system.
    pub fn open(self, handle: &Handle) -> io::Result<OpenDoors> {
        self.open_with(handle, None)
    }

    /// Lets callers in; operators may ask `control` for what concerns the process as a whole.
    pub(crate) fn open_with(self, handle: &Handle, control: Option<Control>) -> io::Result<OpenDoors> {
        let metrics = DoorMetrics::register(handle.metrics().registry()).map_err(io::Error::other)?;
        let opening = Opening {
            handle: handle.clone(),
            control,
            metrics: Arc::new(metrics),
            rates: Arc::new(Rates::default()),
            draining: watch::Sender::new(false),
        };
        let addresses = self.addresses;
        let certificates = Certificates::new(
            [
                (DoorName::Portal, self.portal.certificate.clone()),
                (DoorName::Device, self.device.certificate.clone()),
                (DoorName::Ops, self.ops.certificate.clone()),
            ],
            handle.clone(),
            Arc::clone(&opening.metrics),
        );
        let keeper = actix_rt::spawn(keep(certificates.clone(), Arc::clone(&opening.rates)));
        Ok(OpenDoors {
            portal: opening.open(DoorName::Portal, self.portal)?,
            device: opening.open(DoorName::Device, self.device)?,
            ops: opening.open(DoorName::Ops, self.ops)?,
            addresses,
            draining: opening.draining,
            certificates,
            keeper,
        })
    }
}

fn bind(door: DoorName, config: &Config) -> Result<BoundDoor, BindError> {
    let settings = door.settings(config);
    let certificate = settings.tls.as_ref().map(DoorCertificate::load).transpose();
    let certificate = certificate.map_err(|error| BindError::Certificate { door, error })?.map(Arc::new);
    let (listener, address) = listen(settings.address).map_err(|error| BindError::Address {
        door,
        address: settings.address,
        error,
    })?;
    Ok(BoundDoor { listener, address, certificate })
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// What the doors are opened with.
struct Opening {
    handle: Handle,
    control: Option<Control>,
    metrics: Arc<DoorMetrics>,
    rates: Arc<Rates>,
    draining: watch::Sender<bool>,
}

impl Opening {
    fn open(&self, name: DoorName, bound: BoundDoor) -> io::Result<OpenDoor> {
        let in_flight = Arc::new(AtomicUsize::new(0));
        let state = self.state(name, bound.address, Arc::clone(&in_flight));
        let stage = watch::Sender::new(Stage::Open);
        let rules = Arc::new(self.rules(name, bound.certificate, stage.subscribe()));
        let connections = Arc::clone(&rules.connections);
        let seats = self.threads(name).iter().map(|thread| seat(thread, &state, &rules)).collect();
        let listener = tokio::net::TcpListener::from_std(bound.listener)?;
        let accepting = actix_rt::spawn(accept(Arc::clone(&rules), listener, seats));
        Ok(OpenDoor { accepting, connections, in_flight, stage })
    }

    /// Portals and phones are served where their transactions live, so that most of a call stays on one thread.
    /// Operators have the main one, which answers however busy those are.
    fn threads(&self, door: DoorName) -> Vec<ArbiterHandle> {
        match door {
            DoorName::Portal | DoorName::Device => self.handle.threads().to_vec(),
            DoorName::Ops => vec![Arbiter::current()],
        }
    }

    fn rules(
        &self,
        door: DoorName,
        certificate: Option<Arc<DoorCertificate>>,
        stage: watch::Receiver<Stage>,
    ) -> ConnectionRules {
        let config = self.handle.config();
        let settings = door.settings(&config);
        let connections = Connections::new(settings.connections_max, settings.connections_per_address_max);
        ConnectionRules {
            door,
            certificate,
            trusted_proxies: settings.trusted_proxies.clone(),
            connections: Arc::new(connections),
            metrics: Arc::clone(&self.metrics),
            head_time_max: settings.head_time_max.to_std(),
            write_time_max: WRITE_TIME_MAX,
            headers_max: settings.headers_max,
            head_bytes_max: settings.head_bytes_max,
            stage,
        }
    }

    fn state(&self, name: DoorName, address: SocketAddr, in_flight: Arc<AtomicUsize>) -> DoorState {
        let config = self.handle.config();
        let settings = name.settings(&config);
        DoorState {
            name,
            is_loopback: address.ip().is_loopback(),
            public_url: settings.public_url.clone().unwrap_or_default(),
            body_bytes_max: settings.body_bytes_max,
            handle: self.handle.clone(),
            control: self.control.clone(),
            metrics: Arc::clone(&self.metrics),
            rates: Arc::clone(&self.rates),
            trusted_proxies: settings.trusted_proxies.clone(),
            headers_max: settings.headers_max,
            head_bytes_max: settings.head_bytes_max,
            body_time_max: settings.body_time_max.to_std(),
            draining: self.draining.subscribe(),
            in_flight,
        }
    }
}

/// Hands connections to the threads in turn, until it is aborted; then nobody can connect any more.
async fn accept(
    rules: Arc<ConnectionRules>,
    listener: tokio::net::TcpListener,
    seats: Vec<mpsc::Sender<Arrival>>,
) {
    let mut turn = 0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let mut waiting = rules.let_in(stream, peer);
                while let Some(arrival) = waiting.take() {
                    match hand_over(&seats, turn, arrival) {
                        Ok(next) => turn = next,
                        // All threads are behind: those who come meanwhile wait in the backlog.
                        Err(arrival) => {
                            waiting = Some(arrival);
                            tokio::time::sleep(HAND_OVER_AGAIN).await;
                        }
                    }
                }
            }
            // The caller had gone before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(door = rules.door.as_str(), %error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Gives a connection to the next thread that takes it, and answers with whose turn is then; where all are behind with
/// theirs it comes back.
fn hand_over<T>(seats: &[mpsc::Sender<T>], turn: usize, mut arrival: T) -> Result<usize, T> {
    for next in turn..turn + seats.len() {
        arrival = match seats[next % seats.len()].try_send(arrival) {
            Ok(()) => return Ok((next + 1) % seats.len()),
            Err(TrySendError::Full(arrival) | TrySendError::Closed(arrival)) => arrival,
        };
    }
    Err(arrival)
}

/// A thread's place at a door, which serves the connections that are handed to it.
fn seat(thread: &ArbiterHandle, state: &DoorState, rules: &Arc<ConnectionRules>) -> mpsc::Sender<Arrival> {
    let (sender, mut arrivals) = mpsc::channel::<Arrival>(HANDED_OVER_MAX);
    let (state, rules) = (state.clone(), Arc::clone(rules));
    thread.spawn_fn(move || {
        // Each thread has routes of its own.
        let door = Rc::new(Surround::new(state));
        actix_rt::spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                match arrival.here() {
                    Ok(arrival) => {
                        actix_rt::spawn(connection::serve(Arc::clone(&rules), Rc::clone(&door), arrival));
                    }
                    Err(error) => {
                        tracing::error!(door = rules.door.as_str(), %error, "a connection cannot be served")
                    }
                }
            }
        });
    });
    sender
}

/// A door that callers can come through.
struct OpenDoor {
    accepting: JoinHandle<()>,
    connections: Arc<Connections>,
    in_flight: Arc<AtomicUsize>,
    stage: watch::Sender<Stage>,
}

/// The three doors, open.
pub struct OpenDoors {
    portal: OpenDoor,
    device: OpenDoor,
    ops: OpenDoor,
    addresses: Addresses,
    draining: watch::Sender<bool>,
    certificates: Certificates,
    keeper: JoinHandle<()>,
}

impl fmt::Debug for OpenDoors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenDoors").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl OpenDoors {
    /// Where they listen.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Their certificates.
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Takes no new connections and no new work at the portal and device doors, lets held calls return, and waits
    /// for the others at most `grace`; answers with how many were left. The ops door stays, so that the drain can
    /// be watched.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.draining.send_replace(true);
        self.portal.accepting.abort();
        self.device.accepting.abort();
        self.portal.stage.send_replace(Stage::Draining);
        self.device.stage.send_replace(Stage::Draining);
        let deadline = Instant::now() + grace;
        while self.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.in_flight()
    }

    fn in_flight(&self) -> usize {
        [&self.portal, &self.device].iter().map(|door| door.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Closes all doors; replies that are being written have a second.
    pub async fn stop(self) {
        self.keeper.abort();
        let doors = [self.portal, self.device, self.ops];
        for door in &doors {
            door.accepting.abort();
            door.stage.send_replace(Stage::Closing);
        }
        let deadline = Instant::now() + STOP_TIME_MAX;
        while doors.iter().any(|door| !door.connections.is_empty()) && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns_and_one_that_is_stuck_or_gone_stops_nobody() {
        let (stuck, _never_read) = mpsc::channel(1);
        let (gone, _) = mpsc::channel(1);
        let (lives, mut living) = mpsc::channel(3);
        let seats = [stuck, gone, lives];
        assert_eq!(hand_over(&seats, 0, 'a'), Ok(1), "room for one");
        assert_eq!(hand_over(&seats, 1, 'b'), Ok(0), "past the one that is gone");
        assert_eq!(hand_over(&seats, 0, 'c'), Ok(0), "past the one that is stuck too");
        assert_eq!((living.try_recv(), living.try_recv()), (Ok('b'), Ok('c')));
        for arrival in ['d', 'e', 'f'] {
            assert_eq!(hand_over(&seats, 0, arrival), Ok(0));
        }
        assert_eq!(hand_over(&seats, 0, 'g'), Err('g'), "all are behind");
    }
}
