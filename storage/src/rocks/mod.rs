//! The back end on RocksDB: group commit by two writers that take turns, readers that never block an async thread.
//!
//! `open` finds, checks and opens the database; `database` is RocksDB as rows, with those that everybody asks for kept
//! by `row_cache`; `queue` holds what `writer` commits, and `riding` marks until it does; `read` answers reads; `housekeeping` watches
//! the disk and sweeps; `sealed` holds the rows and the master key together; `store` puts them together. Invariants: one
//! thread at a time writes; nobody is answered before the write, with its sync where one is due, came back; after a failed write nothing is
//! written any more; no lock is held across I/O.

mod backup;
mod database;
mod housekeeping;
mod open;
mod queue;
mod read;
mod riding;
mod row_cache;
mod sealed;
mod store;
mod writer;

pub use backup::IdPage;
pub use store::{RocksStore, Statistics};
