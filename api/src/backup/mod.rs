//! Backups: made while the server runs, verified anywhere, restored into an empty folder.
//!
//! A backup is a folder with the database, the server's signing keys and a manifest of checksums. It is worth as much
//! as the database: whoever has it has the signing keys. A restored database is not served before an operator has
//! confirmed which phones may be used again: a backup does not know which of them were removed after it was made.

mod make;
mod manifest;
mod restore;

pub(crate) use make::{Made, make};
pub(crate) use manifest::verify;
pub(crate) use restore::{Restored, confirm, folder_for, refuse_unconfirmed, restore};

/// The folder of the database in the data folder and in a backup.
const DATABASE: &str = "db";

/// The file of the server's signing keys in the data folder and in a backup.
const SERVER_KEYS: &str = "server-keys.json";

/// Stands beside the tables in a backup and in no database that was restored: who copies a backup into its place is
/// told so.
const UNRESTORED: &str = "db/UNRESTORED";

/// Whether there is a database in this data folder.
pub(crate) fn has_database(data: &std::path::Path) -> bool {
    data.join(DATABASE).is_dir()
}

/// What went wrong with a backup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The system refused.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// There is nothing to work on.
    #[error("there is no database in {path}; check storage.path", path = .0.display())]
    NoDatabase(std::path::PathBuf),
    /// The storage failed.
    #[error("{0}")]
    Storage(#[from] tocsin_storage::StoreError),
    /// The backup is not what was made, or it stands where something else is; one fault a line.
    #[error("{0}")]
    Refused(String),
}

impl BackupError {
    fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}
