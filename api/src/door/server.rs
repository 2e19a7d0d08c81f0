//! The sockets of the doors: bound all together before anything else starts, opened once the engine runs, drained
//! and stopped at the end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpServer};
use tocsin_config::{Config, Door};
use tocsin_engine::Handle;
use tocsin_model::Problem;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

use super::surround::surround;
use super::{DoorMetrics, DoorState, Reply};
use crate::control::Control;

/// Connections that may wait to be accepted at one door.
const BACKLOG: u32 = 1_024;

/// Longest time for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection may be idle between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Longest time for the last bytes of a connection.
const DISCONNECT_TIME_MAX: Duration = Duration::from_secs(1);

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
    /// The word of the configuration, of logs and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Device => "device",
            Self::Ops => "ops",
        }
    }

    const fn settings(self, config: &Config) -> &Door {
        match self {
            Self::Portal => &config.portal,
            Self::Device => &config.device,
            Self::Ops => &config.ops,
        }
    }

    const fn routes(self) -> fn(&mut ServiceConfig) {
        match self {
            Self::Portal => crate::portal::routes,
            Self::Device => crate::device::routes,
            Self::Ops => crate::ops::routes,
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
#[error("the {door} door cannot listen on {address}: {error}")]
pub struct BindError {
    door: DoorName,
    address: SocketAddr,
    error: io::Error,
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
    portal: TcpListener,
    device: TcpListener,
    ops: TcpListener,
}

impl BoundDoors {
    /// Binds all three doors, or none. Must be called on a tokio runtime.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let (portal, portal_address) = bind(DoorName::Portal, config)?;
        let (device, device_address) = bind(DoorName::Device, config)?;
        let (ops, ops_address) = bind(DoorName::Ops, config)?;
        let addresses = Addresses { portal: portal_address, device: device_address, ops: ops_address };
        Ok(Self { addresses, portal, device, ops })
    }

    /// Where they listen.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The issuer of the device protocol: the device door's public URL, on loopback without one its address.
    pub fn issuer(&self, config: &Config) -> String {
        config.device.public_url.clone().unwrap_or_else(|| format!("http://{}", self.addresses.device))
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
            draining: watch::Sender::new(false),
        };
        let addresses = self.addresses;
        Ok(OpenDoors {
            portal: opening.open(DoorName::Portal, self.portal, addresses.portal)?,
            device: opening.open(DoorName::Device, self.device, addresses.device)?,
            ops: opening.open(DoorName::Ops, self.ops, addresses.ops)?,
            addresses,
            draining: opening.draining,
        })
    }
}

fn bind(door: DoorName, config: &Config) -> Result<(TcpListener, SocketAddr), BindError> {
    let address = door.settings(config).address;
    listen(address).map_err(|error| BindError { door, address, error })
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
    draining: watch::Sender<bool>,
}

impl Opening {
    fn open(&self, name: DoorName, listener: TcpListener, address: SocketAddr) -> io::Result<OpenDoor> {
        let config = self.handle.config();
        let settings = name.settings(&config);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let state = web::Data::new(self.state(name, address, Arc::clone(&in_flight)));
        let app = move || {
            App::new()
                .app_data(state.clone())
                .wrap(from_fn(surround))
                .configure(name.routes())
                .default_service(web::to(no_such_path))
        };
        let workers = settings.workers.max(1);
        let server = HttpServer::new(app)
            .workers(workers)
            .worker_max_blocking_threads(1)
            .max_connections(settings.connections_max.div_ceil(workers).max(1))
            .client_request_timeout(HEAD_TIME_MAX)
            .client_disconnect_timeout(DISCONNECT_TIME_MAX)
            .keep_alive(KEEP_ALIVE)
            .tcp_nodelay(true)
            // A caller that hangs up gives its place among the waiters back at once.
            .h1_allow_half_closed(false)
            .shutdown_timeout(STOP_TIME_MAX_S)
            .disable_signals()
            .listen(listener)?
            .run();
        let control = server.handle();
        actix_web::rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(door = name.as_str(), %error, "door ended by a fault");
            }
        });
        Ok(OpenDoor { control, in_flight })
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
            draining: self.draining.subscribe(),
            in_flight,
        }
    }
}

async fn no_such_path() -> Reply {
    Err(Problem::not_found().into())
}

/// A door that callers can come through.
struct OpenDoor {
    control: ServerHandle,
    in_flight: Arc<AtomicUsize>,
}

/// The three doors, open.
pub struct OpenDoors {
    portal: OpenDoor,
    device: OpenDoor,
    ops: OpenDoor,
    addresses: Addresses,
    draining: watch::Sender<bool>,
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

    /// Takes no new connections and no new work at the portal and device doors, lets held calls return, and waits
    /// for the others at most `grace`; answers with how many were left. The ops door stays, so that the drain can
    /// be watched.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.draining.send_replace(true);
        self.portal.control.pause().await;
        self.device.control.pause().await;
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
        let doors = [self.portal, self.device, self.ops];
        futures_util::future::join_all(doors.iter().map(|door| door.control.stop(true))).await;
    }
}
