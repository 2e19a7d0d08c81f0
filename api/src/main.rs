//! The `tocsin` binary.
//!
//! The life of the process: the command line is read, the configuration is loaded, and all its faults are told.
//! `serve` then starts the log, binds the three doors, opens the storage, reads the server's key and the providers'
//! credentials, starts the engine, and opens the doors, behind which the engine takes up what was open ([`tocsin_api::command`] and
//! the `serve` module of the library). SIGTERM and SIGINT drain it: no new work, held calls return, what is open
//! stays stored for the next start. Exit codes: 0 after a drain, 78 for the configuration, 74 for the storage.

use std::process::ExitCode;

use clap::Parser as _;
use tocsin_api::command::Arguments;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    Arguments::parse().run().into()
}
