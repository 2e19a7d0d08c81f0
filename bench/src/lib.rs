//! What the benches share: for each, our way and the bare library's way of doing the same work.
//!
//! Each bench runs the bare library beside our code over the same bytes, so that it shows our own overhead.
//! Nothing here judges: no absolute time and no ratio fails a bench.

mod bare_pushes;
mod bare_store;
mod commits;
mod driver_pushes;
mod group_store;
mod outside;
mod sample;
mod thread_time;

pub use bare_pushes::BarePushes;
pub use bare_store::BareStore;
pub use commits::Commits;
pub use driver_pushes::DriverPushes;
pub use group_store::GroupStore;
pub use outside::{Outside, SeenPush};
pub use sample::Samples;
pub use thread_time::ThreadTime;

use tempfile::TempDir;

/// A fresh folder on the disk of the target folder, since a temporary folder of the system may be in memory.
pub fn folder_on_disk(target: &str) -> TempDir {
    tempfile::tempdir_in(target).expect("the target folder can be written")
}
