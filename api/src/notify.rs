//! Tells a service manager how the server is (`sd_notify(3)`): ready, reloading, stopping, alive.
//!
//! One datagram a message, to the socket that `NOTIFY_SOCKET` names; without that variable nothing happens. A message
//! that cannot be sent is logged and costs nothing else. The watchdog is fed only while the engine is healthy, so
//! that a server that hangs is restarted.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use tocsin_engine::Handle;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Self { socket: None, watchdog: None };
        };
        match connect(name.as_bytes()) {
            Ok(socket) => Self { socket: Some(socket), watchdog: watchdog_time() },
            Err(error) => {
                tracing::warn!(%error, "the service manager's socket cannot be used");
                Self { socket: None, watchdog: None }
            }
        }
    }

    /// The doors are open.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving\n");
    }

    /// Something is read anew; [`Self::ready`] says when that is over.
    pub(crate) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reloading\n");
    }

    /// A shutdown has begun.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining\n");
    }

    /// Feeds the watchdog while the engine is healthy, twice in its time; never returns.
    pub(crate) async fn feed(&self, handle: &Handle) {
        let Some(time) = self.watchdog else {
            return std::future::pending().await;
        };
        let mut next = tokio::time::interval(time / 2);
        loop {
            next.tick().await;
            if handle.health().is_healthy() {
                self.tell("WATCHDOG=1\n");
            }
        }
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// A path, or behind an `@` an abstract name.
fn connect(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// The time within which this process must be heard of (`WATCHDOG_USEC`), unless another one is meant.
fn watchdog_time() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
    let microseconds = number("WATCHDOG_USEC").filter(|microseconds| *microseconds > 0 && is_ours)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &[u8]) -> ServiceManager {
        ServiceManager { socket: Some(connect(name).expect("an address")), watchdog: None }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("a text")
    }

    #[test]
    fn messages_go_to_a_path_and_to_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("bound");
        manager(path.as_os_str().as_bytes()).ready();
        assert_eq!(heard(&listener), "READY=1\nSTATUS=serving\n");
        let name = format!("tocsin-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixDatagram::bind_addr(&address).expect("bound");
        manager(format!("@{name}").as_bytes()).stopping();
        assert_eq!(heard(&listener), "STOPPING=1\nSTATUS=draining\n");
    }

    #[test]
    fn nobody_who_listens_is_no_fault() {
        manager(b"/nowhere/at/all").ready();
        ServiceManager { socket: None, watchdog: None }.ready();
    }
}
