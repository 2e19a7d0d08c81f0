//! The way to a portal: straight, or through a proxy.
//!
//! Every connection leads either to an address that was looked up and judged here, or, through a proxy, to a name that
//! an operator wrote into the client's list himself. The name is looked up anew for each try, and one that has an
//! address that may not be connected to is refused whole, whatever else it has. In clear only loopback is reached,
//! and never through a proxy.

use std::io;
use std::net::SocketAddr;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use tocsin_model::{CallbackFault, CallbackUrl};
use tokio::net::lookup_host;

use super::may_connect;
use crate::transport::{ADDRESSES_TRIED_MAX, Proxy, ProxyFault, ProxyRoute, Wire, first_of};

/// Looks up the addresses of a host for a port.
pub(super) type LookUp =
    Box<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Where a callback goes.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// Its URL.
    pub url: &'a CallbackUrl,
    /// Private networks that the client's callbacks may reach.
    pub networks: &'a [IpNet],
    /// Whether the URL stands among the client's callbacks, byte for byte.
    pub is_listed: bool,
}

/// Makes connections to portals.
pub(super) struct Way {
    pub(super) look_up: LookUp,
    route: ArcSwapOption<ProxyRoute>,
}

impl Way {
    /// Straight ones.
    pub(super) fn new() -> Self {
        let look_up: LookUp =
            Box::new(|host, port| Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) }));
        Self { look_up, route: ArcSwapOption::empty() }
    }

    /// From now on by this route.
    pub(super) fn go_by(&self, route: Option<ProxyRoute>) {
        self.route.store(route.map(Into::into));
    }

    /// The bytes to the portal; TLS is still to come.
    pub(super) async fn wire(&self, to: Destination<'_>) -> Result<Wire, CallbackFault> {
        let route = self.route.load_full();
        let route = route.as_deref().filter(|_| to.url.is_https());
        let Some(proxy) = route.and_then(|route| route.proxy_to(to.url.host())) else {
            let connected = first_of(&self.addresses(to).await?).await;
            return connected.map(|(stream, _)| Wire::Plain(stream)).map_err(|_| CallbackFault::Connect);
        };
        let is_name = to.url.literal_address().is_none();
        if to.is_listed && is_name {
            let tunnel = proxy.tunnel(to.url.host(), to.url.port()).await;
            return tunnel.map(|(wire, _)| wire).map_err(|fault| told(to, &fault));
        }
        let addresses = self.addresses(to).await?;
        tunnel_to_one(proxy, &addresses).await.map_err(|fault| told(to, &fault))
    }

    /// The addresses that are tried: all of the look-up may be connected to. In clear only loopback ones may.
    async fn addresses(&self, to: Destination<'_>) -> Result<Vec<SocketAddr>, CallbackFault> {
        let (host, port) = (to.url.host(), to.url.port());
        let mut found = match to.url.literal_address() {
            Some(literal) => vec![SocketAddr::new(literal, port)],
            None => (self.look_up)(host.to_owned(), port).await.map_err(|_| CallbackFault::LookUp)?,
        };
        if found.is_empty() {
            return Err(CallbackFault::LookUp);
        }
        let allowed = |address: &SocketAddr| {
            let address = address.ip();
            may_connect(address, to.networks) && (to.url.is_https() || address.to_canonical().is_loopback())
        };
        if !found.iter().all(allowed) {
            return Err(CallbackFault::AddressRefused);
        }
        found.truncate(ADDRESSES_TRIED_MAX);
        Ok(found)
    }
}

fn told(to: Destination<'_>, fault: &ProxyFault) -> CallbackFault {
    tracing::debug!(origin = to.url.origin(), %fault, "the proxy made no tunnel for a callback");
    CallbackFault::Proxy
}

/// The proxy is given the very addresses that were judged; the next one only where it does not get to the one before.
async fn tunnel_to_one(proxy: &Proxy, addresses: &[SocketAddr]) -> Result<Wire, ProxyFault> {
    let mut failure = ProxyFault::Late;
    for address in addresses {
        match proxy.tunnel(&address.ip().to_string(), address.port()).await {
            Ok((wire, _)) => return Ok(wire),
            Err(fault @ (ProxyFault::Refused(_) | ProxyFault::Upstream(_))) => failure = fault,
            Err(fault) => return Err(fault),
        }
    }
    Err(failure)
}
