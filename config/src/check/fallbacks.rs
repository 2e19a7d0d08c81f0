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
        check_waits(settings, name, findings);
    }
}

/// Each wait for a silent user begins where the one before it ends, and all of them end before the transaction does.
fn check_waits(settings: &Settings, name: &str, findings: &mut Findings) {
    let Some((life_s, whose)) = shortest_life(settings, name) else { return };
    let (mut present, mut waited_s) = (name, 0);
    // Ends: each step leaves one type behind, and fallbacks that go round are refused elsewhere.
    for _ in 0..settings.names("types").len() {
        let table = KeyPath::of(&["types", present]);
        let after = table.child("fallback_after_s");
        waited_s += settings.integer(&after).unwrap_or(0);
        if waited_s >= life_s {
            let why = if present == name {
                format!("must be below {whose} of {life_s}")
            } else {
                format!(
                    "comes {waited_s} s after the start of {name}; that must be below {whose} of {life_s}"
                )
            };
            return findings.fault(settings.place(&after), &after, why);
        }
        let Some(next) = settings.text(&table.child("fallback")) else { return };
        present = next;
    }
}

/// How long transactions of a type live at least, and which key says so.
fn shortest_life(settings: &Settings, name: &str) -> Option<(u64, String)> {
    let life_s = |table: &KeyPath| settings.integer(&table.child("ttl_s"));
    let own = life_s(&KeyPath::of(&["types", name])).map(|life_s| (life_s, "this type's ttl_s".to_owned()));
    own.or_else(|| {
        let realms = settings.named("realms");
        realms.filter_map(|(realm, table)| Some((life_s(&table)?, format!("realms.{realm}.ttl_s")))).min()
    })
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
