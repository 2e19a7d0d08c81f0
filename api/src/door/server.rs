//! The sockets of the doors: bound all together before anything else starts, opened once the engine runs, drained
//! and stopped at the end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_server::{Server, ServerHandle};
use actix_service::{fn_factory, fn_service};
use tocsin_config::{Config, Door};
use tocsin_engine::Handle;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::certificates::DoorCertificate;
use super::connection::{self, ConnectionRules, Stage};
use super::connections::{Connections, REFUSING_MAX};
use super::pace::WRITE_TIME_MAX;
use super::rate::Rates;
use super::renewal::{Certificates, keep};
use super::surround::Surround;
use super::{CertificateError, DoorMetrics, DoorState};
use crate::control::Control;
use crate::openapi::Call;

/// Connections that may wait to be accepted at one door.
const BACKLOG: u32 = 1_024;

/// How long replies that are being written have at the end, in whole seconds.
const STOP_TIME_MAX_S: u64 = 1;

/// How often a drain looks whether the last call has been answered.
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
        let config = self.handle.config();
        let settings = name.settings(&config);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let state = self.state(name, bound.address, Arc::clone(&in_flight));
        let stage = watch::Sender::new(Stage::Open);
        let rules = Arc::new(self.rules(name, bound.certificate, stage.subscribe()));
        // Each worker makes its own routes and serves the connections it is given.
        let worker = move || {
            let (state, rules) = (state.clone(), Arc::clone(&rules));
            fn_factory(move || {
                let (door, rules) = (Rc::new(Surround::new(state.clone())), Arc::clone(&rules));
                async move {
                    Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                        let (rules, door) = (Arc::clone(&rules), Rc::clone(&door));
                        async move {
                            connection::serve(rules, door, stream).await;
                            Ok::<_, ()>(())
                        }
                    }))
                }
            })
        };
        let server = Server::build()
            .workers(settings.workers.max(1))
            .worker_max_blocking_threads(1)
            // The door's own bound answers; this one would let callers wait.
            .max_concurrent_connections(settings.connections_max + REFUSING_MAX)
            .shutdown_timeout(STOP_TIME_MAX_S)
            .disable_signals()
            .listen(name.as_str(), bound.listener, worker)?
            .run();
        let control = server.handle();
        actix_rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(door = name.as_str(), %error, "door ended by a fault");
            }
        });
        Ok(OpenDoor { control, in_flight, stage })
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

/// A door that callers can come through.
struct OpenDoor {
    control: ServerHandle,
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
        self.portal.control.pause().await;
        self.device.control.pause().await;
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
            door.stage.send_replace(Stage::Closing);
        }
        futures_util::future::join_all(doors.iter().map(|door| door.control.stop(true))).await;
    }
}
