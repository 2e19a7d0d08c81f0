//! The deployment's keys in `server-keys.json` in the data folder, mode 0600, sealed where there is a master key.
//!
//! Made at the first start and loaded ever after: phones pin them, so a lost file would mean that every phone must
//! enrol again, and no new one is made in its place. A file that others may read is refused, because its keys may be
//! known. A change replaces the whole file under a lock of its own, so that a command can rotate keys beside a running
//! server, which follows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tocsin_model::UnixMs;
use tocsin_storage::Sealer;
use zeroize::Zeroizing;

use super::{KeyRing, RotationRefused, SealFault, ServerKey, ServerKeyError, Start, pair_of};
use crate::device::encoding::{base64url, decode, decode_array, key_id_text, parse_key_id};
use crate::device::jwk::parse_jwk;
use crate::private_file::{self, FILE_BYTES_MAX, SecretText, Unread};

/// The name of the file in the data folder.
pub(super) const FILE_NAME: &str = "server-keys.json";
/// The file that is locked while the keys are changed.
const FILE_NAME_LOCK: &str = "server-keys.lock";
/// What the file is sealed for.
const SEAL_CONTEXT: &str = "server-keys.json";

/// Which version of the file was read: every change makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    inode: u64,
    modified_s: i64,
    modified_ns: i64,
}

/// Where the file is and what seals it.
pub(super) struct KeyFolder {
    folder: PathBuf,
    sealer: Option<Arc<Sealer>>,
}

impl KeyFolder {
    pub(super) fn new(folder: &Path, sealer: Option<Arc<Sealer>>) -> Self {
        Self { folder: folder.to_owned(), sealer }
    }

    /// The keys, made at the first start, and sealed by the present master key from now on.
    pub(super) fn load_or_create(
        &self,
        start: Start,
        now: UnixMs,
    ) -> Result<(KeyRing, FileStamp), ServerKeyError> {
        let _lock = self.lock()?;
        if !self.path().try_exists().map_err(|source| self.failed(source))? {
            match start {
                Start::First => self.store(&KeyRing(vec![ServerKey::generate(now)?]))?,
                Start::Later => return Err(ServerKeyError::Lost { path: self.path() }),
            }
        }
        let (ring, is_sealed_well) = self.read()?;
        if !is_sealed_well {
            self.store(&ring)?;
        }
        Ok((ring, self.stamp()?))
    }

    /// The keys as they stand. The stamp is taken first: a change in between is seen at the next look.
    pub(super) fn load(&self) -> Result<(KeyRing, FileStamp), ServerKeyError> {
        let stamp = self.stamp()?;
        self.read().map(|(ring, _)| (ring, stamp))
    }

    pub(super) fn stamp(&self) -> Result<FileStamp, ServerKeyError> {
        let found = std::fs::metadata(self.path()).map_err(|source| self.failed(source))?;
        Ok(FileStamp { inode: found.ino(), modified_s: found.mtime(), modified_ns: found.mtime_nsec() })
    }

    pub(super) fn change(
        &self,
        change: impl FnOnce(KeyRing) -> Result<KeyRing, RotationRefused>,
    ) -> Result<Result<(), RotationRefused>, ServerKeyError> {
        let _lock = self.lock()?;
        let (ring, _) = self.read()?;
        match change(ring) {
            Ok(changed) => self.store(&changed).map(Ok),
            Err(refused) => Ok(Err(refused)),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    fn failed(&self, source: io::Error) -> ServerKeyError {
        ServerKeyError::Io { path: self.path(), source }
    }

    /// Freed when it is dropped.
    fn lock(&self) -> Result<File, ServerKeyError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.folder.join(FILE_NAME_LOCK)).map_err(|source| self.failed(source))?;
        file.lock().map_err(|source| self.failed(source))?;
        Ok(file)
    }

