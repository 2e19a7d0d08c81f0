//! The ladder's steps come one behind the other, and no login keeps its user out.

use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;

/// The steps, the mildest first.
const STEPS: [&str; 3] = ["ladder_number_match_after", "ladder_other_method_after", "ladder_block_after"];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, realm) in settings.named("realms") {
        check_ladder(settings, &realm, findings);
    }
    for (_, kind) in settings.named("types") {
        let pending_push = kind.child("pending_push");
        let is_login = settings.text(&kind.child("purpose")) == Some("login");
        if is_login && settings.text(&pending_push) == Some("reject") {
            let why = "anybody who may start a login can keep its user out";
            findings.warn(settings.place(&pending_push), &pending_push, why);
        }
    }
}

/// A later step that comes sooner would leave the earlier one out without a word.
fn check_ladder(settings: &Settings, realm: &KeyPath, findings: &mut Findings) {
    let mut before: Option<(&str, u64)> = None;
    for step in STEPS {
        let path = realm.child(step);
        let Some(after) = settings.integer(&path).filter(|after| *after > 0) else { continue };
        if let Some((milder, least)) = before.filter(|(_, least)| after < *least) {
            let why = format!("comes before the milder step {milder} = {least}");
            findings.fault(settings.place(&path), &path, why);
        }
        before = Some((step, after));
    }
}
