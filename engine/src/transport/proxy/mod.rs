//! The proxy on the way out: a tunnel by HTTP CONNECT (RFC 9110, section 9.3.6) with Basic authentication.
//!
//! What passes the tunnel has TLS of its own, with the peer's certificate verified as ever, so a proxy sees host and
//! port and nothing else. Names go to it unresolved. Other kinds of authentication, SOCKS and requests in clear are
//! deliberately not here.
//!
//! Invariants: nothing but a 2xx is a tunnel, and no byte of the proxy's own passes for the peer's; an answer is bounded
//! in bytes and time; user name and password go to the proxy only, and where it refuses them it is left in peace, by
//! everybody who shares it, for longer each time.
//!
//! ```text
//! route: which hosts ──► server: credentials, turn ──► ask: one CONNECT ──► judge (pure)
//!                         ├ standing (pure): may they be sent now?
//!                         └ turns: by how many at a time?
//! ```

mod ask;
mod fault;
mod judge;
mod registry;
mod server;
mod standing;
mod turns;

pub use fault::{ProxyFault, TunnelEnd};
pub use registry::{Proxies, ProxyRoute, ProxySetupError, TunnelObserver};
pub use server::Proxy;
pub(crate) use standing::Standing;
pub(crate) use turns::Turns;
