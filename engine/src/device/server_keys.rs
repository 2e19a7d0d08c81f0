//! The server's signing keys: P-256, those of the whole deployment and those of single devices.
//!
//! `file` keeps the deployment's in the data folder, `ring` says which of them signs when, `set` signs what phones are
//! told of them. A device of an app with `unique_server_keys` has a key of its own, which lives in its record as long
//! as it. Private halves appear in no debug print; buffers that held one are wiped.

mod file;
mod ring;
mod set;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use arc_swap::ArcSwap;
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;
use tocsin_model::{Device, DurationMs, Enrollment, KeyId, PublicKey, ServerKeyPair, UnixMs};
use tocsin_storage::{SealError, Sealer};
use zeroize::Zeroizing;

use super::encoding::{base64url, key_id_text};
use super::jose::TokenType;
use super::jwk::{sha256, thumbprint, uncompressed_point};
use file::{FileStamp, KeyFolder};
pub use ring::{KeyRing, RotationRefused};

/// Why the server's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerKeyError {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "{path} has mode {mode:03o}: others than its owner may use it; if nobody read it, run `chmod 600` on it, \
         else remove it and let every phone enrol again"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what was written.
    #[error("{path} is not a server key file: {fault}; restore it from the backup")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any of its content.
        fault: &'static str,
    },
    /// The file is sealed by a master key that is not configured, or does not open.
    #[error("{path}: {source}")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why it does not open; `None` when there is no master key.
        source: SealFault,
    },
    /// The file is gone, and phones are enrolled that trust the keys in it.
    #[error(
        "{path} is gone, and phones trust the keys that it held: restore it from the backup. To give up all enrolled \
         phones instead, begin with an empty data folder"
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The cryptographic library made no key or signature.
    #[error("the cryptographic library failed to {attempt}")]
    Crypto {
        /// What was tried.
        attempt: &'static str,
    },
}

/// Why a sealed key file does not open.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum SealFault {
    /// There is no master key.
    #[error("it is sealed, and no master key is configured: name it in [master_keys.NAME]")]
    NoMasterKey,
    /// The master keys do not open it.
    #[error(transparent)]
    Refused(#[from] SealError),
}

/// One signing key of the server.
pub struct ServerKey {
    kid: KeyId,
    public_key: PublicKey,
    pair: EcdsaKeyPair,
    not_before: UnixMs,
    retired_at: Option<UnixMs>,
}

/// The public half of a server key as phones are told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerJwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    kid: String,
    #[serde(rename = "use")]
    key_use: &'static str,
    alg: &'static str,
}

/// How long keys live: a new one is published before it signs, a retired one goes on signing the published set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLives {
    /// Between the making of a key and its first challenge.
    pub overlap: DurationMs,
    /// Between the retirement of a key and its end.
    pub retired: DurationMs,
}

/// The server's signing keys, as they stand now; clones share them.
#[derive(Clone)]
pub struct ServerKeys(Arc<Shared>);

struct Shared {
    folder: KeyFolder,
    ring: ArcSwap<KeyRing>,
    seen: Mutex<FileStamp>,
    lives: KeyLives,
}

/// Whether there was a start before, so that there must be keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// None: keys are made when there are none.
    First,
    /// At least one.
    Later,
}

/// The lives that the configuration has by default.
impl Default for KeyLives {
    fn default() -> Self {
        let day_s = 24 * 60 * 60;
        Self { overlap: DurationMs::from_seconds(30 * day_s), retired: DurationMs::from_seconds(400 * day_s) }
    }
}

impl ServerKeys {
    /// Loads the keys of `data_folder`, or makes and stores one at the first start. Blocks on the disk.
    pub fn load_or_create(data_folder: &Path) -> Result<Self, ServerKeyError> {
        Self::open(data_folder, None, KeyLives::default(), Start::First, UnixMs::new(0))
    }

    /// As [`ServerKeys::load_or_create`], with a master key and lives; a file that its present master key has not
    /// sealed is sealed anew.
    pub fn open(
        data_folder: &Path,
        sealer: Option<Arc<Sealer>>,
        lives: KeyLives,
        start: Start,
        now: UnixMs,
    ) -> Result<Self, ServerKeyError> {
        let folder = KeyFolder::new(data_folder, sealer);
        let (ring, seen) = folder.load_or_create(start, now)?;
        Ok(Self(Arc::new(Shared {
            folder,
            ring: ArcSwap::from_pointee(ring),
            seen: Mutex::new(seen),
            lives,
        })))
    }

