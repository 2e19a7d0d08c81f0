//! `tocsin backup`, `verify` and `restore`, and `tocsin audit verify`: on the data folder of a server that does not run.

use std::path::Path;
use std::sync::Arc;

use tocsin_config::{Config, Loaded};
use tocsin_engine::clock::Clock;
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{
    AuditChecked, AuditCheckpoint, AuditSummary, NoObserver, Store, StoreError, StoreErrorKind,
};

use super::print;
use crate::backup::{self, BackupError, Restored};
use crate::{Exit, master_key};

/// Makes a backup; a running server is asked at its ops door instead.
pub(super) fn make(loaded: &Loaded, folder: &Path) -> Exit {
    let clock = Clock::system();
    let made = open_present(&loaded.config, &clock).and_then(|store| {
        let made = backup::make(&store, &loaded.config.storage.path, folder, clock.now())?;
        store.close()?;
        Ok(made)
    });
    match made {
        Ok(made) => {
            print(&format!("{}: {} files, {} bytes\n", made.folder.display(), made.files, made.bytes))
        }
        Err(error) => failed(&error),
    }
}

/// Holds a backup against its manifest.
pub(super) fn verify(folder: &Path) -> Exit {
    match backup::verify(folder) {
        Ok(manifest) => {
            let (made_at, bytes) = (&manifest.made_at, manifest.bytes());
            print(&format!("{}: made at {made_at}, {bytes} bytes, as they were written\n", folder.display()))
        }
        Err(error) => failed(&error),
    }
}

/// Restores a backup into the data folder.
pub(super) fn restore(loaded: &Loaded, folder: &Path) -> Exit {
    let (config, clock) = (&loaded.config, Clock::system());
    let restored = run(backup::restore(folder, &config.storage.path, clock.now(), || open(config, &clock)));
    match restored {
        Ok(restored) => {
            let Restored { transactions, enrollments, devices } = restored;
            let ended = format!("Ended: {transactions} transactions, {enrollments} enrolments.");
            let unconfirmed = backup::refuse_unconfirmed(&config.storage.path).err();
            let before = unconfirmed.map(|what| format!("Before the server starts: {what}.\n"));
            let before = before.unwrap_or_default();
            print(&format!("Restored. {ended} {devices} phones are live.\n{before}"))
        }
        Err(error) => failed(&error),
    }
}

/// Takes the operator's word for the phones of a restored database.
pub(super) fn confirm(loaded: &Loaded, revoke: Option<&Path>) -> Exit {
    let (config, clock) = (&loaded.config, Clock::system());
    match run(backup::confirm(&config.storage.path, revoke, clock.now(), || open(config, &clock))) {
        Ok((revoked, live)) => {
            print(&format!("Confirmed. {revoked} phones were removed, {live} are live.\n"))
        }
        Err(error) => failed(&error),
    }
}

/// Checks every row of the audit trail.
pub(super) fn check_audit(loaded: &Loaded) -> Exit {
    let store = match open_present(&loaded.config, &Clock::system()) {
        Ok(store) => store,
        Err(error) => return failed(&error),
    };
    let mut checkpoint = AuditCheckpoint::default();
    loop {
        match run(store.check_audit(checkpoint)) {
            Ok(AuditChecked::More(next)) => checkpoint = next,
            Ok(AuditChecked::Sound(summary)) => {
                let AuditSummary { first, last, hash, .. } = summary;
                return print(&format!(
                    "Rows {first} to {last} are what was stored. The last hash is {hash}.\n"
                ));
            }
            Ok(AuditChecked::Broken(fault)) => {
                eprintln!("row {}: {}", fault.number, fault.what);
                return Exit::Failed;
            }
            Err(error) => return failed(&error.into()),
        }
    }
}

/// Opens the database if there is one. An empty one, made on the way, would be taken for the server's.
fn open_present(config: &Config, clock: &Clock) -> Result<RocksStore, BackupError> {
    if !backup::has_database(&config.storage.path) {
        return Err(BackupError::NoDatabase(config.storage.path.clone()));
    }
    Ok(open(config, clock)?)
}

fn open(config: &Config, clock: &Clock) -> Result<RocksStore, StoreError> {
    let sealer = master_key::sealer(config)
        .map_err(|error| StoreError::new(StoreErrorKind::MasterKey, error.to_string()))?;
    let clock = clock.clone();
    RocksStore::open_sealed(&config.storage, sealer, Arc::new(move || clock.now()), Arc::new(NoObserver))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(work)
}

fn failed(error: &BackupError) -> Exit {
    eprintln!("{error}");
    match error {
        BackupError::NoDatabase(_) => Exit::Configuration,
        BackupError::Storage(error) if error.kind() == StoreErrorKind::MasterKey => Exit::Configuration,
        BackupError::Storage(_) => Exit::Storage,
        BackupError::Io { .. } | BackupError::Refused(_) => Exit::Failed,
    }
}
