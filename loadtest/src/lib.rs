//! Demo, simulated phones and checks of a running server. It speaks only the network with it.
//!
//! [`Installation`] and [`Server`] run a real `tocsin serve` as a child, [`Portal`] calls it as a portal
//! would and [`phone`] as phones would; the outside world is `tocsin_mock`. On these stand [`demo`], which shows real
//! logins go through, [`verify`], which kills the server and watches its deadlines, and [`load`], which measures it.
//!
//! It imports nothing of the server but its vocabulary, so that both sides of each wire are written twice.

pub mod demo;
pub mod load;
pub mod phone;
pub mod verify;

mod error;
mod handset;
mod http_client;
mod portal;
mod random;
mod server;

pub use error::LoadtestError;
pub use handset::{Handset, PhoneKind};
pub use http_client::{CallError, HttpClient, Reply};
pub use portal::{
    AnswerView, DeliveryView, DeviceList, DeviceView, EnrollmentView, EventStream, Portal, PortalCredentials,
    ProblemDocument, StartFields, Started, TransactionEvent, TransactionView,
};
pub use server::{
    APP, BUNDLE_ID, Installation, OTHER_APP, Server, ServerOptions, TYPE_BRIEF, TYPE_LOGIN, find_server,
};
