//! The server's signing keys: P-256, in `server-keys.json` in the data folder, mode 0600.
//!
//! Made at the first start and loaded ever after: phones pin them, so a lost file means that every phone must
//! enrol again. A file that others may read is refused, because its keys may be known. Private halves appear in
//! no debug print; buffers that held one are wiped. Replacing keys is not done here yet.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use tocsin_model::{KeyId, PublicKey};
use zeroize::Zeroizing;

use super::encoding::{base64url, decode_array, key_id_text, parse_key_id};
use super::jose::TokenType;
use super::jwk::{parse_jwk, sha256, thumbprint, uncompressed_point};

/// The name of the file in the data folder.
const FILE_NAME: &str = "server-keys.json";
/// The name under which a new file is written before it takes its place.
const FILE_NAME_NEW: &str = "server-keys.json.new";
/// The largest key file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Permission bits that must not be set: anything for group and others.
const MODE_FORBIDDEN: u32 = 0o077;

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
    /// The cryptographic library made no key or signature.
    #[error("the cryptographic library failed to {attempt}")]
    Crypto {
        /// What was tried.
        attempt: &'static str,
    },
}

/// One signing key of the server.
pub struct ServerKey {
    kid: KeyId,
    public_key: PublicKey,
    pair: EcdsaKeyPair,
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

/// The server's signing keys, never empty; the first one signs.
#[derive(Debug)]
pub struct ServerKeys(Vec<ServerKey>);

impl ServerKeys {
    /// Loads the keys of `data_folder`, or makes and stores one at the first start. Blocks on the disk.
    pub fn load_or_create(data_folder: &Path) -> Result<Self, ServerKeyError> {
        let path = data_folder.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => load(&path, file),
            Err(error) if error.kind() == ErrorKind::NotFound => create(data_folder),
            Err(source) => Err(ServerKeyError::Io { path, source }),
        }
    }

    /// The key that signs now.
    pub fn current(&self) -> &ServerKey {
        &self.0[0]
    }

    /// The public halves, as the reply to an enrolment lists them.
    pub fn jwks(&self) -> Vec<ServerJwk> {
        self.0.iter().map(ServerKey::jwk).collect()
    }

    /// The hash `k` of [`ServerKeys::jwks`].
    pub fn key_set_hash(&self) -> String {
        key_set_hash(self.0.iter().map(ServerKey::public_key))
    }
}

impl ServerKey {
    fn generate() -> Result<Self, ServerKeyError> {
        let failed = |_| ServerKeyError::Crypto { attempt: "make a server key" };
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let mut kid = [0; 16];
        aws_lc_rs::rand::fill(&mut kid).map_err(failed)?;
        Ok(Self { kid: KeyId::from_bytes(kid), public_key: public_half(&pair), pair })
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
        ServerJwk {
            kty: "EC",
            crv: "P-256",
            x: base64url(&self.public_key.x),
            y: base64url(&self.public_key.y),
            kid: key_id_text(&self.kid),
            key_use: "sig",
            alg: "ES256",
        }
    }

    /// A compact JWS of type `typ` over `payload`; a private-key operation, for the signature pool.
    pub fn sign(&self, typ: TokenType, payload: &[u8]) -> Result<String, ServerKeyError> {
        let header =
            format!(r#"{{"alg":"ES256","typ":"{}","kid":"{}"}}"#, typ.as_str(), key_id_text(&self.kid));
        let signing_input = format!("{}.{}", base64url(header.as_bytes()), base64url(payload));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signing_input.as_bytes())
            .map_err(|_| ServerKeyError::Crypto { attempt: "sign" })?;
        Ok(format!("{signing_input}.{}", base64url(signature.as_ref())))
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

/// The disk form: private JWKs (RFC 7518, section 6.2.2) under a format number.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    kty: String,
    crv: String,
    kid: String,
    x: String,
    y: String,
    d: SecretText,
}

const FILE_FORMAT: u32 = 1;

/// A text that is wiped when dropped.
struct SecretText(Zeroizing<String>);

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

impl StoredKey {
    fn of(key: &ServerKey) -> Result<Self, ServerKeyError> {
        let secret = key.pair.private_key().as_be_bytes();
        let secret = secret.map_err(|_| ServerKeyError::Crypto { attempt: "write out a server key" })?;
        Ok(Self {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            kid: key_id_text(&key.kid),
            x: base64url(&key.public_key.x),
            y: base64url(&key.public_key.y),
            d: SecretText(Zeroizing::new(base64url(secret.as_ref()))),
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
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            secret.as_slice(),
            &uncompressed_point(&public_key),
        );
        let pair = pair.map_err(|_| "the halves of a key do not fit")?;
        Ok(ServerKey { kid, public_key, pair })
    }
}

fn load(path: &Path, file: File) -> Result<ServerKeys, ServerKeyError> {
    let failed = |source| ServerKeyError::Io { path: path.to_owned(), source };
    let malformed = |fault| ServerKeyError::Malformed { path: path.to_owned(), fault };
    // The opened file is asked, not the path, so that what is checked is what is read.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(ServerKeyError::TooOpen { path: path.to_owned(), mode });
    }
    // As large as the file may be, so that no growing leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let stored: KeyFile =
        serde_json::from_str(&text).map_err(|_| malformed("it is not JSON of the expected shape"))?;
    if stored.format != FILE_FORMAT {
        return Err(malformed("its format is not 1, the one that this version reads"));
    }
    if stored.keys.is_empty() {
        return Err(malformed("it holds no key"));
    }
    let keys: Result<Vec<_>, _> = stored.keys.iter().map(StoredKey::restore).collect();
    keys.map(ServerKeys).map_err(malformed)
}

fn create(data_folder: &Path) -> Result<ServerKeys, ServerKeyError> {
    let key = ServerKey::generate()?;
    let stored = KeyFile { format: FILE_FORMAT, keys: vec![StoredKey::of(&key)?] };
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    serde_json::to_writer(&mut *text, &stored)
        .map_err(|_| ServerKeyError::Crypto { attempt: "write out a server key" })?;
    write_new(data_folder, &text)
        .map_err(|source| ServerKeyError::Io { path: data_folder.join(FILE_NAME), source })?;
    Ok(ServerKeys(vec![key]))
}

/// Either the whole file is there after this, also across a power failure, or none. One process at a time has
/// the data folder (the database's lock), so that nobody else writes here.
fn write_new(data_folder: &Path, text: &[u8]) -> io::Result<()> {
    let new = data_folder.join(FILE_NAME_NEW);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, data_folder.join(FILE_NAME))?;
    File::open(data_folder)?.sync_all()
}

#[cfg(test)]
#[path = "server_keys_tests.rs"]
mod tests;
