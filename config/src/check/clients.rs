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
