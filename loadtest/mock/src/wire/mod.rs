//! The wire under both doubles: TCP, TLS, ALPN and HTTP/2 with faults; HTTP/1.1 where Google takes it.
//!
//! `listener` accepts, `http2` and `http1` serve one connection, `service` is what they call. The `h2`
//! crate gives a server neither a second SETTINGS with another stream limit nor GOAWAY with debug data;
//! `tap` sits under it and adds both at frame boundaries, and counts streams exactly as they stand on the
//! wire (`streams`). It knows nothing of tokens, payloads or reasons.

mod frame;
mod http1;
mod http2;
mod listener;
mod scanner;
mod service;
mod streams;
mod tap;

pub use listener::{ConnectionReport, Traffic};
pub use service::ConnectionNumber;

pub(crate) use listener::{Listener, ListenerSettings};
pub(crate) use service::{Action, Call, Reply, Service};
