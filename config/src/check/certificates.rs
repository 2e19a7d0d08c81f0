//! What is in the certificate files of the doors: it can be used, it fits together, and nobody else has the key.
//!
//! Files that cannot be read at all are told by `files`.

use std::path::Path;

use crate::certificate::{Authorities, CertificateFault, Identity};
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::place::one_line;
use crate::settings::Settings;
use crate::url;

use super::files::others_may_read;

pub(super) fn check_door(settings: &Settings, door: &str, findings: &mut Findings) {
    let certificate = KeyPath::of(&[door, "certificate_file"]);
    let key = KeyPath::of(&[door, "key_file"]);
    match (settings.is_set(&certificate), settings.is_set(&key)) {
        (true, false) => {
            findings.absence(
                settings.place(&certificate),
                &key,
                "is missing; certificate_file needs its key",
            );
        }
        (false, true) => {
            let message = "is missing; key_file is of no use without its certificate";
            findings.absence(settings.place(&key), &certificate, message);
        }
        (true, true) => check_identity(settings, door, &certificate, &key, findings),
        (false, false) => {}
    }
}

fn check_identity(
    settings: &Settings,
    door: &str,
    certificate: &KeyPath,
    key: &KeyPath,
    findings: &mut Findings,
) {
    let plaintext = KeyPath::of(&[door, "plaintext"]);
    if settings.is_set(&plaintext) {
        let message = "contradicts certificate_file: either this door ends TLS or a proxy in front does";
        findings.fault(settings.place(&plaintext), &plaintext, message);
    }
    let public_url = KeyPath::of(&[door, "public_url"]);
    let url = settings.text(&public_url);
    if url.is_some_and(|url| !url.starts_with("https://")) {
        let message = "must be an https URL, because this door speaks TLS";
        findings.fault(settings.place(&public_url), &public_url, message);
    }
    let files = (readable(settings, certificate), readable(settings, key));
    let (Some(certificate_file), Some(key_file)) = files else {
        return;
    };
    if others_may_read(key_file) {
        let name = one_line(&key_file.to_string_lossy());
        let message =
            format!("every user of this machine may read {name}; take that right away (chmod o-rwx)");
        findings.fault(settings.place(key), key, message);
    }
    match Identity::read(certificate_file, key_file) {
        Ok(identity) => {
            warn_of(&identity, door, url.and_then(url::host), settings, certificate, findings);
        }
        Err(fault) => {
            let path = if matches!(fault, CertificateFault::Key(_)) { key } else { certificate };
            findings.fault(settings.place(path), path, fault.to_string());
        }
    }
}

fn warn_of(
    identity: &Identity,
    door: &str,
    host: Option<&str>,
    settings: &Settings,
    certificate: &KeyPath,
    findings: &mut Findings,
) {
    if identity.is_self_issued && door == "device" {
        let message = "is self-signed: phones trust it only if the app brings it along; \
                       take one from an authority that phones know";
        findings.warn(settings.place(certificate), certificate, message);
    }
    if let Some(host) = host.filter(|host| !identity.is_for(host)) {
        let message = format!("is not for {host}, the host of public_url, so callers will refuse it");
        findings.warn(settings.place(certificate), certificate, message);
    }
}

/// Certificates of callers: only where this door ends TLS, from authorities that can be read.
pub(super) fn check_client_authorities(settings: &Settings, findings: &mut Findings) {
    let ca_file = KeyPath::of(&["portal", "client_ca_file"]);
    if settings.is_set(&ca_file) {
        if !settings.is_set(&KeyPath::of(&["portal", "certificate_file"])) {
            let message = "needs certificate_file: callers show certificates only to a door that speaks TLS";
            findings.absence(settings.place(&ca_file), &ca_file, message);
        }
        check_authorities(settings, &ca_file, findings);
        return;
    }
    for (_, client) in settings.named("clients") {
        for key in ["certificate_names", "certificate_sha256"] {
            let path = client.child(key);
            if settings.list(&path).is_some_and(|list| !list.is_empty()) {
                let message =
                    "needs portal.client_ca_file, without which no caller is asked for a certificate";
                findings.absence(settings.place(&path), &path, message);
            }
        }
    }
}

/// What is in a file of authorities can be used, where there is one.
pub(super) fn check_authorities(settings: &Settings, path: &KeyPath, findings: &mut Findings) {
    if let Some(Err(fault)) = readable(settings, path).map(Authorities::read) {
        findings.fault(settings.place(path), path, fault.to_string());
    }
}

/// The file at this key, where it is one that can be read; others are told elsewhere.
fn readable<'s>(settings: &'s Settings, path: &KeyPath) -> Option<&'s Path> {
    settings.file(path).filter(|file| super::files::is_readable(file))
}
