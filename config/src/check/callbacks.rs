//! Callbacks: names and passwords come in pairs, a URL stands once, and what is called back can be signed.

use super::certificates::check_authorities;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::shape::Value;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    check_backoff(settings, findings);
    check_authorities(settings, &KeyPath::of(&["callbacks", "ca_file"]), findings);
    for (_, client) in settings.named("clients") {
        let entries: Vec<KeyPath> = settings.callback_entries(&client).collect();
        for entry in &entries {
            check_credentials(settings, entry, findings);
        }
        check_doubles(settings, &entries, findings);
        check_secrets(settings, &client, &entries, findings);
    }
}

fn check_backoff(settings: &Settings, findings: &mut Findings) {
    let path = |leaf: &str| KeyPath::of(&["callbacks", leaf]);
    let (first, longest) = (path("backoff_first_ms"), path("backoff_longest_ms"));
    if let (Some(at_first), Some(at_longest)) = (settings.integer(&first), settings.integer(&longest))
        && at_first > at_longest
    {
        let place = settings.place(&longest);
        findings.fault(place, &longest, "is shorter than backoff_first_ms; the waits grow from that to this");
    }
}

fn check_credentials(settings: &Settings, entry: &KeyPath, findings: &mut Findings) {
    let (username, password) = (entry.child("username"), entry.child("password"));
    match (settings.is_set(&username), settings.is_set(&password)) {
        (true, false) => findings.absence(settings.place(entry), &password, "is missing beside the username"),
        (false, true) => findings.absence(settings.place(entry), &username, "is missing beside the password"),
        (true, true) | (false, false) => {}
    }
    if settings.text(&username).is_some_and(|name| name.contains(':')) {
        findings.fault(settings.place(&username), &username, "must not hold a colon (RFC 7617)");
    }
}

fn check_doubles(settings: &Settings, entries: &[KeyPath], findings: &mut Findings) {
    let mut seen: Vec<&str> = Vec::new();
    for entry in entries {
        let path = entry.child("url");
        let Some(url) = settings.text(&path) else { continue };
        if seen.contains(&url) {
            findings.fault(settings.place(&path), &path, "is also the url of another entry of this client");
        }
        seen.push(url);
    }
}

fn check_secrets(settings: &Settings, client: &KeyPath, entries: &[KeyPath], findings: &mut Findings) {
    let path = client.child("webhook_secrets");
    let has_none =
        matches!(settings.value(&path), Some(Value::WebhookSecrets(secrets)) if secrets.is_empty());
    if has_none && !entries.is_empty() {
        let message = "is empty, so that no callback of this client can be signed and every start that names one is \
                       refused; make one with `tocsin client new`";
        findings.warn(settings.place(&path), &path, message);
    }
}
