//! New credentials: a secret, shown once, and the block for the configuration, which holds only its hash. What
//! callbacks are signed with stands in the block itself, since the server needs it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tocsin_model::{ClientId, OperatorName, Secret};
use zeroize::Zeroizing;

use crate::callbacks::WEBHOOK_SECRET_PREFIX;
use crate::path::KeyPath;
use crate::types::Role;

/// Length of a secret in bytes: 256 bits, so that a plain hash of it cannot be searched.
const SECRET_BYTES: usize = 32;

/// A new client.
pub struct NewClient {
    /// The secret as the client sends it: 256 random bits in base64url without padding. Show it once.
    pub secret: Secret<String>,
    /// What its callbacks are signed with, for the portal to check them by; the block holds it too.
    pub webhook_secret: Secret<String>,
    /// The TOML to paste into the configuration file.
    pub block: String,
}

impl fmt::Debug for NewClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewClient").finish_non_exhaustive()
    }
}

/// A new token of the ops door.
#[derive(Debug)]
pub struct NewToken {
    /// The token as the operator sends it: 256 random bits in base64url without padding. Show it once.
    pub token: Secret<String>,
    /// The TOML to paste into the configuration file.
    pub block: String,
}

/// The system gave no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random numbers, so no secret was made")]
pub struct NewCredentialError;

impl NewClient {
    /// Makes a secret and the block for the client of this name.
    pub fn generate(name: &ClientId) -> Result<Self, NewCredentialError> {
        let (secret, hash) = new_secret()?;
        let webhook_secret = new_webhook_secret()?;
        Ok(Self { block: client_block(name, &hash, webhook_secret.expose()), secret, webhook_secret })
    }
}

impl NewToken {
    /// Makes a token and the block for the operator of this name.
    pub fn generate(name: &OperatorName, role: Role) -> Result<Self, NewCredentialError> {
        let (token, hash) = new_secret()?;
        let table = KeyPath::of(&["ops", "tokens", name.as_str()]);
        let block = format!(
            "[{table}]\n\
             # The hash of the token; the token itself is kept nowhere.\n\
             sha256 = \"{hash}\"\n\
             # What it may do: read, operate.\n\
             role = \"{}\"\n",
            role.as_str()
        );
        Ok(Self { token, block })
    }
}

/// A secret and the hash of its text in hex.
fn new_secret() -> Result<(Secret<String>, String), NewCredentialError> {
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    rand::fill(&mut *bytes).map_err(|_| NewCredentialError)?;
    let secret = Secret::new(URL_SAFE_NO_PAD.encode(*bytes));
    let hash = digest(&SHA256, secret.expose().as_bytes());
    let hash = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((secret, hash))
}

fn new_webhook_secret() -> Result<Secret<String>, NewCredentialError> {
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    rand::fill(&mut *bytes).map_err(|_| NewCredentialError)?;
    Ok(Secret::new(format!("{WEBHOOK_SECRET_PREFIX}{}", STANDARD.encode(*bytes))))
}

fn client_block(name: &ClientId, secret_sha256: &str, webhook_secret: &str) -> String {
    let table = KeyPath::of(&["clients", name.as_str()]);
    format!(
        "[{table}]\n\
         # The hash of its secret; the secret itself is kept nowhere.\n\
         secret_sha256 = \"{secret_sha256}\"\n\
         # What it may do: transactions, enrollments, devices, users, custom_delivery.\n\
         rights = [\"transactions\"]\n\
         # The realms whose users it may ask. Empty means none; [\"*\"] means all, also later ones.\n\
         realms = []\n\
         # The apps whose phones it may ask, enrol and list. Empty means none; [\"*\"] means all.\n\
         apps = []\n\
         # The authentication types it may start. Empty means none; [\"*\"] means all.\n\
         types = []\n\
         # The realm of a user named without one; needed unless there is only one realm to mean.\n\
         #default_realm = \"NAME\"\n\
         # What its callbacks are signed with. The portal needs it too; nobody else may read it.\n\
         webhook_secrets = [\"{webhook_secret}\"]\n"
    )
}