    /// The keys, and whether the file is as this sealer would write it.
    fn read(&self) -> Result<(KeyRing, bool), ServerKeyError> {
        let text = self.read_text()?;
        let malformed = |fault| ServerKeyError::Malformed { path: self.path(), fault };
        let stored: KeyFile =
            serde_json::from_slice(&text).map_err(|_| malformed("it is not JSON of the expected shape"))?;
        if stored.format != FILE_FORMAT {
            return Err(malformed("its format is not 1, the one that this version reads"));
        }
        let Some(sealed) = &stored.sealed else {
            return Ok((restore(&stored.keys).map_err(malformed)?, self.sealer.is_none()));
        };
        let refused = |source: SealFault| ServerKeyError::Sealed { path: self.path(), source };
        let sealer = self.sealer.as_ref().ok_or_else(|| refused(SealFault::NoMasterKey))?;
        let sealed = decode(sealed).ok_or_else(|| malformed("what is sealed is not base64url"))?;
        let opened = sealer.open(SEAL_CONTEXT, &sealed).map_err(|error| refused(error.into()))?;
        let keys: Vec<StoredKey> = serde_json::from_slice(&opened)
            .map_err(|_| malformed("what is sealed is not JSON of the expected shape"))?;
        Ok((restore(&keys).map_err(malformed)?, sealer.has_sealed(&sealed)))
    }

    fn read_text(&self) -> Result<Zeroizing<Vec<u8>>, ServerKeyError> {
        private_file::read(&self.path()).map_err(|unread| match unread {
            Unread::Io(source) => self.failed(source),
            Unread::TooOpen(mode) => ServerKeyError::TooOpen { path: self.path(), mode },
        })
    }

    fn store(&self, ring: &KeyRing) -> Result<(), ServerKeyError> {
        let failed = |_| ServerKeyError::Crypto { attempt: "write out the server keys" };
        let keys = ring.0.iter().map(StoredKey::of).collect::<Result<Vec<_>, _>>()?;
        let file = match &self.sealer {
            None => KeyFile { format: FILE_FORMAT, keys, sealed: None },
            Some(sealer) => {
                let mut plain = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
                serde_json::to_writer(&mut *plain, &keys).map_err(failed)?;
                let refused = |error: tocsin_storage::SealError| ServerKeyError::Sealed {
                    path: self.path(),
                    source: error.into(),
                };
                let sealed = sealer.seal(SEAL_CONTEXT, &plain).map_err(refused)?;
                KeyFile { format: FILE_FORMAT, keys: Vec::new(), sealed: Some(base64url(&sealed)) }
            }
        };
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
        serde_json::to_writer(&mut *text, &file).map_err(failed)?;
        private_file::replace(&self.folder, FILE_NAME, &text).map_err(|source| self.failed(source))
    }
}

/// The disk form: private JWKs (RFC 7518, section 6.2.2) under a format number, or the same, sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    pub(super) format: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<StoredKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredKey {
    kty: String,
    crv: String,
    kid: String,
    x: String,
    y: String,
    pub(super) d: SecretText,
    #[serde(default)]
    not_before_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at_ms: Option<u64>,
}

const FILE_FORMAT: u32 = 1;

impl StoredKey {
    pub(super) fn of(key: &ServerKey) -> Result<Self, ServerKeyError> {
        Ok(Self {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            kid: key_id_text(&key.kid),
            x: base64url(&key.public_key.x),
            y: base64url(&key.public_key.y),
            d: SecretText(Zeroizing::new(base64url(&*key.secret()?))),
            not_before_ms: key.not_before.get(),
            retired_at_ms: key.retired_at.map(UnixMs::get),
        })
    }

    fn restore(&self) -> Result<ServerKey, &'static str> {
        let text = |value: &str| Value::String(value.to_owned());
        let public: Map<String, Value> =
            [("kty", &self.kty), ("crv", &self.crv), ("x", &self.x), ("y", &self.y)]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), text(value)))
                .collect();
        let public_key = parse_jwk(&public).map_err(|_| "a public half is not a P-256 key")?;
        let kid = parse_key_id(&self.kid).ok_or("a kid is not 16 bytes of base64url")?;
        let secret =
            decode_array::<32>(&self.d.0).map(Zeroizing::new).ok_or("a private half is not 32 bytes")?;
        let pair = pair_of(&secret, &public_key).map_err(|_| "the halves of a key do not fit")?;
        let not_before = UnixMs::new(self.not_before_ms);
        Ok(ServerKey { kid, public_key, pair, not_before, retired_at: self.retired_at_ms.map(UnixMs::new) })
    }
}

fn restore(stored: &[StoredKey]) -> Result<KeyRing, &'static str> {
    if stored.is_empty() {
        return Err("it holds no key");
    }
    stored.iter().map(StoredKey::restore).collect::<Result<_, _>>().map(KeyRing)
}
