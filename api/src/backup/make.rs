//! Making a backup.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tocsin_model::UnixMs;
use tocsin_storage::rocks::RocksStore;

use super::manifest::{MANIFEST, Manifest};
use super::{BackupError, DATABASE, SERVER_KEYS, UNRESTORED};
use crate::door::rfc3339;

/// Only the server's user may look into a backup, which has the signing keys.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// How many files it has beside its manifest.
    pub(crate) files: usize,
    /// How large they are together.
    pub(crate) bytes: u64,
}

/// Makes a backup of the open `store`, whose data folder is `data`, in `folder`, which must not exist. It appears
/// there whole or not at all. Blocks on the disk.
pub(crate) fn make(store: &RocksStore, data: &Path, folder: &Path, now: UnixMs) -> Result<Made, BackupError> {
    if folder.exists() {
        return Err(BackupError::Refused(format!("{} exists already", folder.display())));
    }
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = folder.with_file_name(name);
    let mut private = DirBuilder::new();
    private.recursive(true).mode(FOLDER_MODE).create(parent_of(&part)).map_err(BackupError::io(&part))?;
    // What stands there already is somebody else's: nothing of it may go into a backup or be removed with a failed one.
    private.recursive(false).create(&part).map_err(BackupError::io(&part))?;
    let made = fill(store, data, &part, now).and_then(|manifest| {
        fs::rename(&part, folder).map_err(BackupError::io(folder))?;
        sync_folder(parent_of(folder))?;
        Ok(Made { folder: folder.to_owned(), files: manifest.files.len(), bytes: manifest.bytes() })
    });
    if made.is_err() {
        // What is left of a failed try is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_dir_all(&part);
    }
    made
}

fn fill(store: &RocksStore, data: &Path, part: &Path, now: UnixMs) -> Result<Manifest, BackupError> {
    store.checkpoint(&part.join(DATABASE))?;
    write_private(&part.join(UNRESTORED), b"Bring this database back by `tocsin restore`.\n")?;
    let keys = data.join(SERVER_KEYS);
    if keys.exists() {
        copy_private(&keys, &part.join(SERVER_KEYS))?;
    }
    let manifest = Manifest::of(part, rfc3339(now))?;
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(|error| BackupError::Refused(error.to_string()))?;
    write_private(&part.join(MANIFEST), &text)?;
    sync_folder(part)?;
    Ok(manifest)
}

/// The folder that a path names something in; of a bare name it is the present one.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies a file; nobody but its owner may read the copy.
pub(super) fn copy_private(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(BackupError::io(from))?;
    let mut target = new_private(to)?;
    std::io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(BackupError::io(to))
}

/// Writes a new file that nobody but its owner may read.
pub(super) fn write_private(path: &Path, text: &[u8]) -> Result<(), BackupError> {
    let mut file = new_private(path)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(BackupError::io(path))
}

fn new_private(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path).map_err(BackupError::io(path))
}

/// Makes names in a folder outlive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io(folder))
}
