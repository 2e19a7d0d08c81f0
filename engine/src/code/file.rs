//! The code keys in `code-keys.json` in the data folder, mode 0600, sealed where there is a master key.
//!
//! Unlike the server's signing keys nobody pins them: a lost file costs only the codes of open transactions, so a new one
//! is made in its place. A file that others may read is refused, because its keys may be known.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tocsin_model::{CodeKeyId, UnixMs};
use tocsin_storage::{SealError, Sealer};
use zeroize::Zeroizing;

use super::keys::CodeKey;
use crate::device::{base64url, decode, decode_array};
use crate::private_file::{self, FILE_BYTES_MAX, SecretText, Unread};

/// The name of the file in the data folder, which is also what it is sealed for.
const FILE_NAME: &str = "code-keys.json";

/// The format that this version reads and writes.
const FILE_FORMAT: u32 = 1;

/// Why the code keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CodeKeyError {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "{path} has mode {mode:03o}: others than its owner may use it; if nobody read it, run `chmod 600` on it, else \
         remove it: open transactions lose their codes, and a new one is made"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what was written.
    #[error(
        "{path} is not a file of code keys: {fault}; remove it: open transactions lose their codes, and a new one is made"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any of its content.
        fault: &'static str,
    },
    /// The file is sealed, and there is no master key.
    #[error("{path} is sealed, and no master key is configured: name it in [master_keys.NAME]")]
    NoMasterKey {
        /// The file.
        path: PathBuf,
    },
    /// The master keys do not open the file, or could not seal it.
    #[error("{path}: {source}")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: SealError,
    },
    /// The random number generator failed.
    #[error("the random number generator failed")]
    Random,
}

/// Where the file is and what seals it. Only the process that has the database reads or writes it.
pub(super) struct CodeKeyFile {
    folder: PathBuf,
    sealer: Option<Arc<Sealer>>,
}

/// The disk form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<StoredKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    k: SecretText,
    made_at_ms: u64,
}

impl CodeKeyFile {
    pub(super) fn new(folder: &Path, sealer: Option<Arc<Sealer>>) -> Self {
        Self { folder: folder.to_owned(), sealer }
    }

    /// The keys, none where there is no file, and whether the file is to be written anew as it stands.
    pub(super) fn load(&self) -> Result<(Vec<CodeKey>, bool), CodeKeyError> {
        let text = match private_file::read(&self.path()) {
            Ok(text) => text,
            Err(Unread::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), true)),
            Err(Unread::Io(source)) => return Err(self.failed(source)),
            Err(Unread::TooOpen(mode)) => return Err(CodeKeyError::TooOpen { path: self.path(), mode }),
        };
        let shape = |_| self.malformed("it is not JSON of the expected shape");
        let stored: Stored = serde_json::from_slice(&text).map_err(shape)?;
        if stored.format != FILE_FORMAT {
            return Err(self.malformed("its format is not 1, the one that this version reads"));
        }
        let Some(sealed) = &stored.sealed else {
            return Ok((self.restore(&stored.keys)?, self.sealer.is_some()));
        };
        let no_master_key = || CodeKeyError::NoMasterKey { path: self.path() };
        let sealer = self.sealer.as_ref().ok_or_else(no_master_key)?;
        let sealed = decode(sealed).ok_or_else(|| self.malformed("what is sealed is not base64url"))?;
        let opened = sealer.open(FILE_NAME, &sealed).map_err(|source| self.unsealed(source))?;
        let keys: Vec<StoredKey> = serde_json::from_slice(&opened).map_err(shape)?;
        Ok((self.restore(&keys)?, !sealer.has_sealed(&sealed)))
    }

    pub(super) fn store(&self, keys: &[CodeKey]) -> Result<(), CodeKeyError> {
        let keys: Vec<StoredKey> = keys.iter().map(StoredKey::of).collect();
        let failed = |error: serde_json::Error| self.failed(error.into());
        let buffer = || Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
        let stored = match &self.sealer {
            None => Stored { format: FILE_FORMAT, keys, sealed: None },
            Some(sealer) => {
                let mut plain = buffer();
                serde_json::to_writer(&mut *plain, &keys).map_err(failed)?;
                let sealed = sealer.seal(FILE_NAME, &plain).map_err(|source| self.unsealed(source))?;
                Stored { format: FILE_FORMAT, keys: Vec::new(), sealed: Some(base64url(&sealed)) }
            }
        };
        let mut text = buffer();
        serde_json::to_writer(&mut *text, &stored).map_err(failed)?;
        private_file::replace(&self.folder, FILE_NAME, &text).map_err(|source| self.failed(source))
    }

    fn restore(&self, stored: &[StoredKey]) -> Result<Vec<CodeKey>, CodeKeyError> {
        let keys: Option<Vec<CodeKey>> = stored.iter().map(StoredKey::restore).collect();
        keys.ok_or_else(|| self.malformed("an id is not 8 bytes or a key not 32 bytes of base64url"))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    fn failed(&self, source: io::Error) -> CodeKeyError {
        CodeKeyError::Io { path: self.path(), source }
    }

    fn malformed(&self, fault: &'static str) -> CodeKeyError {
        CodeKeyError::Malformed { path: self.path(), fault }
    }

    fn unsealed(&self, source: SealError) -> CodeKeyError {
        CodeKeyError::Sealed { path: self.path(), source }
    }
}

