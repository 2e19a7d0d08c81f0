//! Clients: what they may name exists, and no two have the same secret.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::shape::Value;

/// The lists of a client and the sections that they name.
const GRANTS: [&str; 3] = ["realms", "apps", "types"];

/// The hash that stands in examples; no secret fits it.
const PLACEHOLDER: [u8; 32] = [0; 32];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, client) in settings.named("clients") {
        check_grants(settings, &client, findings);
        check_default_realm(settings, &client, findings);
    }
    check_secrets(settings, findings);
}

fn check_grants(settings: &Settings, client: &KeyPath, findings: &mut Findings) {
    for section in GRANTS {
        let path = client.child(section);
        let Some(names) = settings.list(&path) else {
            continue;
        };
        for name in names.iter().filter(|name| name.text != "*") {
            findings.reference(settings, section, &name.text, name.place.clone(), &path);
        }
    }
    let rights = settings.list(&client.child("rights")).unwrap_or_default();
    if rights.iter().all(|right| right.text != "transactions") {
        return;
    }
    let may_start = [GRANTS[0], GRANTS[2]];
    let empty =
        may_start.iter().filter(|section| settings.list(&client.child(section)).is_some_and(<[_]>::is_empty));
    let empty: Vec<&str> = empty.copied().collect();
    if !empty.is_empty() {
        let message = format!("may start no transaction, because its {} are empty", empty.join(" and "));
        findings.warn(settings.place(client), client, message);
    }
}

fn check_default_realm(settings: &Settings, client: &KeyPath, findings: &mut Findings) {
    let path = client.child("default_realm");
    let Some(realm) = settings.text(&path) else {
        return;
    };
    if path_is_written(settings, &path) {
        findings.reference(settings, "realms", realm, settings.place(&path), &path);
    }
    let realms = settings.list(&client.child("realms")).unwrap_or_default();
    let is_covered = realms.is_empty() || realms.iter().any(|name| name.text == "*" || name.text == realm);
    if !is_covered {
        findings.fault(settings.place(&path), &path, "is not among the realms of this client; add it there");
    }
}

/// A realm taken from the client's own list was already looked for there.
fn path_is_written(settings: &Settings, path: &KeyPath) -> bool {
    settings.place(path).source != crate::place::Source::Default
}

fn check_secrets(settings: &Settings, findings: &mut Findings) {
    let empty_secret = digest(&SHA256, b"");
    let mut owners: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    for (name, client) in settings.named("clients") {
        let path = client.child("secret_sha256");
        let Some(Value::Digest(hash)) = settings.value(&path) else {
            continue;
        };
        let place = settings.place(&path);
        if *hash == PLACEHOLDER {
            let message = "is a placeholder that no secret fits; make one with `tocsin client new`";
            findings.warn(place, &path, message);
        } else if hash == empty_secret.as_ref() {
            findings.fault(place, &path, "is the hash of an empty secret; make one with `tocsin client new`");
        } else if let Some(owner) = owners.get(hash) {
            let message = format!("is also the secret of client {owner}; every client needs its own");
            findings.fault(place, &path, message);
        } else {
            owners.insert(*hash, name);
        }
    }
}
