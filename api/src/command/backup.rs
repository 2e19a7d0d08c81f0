//! `tocsin backup`, `verify` and `restore`, and `tocsin audit verify`: on the data folder of a server that does not run.

use std::path::Path;
use std::sync::Arc;

use tocsin_config::{Config, Loaded};
use tocsin_engine::clock::Clock;
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{AuditChecked, AuditCheckpoint, NoObserver, Store, StoreError, StoreErrorKind};

use crate::backup::{self, BackupError};
use crate::{Exit, master_key};

/// Makes a backup; a running server is asked at its ops door instead.
pub(super) fn make(loaded: &Loaded, folder: &Path) -> Exit {
    let clock = Clock::system();
    let made = open(&loaded.config, &clock).map_err(BackupError::from).and_then(|store| {
        let made = backup::make(&store, &loaded.config.storage.path, folder, clock.now())?;
        store.close()?;
        Ok(made)
    });
    match made {
        Ok(made) => {
            println!("{}: {} files, {} bytes", made.folder.display(), made.files, made.bytes);
            Exit::Done
        }
        Err(error) => failed(&error),
    }
}

/// Holds a backup against its manifest.
pub(super) fn verify(folder: &Path) -> Exit {
    match backup::verify(folder) {
        Ok(manifest) => {
            println!(
                "{}: made at {}, {} bytes, as they were written",
                folder.display(),
                manifest.made_at,
                manifest.bytes()
            );
            Exit::Done
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
            println!(
                "Restored. Ended: {} transactions, {} enrolments. {} phones are live.",
                restored.transactions, restored.enrollments, restored.devices
            );
            if let Err(what) = backup::refuse_unconfirmed(&config.storage.path) {
                println!("Before the server starts: {what}.");
            }
            Exit::Done
        }
        Err(error) => failed(&error),
    }
}

/// Takes the operator's word for the phones of a restored database.
pub(super) fn confirm(loaded: &Loaded, revoke: Option<&Path>) -> Exit {
    let (config, clock) = (&loaded.config, Clock::system());
    match run(backup::confirm(&config.storage.path, revoke, clock.now(), || open(config, &clock))) {
        Ok((revoked, live)) => {
            println!("Confirmed. {revoked} phones were removed, {live} are live.");
            Exit::Done
        }
        Err(error) => failed(&error),
    }
}

/// Checks every row of the audit trail.
pub(super) fn check_audit(loaded: &Loaded) -> Exit {
    let store = match open(&loaded.config, &Clock::system()) {
        Ok(store) => store,
        Err(error) => return failed(&error.into()),
    };
    let mut checkpoint = AuditCheckpoint::default();
    loop {
        match run(store.check_audit(checkpoint)) {
            Ok(AuditChecked::More(next)) => checkpoint = next,
            Ok(AuditChecked::Sound(summary)) => {
                println!(
                    "Rows {} to {} are what was stored. The last hash is {}.",
                    summary.first, summary.last, summary.hash
                );
                return Exit::Done;
            }
            Ok(AuditChecked::Broken(fault)) => {
                eprintln!("row {}: {}", fault.number, fault.what);
                return Exit::Failed;
            }
            Err(error) => return failed(&error.into()),
        }
    }
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
        BackupError::Storage(_) => Exit::Storage,
        BackupError::Io { .. } | BackupError::Refused(_) => Exit::Failed,
    }
}