impl StoredKey {
    fn of(key: &CodeKey) -> Self {
        Self {
            id: base64url(key.id.as_bytes()),
            k: SecretText(Zeroizing::new(base64url(&*key.secret))),
            made_at_ms: key.made_at.get(),
        }
    }

    fn restore(&self) -> Option<CodeKey> {
        Some(CodeKey {
            id: CodeKeyId::from_bytes(decode_array(&self.id)?),
            secret: decode_array::<32>(&self.k.0).map(Zeroizing::new)?,
            made_at: UnixMs::new(self.made_at_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tocsin_storage::MasterKey;

    use super::*;
    use crate::code::CodeKeys;

    const NOW: UnixMs = UnixMs::new(1_700_000_000_000);

    fn sealer(bytes: &[u8]) -> Option<Arc<Sealer>> {
        let key = |byte: &u8| MasterKey::new(&[*byte; 32]);
        let (newest, older) = bytes.split_first()?;
        Some(Arc::new(Sealer::new(key(newest), older.iter().map(key).collect()).expect("different keys")))
    }

    fn file(folder: &Path) -> PathBuf {
        folder.join(FILE_NAME)
    }

    #[test]
    fn the_file_is_its_owners_alone_and_one_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        CodeKeys::open(folder.path(), None, NOW).expect("keys");
        let mode = || std::fs::metadata(file(folder.path())).expect("the file").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        for open in [0o640, 0o604] {
            let wider = std::fs::Permissions::from_mode(open);
            std::fs::set_permissions(file(folder.path()), wider).expect("our own file");
            let refused = CodeKeys::open(folder.path(), None, NOW).err().expect("refused").to_string();
            assert!(refused.contains("others than its owner"), "{refused}");
        }
    }

    #[test]
    fn a_master_key_seals_the_file_and_an_older_one_opens_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = || std::fs::read_to_string(file(folder.path())).expect("the file");
        let plain = CodeKeys::open(folder.path(), None, NOW).expect("keys");
        assert!(text().contains("\"k\""));
        let sealed = CodeKeys::open(folder.path(), sealer(&[1]), NOW).expect("keys");
        assert_eq!(sealed.newest(), plain.newest());
        assert!(!text().contains("\"k\""));
        let first = text();
        let changed = CodeKeys::open(folder.path(), sealer(&[2, 1]), NOW).expect("keys");
        assert_eq!(changed.newest(), plain.newest());
        assert_ne!(text(), first, "it is sealed anew by the present master key");
        for wrong in [None, sealer(&[3])] {
            assert!(CodeKeys::open(folder.path(), wrong, NOW).is_err());
        }
    }

    #[test]
    fn a_damaged_file_is_told_and_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        for damaged in [
            "",
            "{}",
            "{\"format\":2}",
            "{\"format\":1,\"keys\":[{\"id\":\"AA\",\"k\":\"AA\",\"made_at_ms\":1}]}",
        ] {
            private_file::replace(folder.path(), FILE_NAME, damaged.as_bytes()).expect("written");
            let refused = CodeKeys::open(folder.path(), None, NOW).err().expect("refused").to_string();
            assert!(refused.contains("is not a file of code keys"), "{refused}");
            assert_eq!(std::fs::read_to_string(file(folder.path())).expect("the file"), damaged);
        }
    }
}
