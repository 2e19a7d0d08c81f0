//! Types that send one-time codes: who sends them, what they say, and how often they may be guessed.

use tocsin_model::Method;

use super::providers::defaults;
use crate::complete::{method_of, provider_kind};
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::word::ProviderKind;

/// Where the code stands in a message.
const PLACEHOLDER: &str = "{code}";

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (_, table) in settings.named("types") {
        let Some(method) = method_of(settings, &table).filter(|method| method.sends_code()) else { continue };
        check_gateways(settings, &table, method, findings);
        let message = table.child("default_message");
        if settings.text(&message).is_some_and(|text| !text.contains(PLACEHOLDER)) {
            let why = "has no {code}, so the message is the code alone";
            findings.warn(settings.place(&message), &message, why);
        }
        let attempts = table.child("attempts_max");
        if settings.integer(&attempts) == Some(0) {
            let why = "is 0, so a code may be guessed until its time is over";
            findings.warn(settings.place(&attempts), &attempts, why);
        }
    }
}

/// Each gateway that is named exists and serves the method; without any, codes leave by custom delivery only.
fn check_gateways(settings: &Settings, table: &KeyPath, method: Method, findings: &mut Findings) {
    let path = table.child("gateways");
    let named = settings.list(&path).unwrap_or_default();
    for gateway in named {
        findings.reference(settings, "providers", &gateway.text, gateway.place.clone(), &path);
        match provider_kind(settings, &KeyPath::of(&["providers", &gateway.text])) {
            Some(kind) if kind.serves() != method => {
                let (name, kind, method) = (&gateway.text, kind.as_str(), method.as_str());
                let why = format!("{name} is of kind \"{kind}\", which does not serve method = \"{method}\"");
                findings.fault(gateway.place.clone(), &path, why);
            }
            Some(_) | None => {}
        }
    }
    if named.is_empty() && default_gateway(settings, method).is_none() {
        let why = "names no gateway, and there is no default one, so its codes leave by custom delivery only";
        findings.warn(settings.place(&path), table, why);
    }
}

/// The default provider that serves this method.
pub(crate) fn default_gateway(settings: &Settings, method: Method) -> Option<&str> {
    let kinds = ProviderKind::ALL.into_iter().filter(|kind| kind.serves() == method);
    kinds.flat_map(|kind| defaults(settings, kind)).next()
}
