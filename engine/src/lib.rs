//! The actors of Tocsin: transactions, the providers that supervise them, and the registry between both.
//!
//! `handle` is the only door. Logic is pure (`transaction::state`, `provider::breaker`, …); actors, sockets and
//! tasks are thin shells around it. `transaction` and `provider` do not import each other: they meet in
//! `protocol`, one page with every message that crosses an actor boundary.

pub mod clock;
pub mod device;
pub mod protocol;
pub mod provider;
pub mod transport;
