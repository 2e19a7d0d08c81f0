//! The doors of Tocsin and its binary.
//!
//! Three HTTP servers stand in front of one engine: [`door`] is what they share, `portal`, `device` and `ops` are
//! what each is asked for, `serve` puts the process together. All logic is the engine's: the doors parse strictly,
//! authenticate portals, ask the engine's [`Handle`](tocsin_engine::Handle) and write its answers down. The engine
//! knows nothing of HTTP, and only this package knows which storage there is.

mod announce;
mod aside;
mod backup;
pub mod command;
mod control;
mod device;
pub mod door;
mod exit;
mod log;
mod master_key;
mod notify;
pub mod openapi;
mod ops;
mod portal;
pub mod qr;
mod reload;
mod serve;
mod view;

pub use exit::Exit;
