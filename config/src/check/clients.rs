//! Clients: what they may name exists.

use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;

/// The lists of a client and the sections that they name.
const GRANTS: [&str; 3] = ["realms", "apps", "types"];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, client) in settings.named("clients") {
        check_grants(settings, &client, findings);
        check_default_realm(settings, &client, findings);
    }
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
    let is_empty = |section: &&&str| settings.list(&client.child(section)).is_some_and(<[_]>::is_empty);
    let empty: Vec<&str> = GRANTS.iter().filter(is_empty).copied().collect();
    if let Some((last, others)) = empty.split_last() {
        let names = if others.is_empty() { String::new() } else { format!("{} and ", others.join(", ")) };
        let message = format!("may start no transaction, because its {names}{last} are empty");
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
