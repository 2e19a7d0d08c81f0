//! What of the apps is allowed but worth a word: who could take a user over, PINs without end, idle switches.

use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;

/// What an app says of enrolments.
const ENROLMENT_KEYS: [&str; 7] = [
    "mode",
    "requires",
    "confirm",
    "unique_server_keys",
    "activation_ttl_s",
    "activation_host",
    "activation_scheme",
];

/// What a type says of pushes.
const PUSH_KEYS: [&str; 4] = ["push_text", "resends_max", "resend_gap_s", "keep_for_polling"];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    settings.named("apps").for_each(|(_, app)| warn_of_endless_tries(settings, &app, findings));
    if is_off(settings, "service") {
        let path = switch("service");
        let message = "every call of portals and phones is refused while this is false";
        findings.warn(settings.place(&path), &path, message);
    }
    if is_off(settings, "enrollment") {
        warn_of_idle(settings, "apps", &ENROLMENT_KEYS, "enrollment", findings);
    } else {
        settings.named("apps").for_each(|(_, app)| warn_of_takeover(settings, &app, findings));
    }
    if is_off(settings, "sending") {
        warn_of_idle(settings, "types", &PUSH_KEYS, "sending", findings);
    }
}

fn switch(name: &str) -> KeyPath {
    KeyPath::of(&["switches", name])
}

fn is_off(settings: &Settings, name: &str) -> bool {
    settings.flag(&switch(name)) == Some(false)
}

/// Keys that somebody set and that do nothing while a switch is off.
fn warn_of_idle(
    settings: &Settings,
    section: &str,
    keys: &[&str],
    switch_name: &str,
    findings: &mut Findings,
) {
    for (_, table) in settings.named(section) {
        for path in keys.iter().map(|key| table.child(key)).filter(|path| settings.is_set_by_hand(path)) {
            let message = format!("is inert while switches.{switch_name} is false");
            findings.warn(settings.place(&path), &path, message);
        }
    }
}

/// Whoever has an activation code has the account where nothing else is asked.
fn warn_of_takeover(settings: &Settings, app: &KeyPath, findings: &mut Findings) {
    let is_none = |key: &str| settings.text(&app.child(key)) == Some("none");
    if !is_none("requires") || !is_none("confirm") {
        return;
    }
    let message = "an activation code alone enrols a phone, whoever has got hold of it; set requires = \
                   \"accepted_transaction\" or confirm = \"number\"";
    findings.warn(settings.place(app), app, message);
    let mode = app.child("mode");
    if matches!(settings.text(&mode), Some("override" | "multiple")) {
        let message = "takeover risk: with this mode a stolen activation code puts another phone beside or in place \
                       of the user's own, and the push to it is the only second factor";
        findings.warn(settings.place(&mode), &mode, message);
    }
}

fn warn_of_endless_tries(settings: &Settings, app: &KeyPath, findings: &mut Findings) {
    let tries = app.child("pin_attempts_max");
    if settings.integer(&tries) == Some(0) {
        let why = "whoever has such a phone may try PINs without end";
        findings.warn(settings.place(&tries), &tries, why);
    }
}
