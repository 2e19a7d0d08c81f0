//! What the benches share: for each, our way and the bare library's way of doing the same work, and the table of results.
//!
//! Each bench runs the bare library beside our code over the same bytes, so that it shows our own overhead.
//! Nothing here judges: no absolute time and no ratio fails a bench.

mod bare_actors;
mod bare_pushes;
mod bare_record;
mod bare_store;
mod calls;
mod commits;
mod driver_pushes;
mod echo;
mod engine_creates;
mod figures;
mod group_store;
mod h2load;
mod memory;
mod outside;
mod phone_request;
mod portal_creates;
mod process_time;
pub mod results;
mod sample;
mod thread_time;

/// The allocator of the server, for our way and the bare library's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub use bare_actors::BareActors;
pub use bare_pushes::{BarePushes, Writes};
pub use bare_record::{BareRecord, OwnedTexts};
pub use bare_store::BareStore;
pub use calls::Calls;
pub use commits::Commits;
pub use driver_pushes::{DriverPushes, Seal};
pub use echo::{Echo, WORKERS, serve_echo};
pub use engine_creates::EngineCreates;
pub use figures::Figures;
pub use group_store::GroupStore;
pub use h2load::H2load;
pub use memory::MemoryOf;
pub use outside::{Outside, SeenPush};
pub use phone_request::PhoneRequest;
pub use portal_creates::PortalCreates;
pub use process_time::ProcessTime;
pub use sample::Samples;
pub use thread_time::ThreadTime;

use tempfile::TempDir;

/// A fresh folder on the disk of the target folder, since a temporary folder of the system may be in memory.
pub fn folder_on_disk(target: &str) -> TempDir {
    tempfile::tempdir_in(target).expect("the target folder can be written")
}