    /// The keys at this moment.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.0.ring.load_full()
    }

    /// How long keys live.
    pub fn lives(&self) -> KeyLives {
        self.0.lives
    }

    /// Takes over what a command has changed in the file; answers whether it had. Blocks on the disk.
    pub fn follow_file(&self) -> Result<bool, ServerKeyError> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.folder.stamp()? == *seen {
            return Ok(false);
        }
        let (ring, stamp) = self.0.folder.load()?;
        *seen = stamp;
        self.0.ring.store(Arc::new(ring));
        Ok(true)
    }

    /// Changes the keys and stores them; one such change at a time, whichever process makes it. Blocks on the disk.
    pub fn change(
        &self,
        change: impl FnOnce(KeyRing) -> Result<KeyRing, RotationRefused>,
    ) -> Result<Result<(), RotationRefused>, ServerKeyError> {
        let changed = self.0.folder.change(change)?;
        self.follow_file()?;
        Ok(changed)
    }

    /// The keys that a new enrolment is told: those that sign challenges now or will.
    pub fn enrolment_kids(&self, now: UnixMs) -> Vec<KeyId> {
        self.ring().for_enrolment(now).map(|key| key.kid).collect()
    }

    /// The public halves of an enrolment's set, as its reply lists them. A key that was compromised since is gone.
    pub fn jwks_of(&self, enrollment: &Enrollment, device: Option<&Device>) -> Vec<ServerJwk> {
        match own_key(enrollment, device) {
            Some(own) => vec![ServerJwk::of(&own.kid, &own.public_key)],
            None => self.ring().named(&enrollment.server_kids).map(|key| key.jwk()).collect(),
        }
    }

    /// The hash `k` of [`ServerKeys::jwks_of`].
    pub fn key_set_hash_of(&self, enrollment: &Enrollment) -> String {
        match own_key(enrollment, None) {
            Some(own) => key_set_hash([&own.public_key]),
            None => key_set_hash(self.ring().named(&enrollment.server_kids).map(ServerKey::public_key)),
        }
    }

    /// A compact challenge over `payload` for this device, by its own key if it has one, else by the one that
    /// signs now; a private-key operation, for the signature pool.
    pub fn sign_challenge(
        &self,
        own: Option<&ServerKeyPair>,
        now: UnixMs,
        payload: &[u8],
    ) -> Result<String, ServerKeyError> {
        match own {
            Some(own) => ServerKey::restore(own)?.sign(TokenType::Challenge, payload),
            None => self.ring().signing(now).sign(TokenType::Challenge, payload),
        }
    }

    /// What `GET /device/v1/server-keys` answers this device; private-key operations, for the signature pool.
    pub fn signed_set(
        &self,
        own: Option<&ServerKeyPair>,
        issuer: &str,
        now: UnixMs,
    ) -> Result<String, ServerKeyError> {
        match own {
            Some(own) => set::signed(&[&ServerKey::restore(own)?], issuer, now),
            None => {
                let ring = self.ring();
                let published: Vec<&ServerKey> = ring.published(now, self.0.lives.retired).collect();
                set::signed(&published, issuer, now)
            }
        }
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ServerKeys").field(&*self.ring()).finish()
    }
}

/// A key of its own, in the device's record once there is one, before in the enrolment's.
fn own_key<'r>(enrollment: &'r Enrollment, device: Option<&'r Device>) -> Option<&'r ServerKeyPair> {
    device.and_then(|device| device.server_key.as_deref()).or(enrollment.server_key.as_deref())
}

/// A key pair for one device, made when its enrolment is opened.
pub fn unique_key_pair() -> Result<ServerKeyPair, ServerKeyError> {
    let key = ServerKey::generate(UnixMs::new(0))?;
    let secret = key.secret()?;
    Ok(ServerKeyPair {
        kid: key.kid,
        public_key: key.public_key,
        secret: tocsin_model::ServerSecret::new(*secret),
    })
}

