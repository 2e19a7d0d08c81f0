//! The manifest: every file of a backup with its size and SHA-256.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::BackupError;

/// The manifest's own name.
pub(super) const MANIFEST: &str = "manifest.json";

/// The form of manifests that this version writes and reads.
const FORMAT: u32 = 1;

/// Bytes of a file that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The form of this manifest.
    pub(crate) format: u32,
    /// When the backup was made, RFC 3339.
    pub(crate) made_at: String,
    /// Its files by their paths in the backup, parts joined by `/`.
    pub(crate) files: BTreeMap<String, FileEntry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Its size.
    pub(crate) bytes: u64,
    /// Its SHA-256 in hex.
    pub(crate) sha256: String,
}

impl Manifest {
    /// The manifest of what is in `folder` now.
    pub(super) fn of(folder: &Path, made_at: String) -> Result<Self, BackupError> {
        Ok(Self { format: FORMAT, made_at, files: entries(folder)? })
    }

    /// Reads the manifest of a backup.
    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(BackupError::io(&path))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| BackupError::Refused(format!("{}: is no manifest: {error}", path.display())))?;
        if manifest.format != FORMAT {
            let text =
                format!("{}: has format {}, this version knows {FORMAT}", path.display(), manifest.format);
            return Err(BackupError::Refused(text));
        }
        Ok(manifest)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.bytes).sum()
    }
}

/// Holds every file against the manifest; all faults at once.
pub(crate) fn verify(folder: &Path) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(folder)?;
    let found = entries(folder)?;
    let mut faults = Vec::new();
    for (name, entry) in &manifest.files {
        match found.get(name) {
            None => faults.push(format!("{name}: is missing")),
            Some(found) if found != entry => faults.push(format!("{name}: was changed")),
            Some(_) => {}
        }
    }
    let foreign = found.keys().filter(|name| !manifest.files.contains_key(*name));
    faults.extend(foreign.map(|name| format!("{name}: is not in the manifest")));
    if faults.is_empty() { Ok(manifest) } else { Err(BackupError::Refused(faults.join("\n"))) }
}

/// Every file below `folder` but the manifest.
fn entries(folder: &Path) -> Result<BTreeMap<String, FileEntry>, BackupError> {
    let mut entries = BTreeMap::new();
    let mut folders: Vec<(PathBuf, String)> = vec![(folder.to_owned(), String::new())];
    while let Some((path, prefix)) = folders.pop() {
        for entry in fs::read_dir(&path).map_err(BackupError::io(&path))? {
            let entry = entry.map_err(BackupError::io(&path))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(BackupError::io(&entry.path()))?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else if name != MANIFEST {
                entries.insert(name, hashed(&entry.path())?);
            }
        }
    }
    Ok(entries)
}

fn hashed(path: &Path) -> Result<FileEntry, BackupError> {
    let mut file = File::open(path).map_err(BackupError::io(path))?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let length = file.read(&mut chunk).map_err(BackupError::io(path))?;
        if length == 0 {
            break;
        }
        context.update(&chunk[..length]);
        bytes += length as u64;
    }
    let sha256 = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileEntry { bytes, sha256 })
}
