//! The wire under both doubles: TCP, TLS, ALPN and HTTP/2 with faults; HTTP/1.1 where Google takes it.
//!
//! `listener` accepts, `live` keeps the table of connections, `http2` and `http1` serve one connection,
//! `service` is what they call. The `h2` crate gives a server neither a second SETTINGS with another
//! stream limit nor GOAWAY with debug data; `tap` sits under it and adds both at frame boundaries, and
//! counts streams exactly as they stand on the wire (`streams`). Nothing here knows of tokens, payloads
//! or reasons.

mod frame;
mod http1;
mod http2;
mod listener;
mod live;
mod scanner;
mod service;
mod streams;
mod tap;

pub use live::{ConnectionReport, Traffic};
pub use service::ConnectionNumber;

pub(crate) use http2::StreamLimits;
pub(crate) use listener::{Listener, ListenerSettings};
pub(crate) use service::{Action, Call, Reply, Service};
