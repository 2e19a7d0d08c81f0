//! HTTP/2 to a push network: connections, streams and what is known of a request that was cut. Beside it a small client
//! of HTTP/1.1 for gateways and services (`http_client`).
//!
//! Knows nothing of APNs or FCM. The rules it keeps for every push network:
//! * no stream before the peer's first SETTINGS, and never more than the peer's present limit;
//! * requests wait outside of the connections, in one bounded queue;
//! * what the peer certainly did not process (above GOAWAY's last id, REFUSED_STREAM) is sent again by the
//!   pool; what was cut after it was written is *unknown*, and only the caller may repeat it;
//! * an idle or doubted connection is asked by PING, and a silent one is dead.
//!
//! It deliberately offers no way to skip the verification of a certificate.
//!
//! ```text
//! dialler DNS, TCP ─┬─► connector  TLS, ALPN ──► connection  SETTINGS, PING, GOAWAY ──► pool  who sends where
//! proxy   a tunnel ─┘                                                                  └ dispatch (pure), permits
//! ```

mod backoff;
mod connection;
mod connector;
mod dialler;
mod dispatch;
mod endpoint;
mod exchange;
mod gathered;
mod http_client;
mod keepalive;
mod keeper;
mod lease;
mod permits;
mod pool;
mod proxy;
mod shared;
mod stats;
mod tls;
mod wire;

#[cfg(test)]
mod fake_peer;
#[cfg(test)]
mod pool_tests;

pub use backoff::{Backoff, random_unit};
pub use connector::{Connect, ConnectError, Connector};
pub(crate) use dialler::{ADDRESSES_TRIED_MAX, Dialler, first_of};
pub use dispatch::ConnectionNumber;
pub use endpoint::{Endpoint, EndpointError};
pub(crate) use exchange::latest_for_room;
pub use exchange::{Answer, Interruption, Outgoing, SendError, Unsent};
pub use http_client::{HttpAnswer, HttpClient, HttpFault, HttpLimits};
pub use pool::{Pool, PoolLimits};
pub use proxy::{Proxies, Proxy, ProxyFault, ProxyRoute, ProxySetupError, TunnelEnd, TunnelObserver};
pub(crate) use proxy::{Standing, Turns};
pub use stats::{TransportSnapshot, TransportStats};
pub use tls::{Application, TlsSetupError, client_config};
pub use wire::Wire;
