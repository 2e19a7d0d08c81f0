//! Proxies: one that is enabled has a host, names and passwords come in pairs, and nothing is set in vain.

use super::certificates::check_authorities;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::url;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    let own = settings.named("providers").map(|(_, provider)| provider.child("proxy"));
    let own = own.filter(|table| settings.has_table(table));
    for table in std::iter::once(KeyPath::of(&["proxy"])).chain(own) {
        check_credentials(settings, &table, findings);
        check_authorities(settings, &table.child("ca_file"), findings);
        if settings.flag(&table.child("enabled")) == Some(true) {
            check_enabled(settings, &table, findings);
        } else if settings.is_set_by_hand(&table.child("host")) {
            let host = table.child("host");
            findings.warn(settings.place(&host), &host, "is inert while enabled is false here");
        }
    }
}

fn check_enabled(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let (host, username) = (table.child("host"), table.child("username"));
    if !settings.is_set(&host) {
        let place = settings.place(&table.child("enabled"));
        findings.absence(place, &host, "is missing; a proxy that is enabled needs its host");
    }
    let is_in_clear = settings.text(&table.child("scheme")) == Some("http");
    let is_near = settings.text(&host).is_some_and(url::is_loopback);
    if is_in_clear && settings.is_set(&username) && !is_near {
        let message = "user name and password pass the network to the proxy in clear; use scheme = \"https\" where \
                       the proxy speaks TLS";
        findings.warn(settings.place(&username), &username, message);
    }
    let ca_file = table.child("ca_file");
    if is_in_clear && settings.is_set(&ca_file) {
        let message = "means nothing with scheme = \"http\": it is for the proxy's own certificate";
        findings.warn(settings.place(&ca_file), &ca_file, message);
    }
}

fn check_credentials(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let (username, password) = (table.child("username"), table.child("password"));
    let (file, preemptive) = (table.child("password_file"), table.child("preemptive"));
    let has_password = settings.is_set(&password) || settings.is_set(&file);
    if settings.is_set(&password) && settings.is_set(&file) {
        findings.fault(settings.place(&file), &file, "is one too many: the password is here or in a file");
    }
    match (settings.is_set(&username), has_password) {
        (true, false) => {
            let message =
                "is missing beside the username; give it here, in password_file or by the environment";
            findings.absence(settings.place(&username), &password, message);
        }
        (false, true) => {
            let given = if settings.is_set(&password) { &password } else { &file };
            findings.absence(settings.place(given), &username, "is missing beside the password");
        }
        (true, true) | (false, false) => {}
    }
    if settings.text(&username).is_some_and(|name| name.contains(':')) {
        findings.fault(settings.place(&username), &username, "must not hold a colon (RFC 7617)");
    }
    if settings.flag(&preemptive) == Some(true) && !settings.is_set(&username) {
        let message = "is missing; preemptive = true sends it with the first request";
        findings.absence(settings.place(&preemptive), &username, message);
    }
}