impl ServerKey {
    fn generate(not_before: UnixMs) -> Result<Self, ServerKeyError> {
        let failed = |_| ServerKeyError::Crypto { attempt: "make a server key" };
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let mut kid = [0; 16];
        aws_lc_rs::rand::fill(&mut kid).map_err(failed)?;
        let (kid, public_key) = (KeyId::from_bytes(kid), public_half(&pair));
        Ok(Self { kid, public_key, pair, not_before, retired_at: None })
    }

    fn restore(own: &ServerKeyPair) -> Result<Self, ServerKeyError> {
        let pair = pair_of(own.secret.expose(), &own.public_key)
            .map_err(|_| ServerKeyError::Crypto { attempt: "take up a device's server key" })?;
        let (kid, public_key) = (own.kid, own.public_key);
        Ok(Self { kid, public_key, pair, not_before: UnixMs::new(0), retired_at: None })
    }

    fn secret(&self) -> Result<Zeroizing<[u8; 32]>, ServerKeyError> {
        let secret = self.pair.private_key().as_be_bytes();
        let secret = secret.map_err(|_| ServerKeyError::Crypto { attempt: "write out a server key" })?;
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(secret.as_ref());
        Ok(bytes)
    }

    /// From when on it signs challenges.
    pub fn not_before(&self) -> UnixMs {
        self.not_before
    }

    /// From when on it signs challenges no more.
    pub fn retired_at(&self) -> Option<UnixMs> {
        self.retired_at
    }

    /// The name that the headers of its signatures carry.
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn jwk(&self) -> ServerJwk {
        ServerJwk::of(&self.kid, &self.public_key)
    }

    /// A compact JWS of type `typ` over `payload`; a private-key operation, for the signature pool.
    pub fn sign(&self, typ: TokenType, payload: &[u8]) -> Result<String, ServerKeyError> {
        let protected = self.protected(typ);
        let payload = base64url(payload);
        let signature = self.signature(&protected, &payload)?;
        Ok(format!("{protected}.{payload}.{signature}"))
    }

    /// The protected header, encoded.
    fn protected(&self, typ: TokenType) -> String {
        let kid = key_id_text(&self.kid);
        base64url(format!(r#"{{"alg":"ES256","typ":"{}","kid":"{kid}"}}"#, typ.as_str()).as_bytes())
    }

    /// The signature over an encoded header and payload, encoded.
    fn signature(&self, protected: &str, payload: &str) -> Result<String, ServerKeyError> {
        let signed = self.pair.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes());
        let signature = signed.map_err(|_| ServerKeyError::Crypto { attempt: "sign" })?;
        Ok(base64url(signature.as_ref()))
    }
}

impl ServerJwk {
    fn of(kid: &KeyId, key: &PublicKey) -> Self {
        let (x, y) = (base64url(&key.x), base64url(&key.y));
        Self { kty: "EC", crv: "P-256", x, y, kid: key_id_text(kid), key_use: "sig", alg: "ES256" }
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The hash `k` of a key set, which an activation link carries and a phone compares: base64url SHA-256 of the
/// keys' RFC 7638 thumbprints in base64url, sorted as text and joined by `.`. The order of the keys is of no
/// account; the set is that of one enrolment's reply, without doubles.
pub fn key_set_hash<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> String {
    let mut thumbprints: Vec<String> =
        keys.into_iter().map(|key| base64url(thumbprint(key).as_bytes())).collect();
    thumbprints.sort_unstable();
    base64url(&sha256(thumbprints.join(".").as_bytes()))
}

fn public_half(pair: &EcdsaKeyPair) -> PublicKey {
    let point = pair.public_key().as_ref();
    let mut key = PublicKey { x: [0; 32], y: [0; 32] };
    // P-256 in uncompressed form: 04 ‖ x ‖ y, 65 bytes.
    key.x.copy_from_slice(&point[1..33]);
    key.y.copy_from_slice(&point[33..65]);
    key
}

/// The pair of these halves, if they fit.
fn pair_of(secret: &[u8; 32], public_key: &PublicKey) -> Result<EcdsaKeyPair, aws_lc_rs::error::KeyRejected> {
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        secret,
        &uncompressed_point(public_key),
    )
}

#[cfg(test)]
mod tests;
