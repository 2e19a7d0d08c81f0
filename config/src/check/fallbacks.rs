//! Fallbacks of types: each leads to a type of another method that sends a code, and none leads back.

use tocsin_model::Method;

use crate::complete::method_of;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    // A type of one-time passwords has none: the key was refused already.
    let takes_one = |table: &KeyPath| method_of(settings, table) != Some(Method::Otp);
    for (name, table) in settings.named("types").filter(|(_, table)| takes_one(table)) {
        let path = table.child("fallback");
        let after = table.child("fallback_after_s");
        let Some(to) = settings.text(&path) else {
            if settings.is_set(&after) {
                let why = "is of no use without a fallback";
                findings.fault(settings.place(&after), &after, why);
            }
            continue;
        };
        check_target(settings, name, to, &path, findings);
        let life = settings.integer(&table.child("ttl_s"));
        if let (Some(after_s), Some(life_s)) = (settings.integer(&after), life)
            && after_s >= life_s
        {
            let why = format!("must be below this type's ttl_s of {life_s}");
            findings.fault(settings.place(&after), &after, why);
        }
    }
}

fn check_target(settings: &Settings, name: &str, to: &str, path: &KeyPath, findings: &mut Findings) {
    let place = settings.place(path);
    if to == name {
        return findings.fault(place, path, "is the type itself");
    }
    findings.reference(settings, "types", to, place.clone(), path);
    let method = |name: &str| method_of(settings, &KeyPath::of(&["types", name]));
    let (Some(own), Some(other)) = (method(name), method(to)) else { return };
    if matches!(other, Method::Push | Method::Otp) {
        let why = format!("{to} has method = \"{}\"; a fallback must send a code", other.as_str());
        findings.fault(place, path, why);
    } else if own == other {
        let why = format!("{to} has the same method, \"{}\"; a fallback must have another", own.as_str());
        findings.fault(place, path, why);
    } else if leads_back(settings, name) {
        findings.fault(place, path, format!("leads back to {name}"));
    }
}

/// Whether the fallbacks that begin at this type come back to it. Each step leaves one type behind.
fn leads_back(settings: &Settings, name: &str) -> bool {
    let next = |name: &str| settings.text(&KeyPath::of(&["types", name, "fallback"]));
    let mut present = next(name);
    for _ in 0..settings.names("types").len() {
        match present {
            Some(reached) if reached == name => return true,
            Some(reached) => present = next(reached),
            None => return false,
        }
    }
    false
}
