//! Mail servers: names and passwords come in pairs, and there is no proxy on the way.

use crate::complete::provider_kind;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::word::ProviderKind;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, table) in settings.named("providers") {
        if provider_kind(settings, &table) == Some(ProviderKind::Smtp) {
            check_login(settings, &table, findings);
            check_proxy(settings, &table, findings);
        }
    }
}

fn check_login(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let [username, password, file] = ["username", "password", "password_file"].map(|key| table.child(key));
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
}

fn check_proxy(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let proxy = table.child("proxy");
    if settings.has_table(&proxy) {
        findings.fault(
            settings.place(&proxy),
            &proxy,
            "mail never goes through a proxy; take this table out",
        );
    }
}
