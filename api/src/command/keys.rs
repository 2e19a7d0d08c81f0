//! `tocsin keys list` and `tocsin keys rotate [--compromised [KID]]`
//!
//! Both work on the key file alone, under its lock, and so beside a running server, which follows within seconds.
//! Whoever may change the file could do so without us; no token is asked for.

use tocsin_config::{Config, Loaded};
use tocsin_engine::clock::Clock;
use tocsin_engine::device::{
    KeyRing, RotationRefused, ServerKey, ServerKeyError, ServerKeys, Start, key_id_text,
};
use tocsin_model::UnixMs;

use crate::door::rfc3339;
use crate::master_key::{self, MasterKeyError};
use crate::{Exit, serve};

/// Which keys were compromised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compromised {
    /// None: this is a rotation in order.
    No,
    /// The one that signs.
    Signing,
    /// The one of this name.
    Named(String),
}

/// Why the keys could not be shown or changed.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("a master key cannot be had: {0}")]
    MasterKey(#[from] MasterKeyError),
    #[error("the server's key file cannot be used: {0}")]
    File(#[from] ServerKeyError),
    #[error("the keys are as they were: {0}")]
    Refused(#[from] RotationRefused),
    #[error("the folder {0} does not exist; start the server once, or check storage.path")]
    NoFolder(String),
}

impl KeysError {
    fn exit(&self) -> Exit {
        match self {
            Self::MasterKey(_) | Self::File(ServerKeyError::Sealed { .. }) | Self::NoFolder(_) => {
                Exit::Configuration
            }
            Self::File(_) => Exit::Storage,
            Self::Refused(_) => Exit::Failed,
        }
    }
}

/// Prints the keys, one a line.
pub(super) fn list(loaded: &Loaded) -> Exit {
    finish(open(&loaded.config).map(|(keys, now)| table(&keys.ring(), now)))
}

/// Rotates the keys and prints what came of it.
pub(super) fn rotate(loaded: &Loaded, compromised: &Compromised) -> Exit {
    finish(rotated(&loaded.config, compromised))
}

fn finish(done: Result<String, KeysError>) -> Exit {
    match done {
        Ok(table) => super::print(&table),
        Err(error) => {
            eprintln!("{error}");
            error.exit()
        }
    }
}

fn rotated(config: &Config, compromised: &Compromised) -> Result<String, KeysError> {
    let (keys, now) = open(config)?;
    let lives = keys.lives();
    let kid = match compromised {
        Compromised::No | Compromised::Signing => None,
        Compromised::Named(text) => Some(named(&keys.ring(), text)?),
    };
    keys.change(|ring| match compromised {
        Compromised::No => ring.rotated(now, lives.overlap, lives.retired),
        Compromised::Signing | Compromised::Named(_) => ring.without_compromised(kid, now),
    })??;
    Ok(table(&keys.ring(), now))
}

fn named(ring: &KeyRing, text: &str) -> Result<tocsin_model::KeyId, RotationRefused> {
    let found = ring.keys().map(ServerKey::kid).find(|kid| key_id_text(kid) == text);
    found.copied().ok_or(RotationRefused::UnknownKey)
}

fn open(config: &Config) -> Result<(ServerKeys, UnixMs), KeysError> {
    if !config.storage.path.is_dir() {
        return Err(KeysError::NoFolder(config.storage.path.display().to_string()));
    }
    let clock = Clock::system();
    let keys = serve::server_keys(config, master_key::sealer(config)?, Start::Later, &clock)?;
    Ok((keys, clock.now()))
}

fn table(ring: &KeyRing, now: UnixMs) -> String {
    let signing = ring.signing(now).kid();
    let line = |key: &ServerKey| {
        let state = match key.retired_at() {
            Some(at) if at <= now => "retired",
            _ if key.kid() == signing => "signs",
            _ => "coming",
        };
        let retires = key.retired_at().map_or_else(|| "-".to_owned(), rfc3339);
        format!(
            "{}  {state:<8}from {}  retires {retires}\n",
            key_id_text(key.kid()),
            rfc3339(key.not_before())
        )
    };
    ring.keys().map(line).collect()
}
