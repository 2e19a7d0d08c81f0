//! Secrets of clients and tokens of operators: no two are the same, so that each opens one door for one name.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::shape::Value;

/// The hash that stands in examples; no secret fits it.
const PLACEHOLDER: [u8; 32] = [0; 32];

/// One credential of the configuration.
struct Credential {
    /// Whose, such as `client shop`.
    owner: String,
    /// What it is called.
    noun: &'static str,
    /// The command that makes one.
    command: &'static str,
    /// Where its hash stands.
    path: KeyPath,
}

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    let empty_secret = digest(&SHA256, b"");
    let mut owners: BTreeMap<[u8; 32], String> = BTreeMap::new();
    for credential in credentials(settings) {
        let Credential { owner, noun, command, path } = credential;
        let Some(Value::Digest(hash)) = settings.value(&path) else {
            continue;
        };
        let place = settings.place(&path);
        if *hash == PLACEHOLDER {
            let message = format!("is a placeholder that no {noun} fits; make one with `{command}`");
            findings.warn(place, &path, message);
        } else if hash == empty_secret.as_ref() {
            findings.fault(
                place,
                &path,
                format!("is the hash of an empty {noun}; make one with `{command}`"),
            );
        } else if let Some(first) = owners.get(hash) {
            let message = format!("is also that of {first}; each client and operator needs its own");
            findings.fault(place, &path, message);
        } else {
            owners.insert(*hash, owner);
        }
    }
}

fn credentials(settings: &Settings) -> Vec<Credential> {
    let clients = settings.named("clients").map(|(name, table)| Credential {
        owner: format!("client {name}"),
        noun: "secret",
        command: "tocsin client new",
        path: table.child("secret_sha256"),
    });
    let operators = settings.operators().map(|(name, table)| Credential {
        owner: format!("operator {name}"),
        noun: "token",
        command: "tocsin token new",
        path: table.child("sha256"),
    });
    clients.chain(operators).collect()
}
