//! Authentication types: their apps and realms exist, and so do their keys.

use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, table) in settings.named("types") {
        let apps = table.child("apps");
        for app in settings.list(&apps).unwrap_or_default() {
            findings.reference(settings, "apps", &app.text, app.place.clone(), &apps);
        }
        let realms = table.child("realms");
        for realm in settings.list(&realms).unwrap_or_default() {
            findings.reference(settings, "realms", &realm.text, realm.place.clone(), &realms);
        }
        check_keys(settings, &table, findings);
        let push_text = table.child("push_text");
        if settings.text(&push_text) == Some("message") {
            let why = "title and message pass Apple and Google in clear";
            findings.warn(settings.place(&push_text), &push_text, why);
        }
    }
}

/// A key that no app of the type has could approve nothing.
fn check_keys(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let path = table.child("keys");
    let named: Vec<&str> =
        settings.list(&table.child("apps")).unwrap_or_default().iter().map(|app| app.text.as_str()).collect();
    let apps: Vec<KeyPath> = settings
        .named("apps")
        .filter(|(name, _)| named.is_empty() || named.contains(name))
        .map(|(_, app)| app)
        .collect();
    for key in settings.list(&path).unwrap_or_default() {
        if let Some(id) = key.text.strip_prefix("custom:") {
            let custom = |app: &KeyPath| settings.list(&app.child("custom")).unwrap_or_default();
            if !apps.iter().any(|app| custom(app).iter().any(|known| known.text == id)) {
                let why = format!("names \"{}\", but no app of this type lists {id:?} in custom", key.text);
                findings.absence(key.place.clone(), &path, why);
            }
        }
        let biometric = |app: &KeyPath| settings.flag(&app.child("biometric")) == Some(true);
        if key.text == "biometric" && !apps.iter().any(biometric) {
            let why = "names \"biometric\", but no app of this type has biometric = true";
            findings.warn(key.place.clone(), &path, why);
        }
    }
}
