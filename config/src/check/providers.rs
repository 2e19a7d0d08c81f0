//! Apps and providers: each platform of an app is reached by exactly one provider of the right kind.

use tocsin_model::AppVersion;

use crate::complete::provider_kind;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::word::ProviderKind;

/// The platforms of an app and the kind of provider that reaches them.
pub(crate) const PLATFORMS: [(&str, ProviderKind); 2] =
    [("ios", ProviderKind::Apns), ("android", ProviderKind::Fcm)];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for kind in ProviderKind::ALL {
        check_one_default(settings, kind, findings);
    }
    check_ready_requires(settings, findings);
    for (_, app) in settings.named("apps") {
        for (platform, kind) in PLATFORMS {
            let table = app.child(platform);
            if settings.has_table(&table) {
                check_platform(settings, &table, kind, findings);
                check_versions(settings, &table, kind, findings);
            }
        }
        if PLATFORMS.iter().all(|(platform, _)| !settings.has_table(&app.child(platform))) {
            let message = "has neither an ios nor an android table, so its phones get no push and must ask";
            findings.warn(settings.place(&app), &app, message);
        }
    }
}

/// The names of the default providers of a kind; more than one is a fault.
pub(crate) fn defaults(settings: &Settings, kind: ProviderKind) -> Vec<&str> {
    settings
        .named("providers")
        .filter(|(_, table)| provider_kind(settings, table) == Some(kind))
        .filter(|(_, table)| settings.flag(&table.child("default")) == Some(true))
        .map(|(name, _)| name)
        .collect()
}

fn check_one_default(settings: &Settings, kind: ProviderKind, findings: &mut Findings) {
    let names = defaults(settings, kind);
    let Some((first, others)) = names.split_first() else {
        return;
    };
    for other in others {
        let path = KeyPath::of(&["providers", other, "default"]);
        let message =
            format!("only one provider of kind \"{}\" may be the default; {first} is too", kind.as_str());
        findings.fault(settings.place(&path), &path, message);
    }
}

fn check_ready_requires(settings: &Settings, findings: &mut Findings) {
    let path = KeyPath::of(&["ops", "ready_requires"]);
    for name in settings.list(&path).unwrap_or_default() {
        findings.reference(settings, "providers", &name.text, name.place.clone(), &path);
    }
}

fn check_platform(settings: &Settings, table: &KeyPath, kind: ProviderKind, findings: &mut Findings) {
    let path = table.child("provider");
    let place = settings.place(&path);
    if !settings.is_set(&path) {
        if defaults(settings, kind).is_empty() {
            let message = format!(
                "is missing; name a provider of kind \"{0}\", or set default = true for one of kind \"{0}\"",
                kind.as_str()
            );
            findings.absence(place, &path, message);
        }
        return;
    }
    check_provider(settings, &path, kind, findings);
}

/// The named versions of a platform: their providers fit, and no two begin with the same version.
fn check_versions(settings: &Settings, table: &KeyPath, kind: ProviderKind, findings: &mut Findings) {
    let mut seen: Vec<AppVersion> = Vec::new();
    for (_, version) in settings.below(&table.child("versions")) {
        check_provider(settings, &version.child("provider"), kind, findings);
        let path = version.child("from");
        let Some(from) = settings.text(&path).and_then(AppVersion::new) else { continue };
        if seen.iter().any(|other| other.compare(&from).is_eq()) {
            findings.fault(settings.place(&path), &path, "another version of this platform begins there too");
        }
        seen.push(from);
    }
}

/// A provider that is named exists and is of the right kind.
fn check_provider(settings: &Settings, path: &KeyPath, kind: ProviderKind, findings: &mut Findings) {
    let Some(name) = settings.text(path) else {
        return;
    };
    let place = settings.place(path);
    findings.reference(settings, "providers", name, place.clone(), path);
    match provider_kind(settings, &KeyPath::of(&["providers", name])) {
        Some(actual) if actual != kind => {
            let message = format!(
                "{name} is of kind \"{}\"; this platform needs one of kind \"{}\"",
                actual.as_str(),
                kind.as_str()
            );
            findings.fault(place, path, message);
        }
        Some(_) | None => {}
    }
}
