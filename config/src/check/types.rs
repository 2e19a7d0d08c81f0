//! Authentication types: their apps exist, and their default text keeps to their own limit.

use crate::findings::Findings;
use crate::settings::Settings;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, table) in settings.named("types") {
        let apps = table.child("apps");
        for app in settings.list(&apps).unwrap_or_default() {
            findings.reference(settings, "apps", &app.text, app.place.clone(), &apps);
        }
        let message = table.child("default_message");
        let limit = settings.integer(&table.child("message_max"));
        if let (Some(text), Some(limit)) = (settings.text(&message), limit)
            && text.chars().count() as u64 > limit
        {
            let why = format!("is longer than this type's message_max of {limit} characters");
            findings.fault(settings.place(&message), &message, why);
        }
        let push_text = table.child("push_text");
        if settings.text(&push_text) == Some("message") {
            let why = "title and message pass Apple and Google in clear";
            findings.warn(settings.place(&push_text), &push_text, why);
        }
    }
}
