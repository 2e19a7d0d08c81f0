//! Small files that nobody but their owner may read, replaced as a whole: the server's keys and the code keys.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The largest file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Permission bits that must not be set: anything for group and others.
const MODE_FORBIDDEN: u32 = 0o077;

/// Why a private file is not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// What the operating system said.
    Io(io::Error),
    /// Others may read it; these are its permission bits.
    TooOpen(u32),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the whole file. The opened file is asked for its mode, not the path, so that what is checked is what is read.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(Unread::TooOpen(mode));
    }
    // As large as the file may be, so that no growing leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// Either the whole file is there after this, also across a power failure, or none. Nobody else may write it meanwhile.
pub(crate) fn replace(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// A text that is wiped when dropped.
pub(crate) struct SecretText(pub(crate) Zeroizing<String>);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new).map(Self)
    }
}
