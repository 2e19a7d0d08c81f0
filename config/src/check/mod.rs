//! What no key can know alone: references between tables, doors off loopback, doubles, and files that must be
//! there. Every check looks at the merged settings and passes over what was already refused.

mod apps;
mod callbacks;
mod certificates;
mod clients;
mod codes;
mod credentials;
mod doors;
mod fallbacks;
mod fatigue;
mod files;
mod gateways;
mod mail;
mod master_keys;
mod providers;
mod proxies;
mod texts;
mod types;

pub(crate) use codes::default_gateway;
pub(crate) use providers::{PLATFORMS, defaults};

use crate::findings::Findings;
use crate::settings::Settings;

/// Runs all checks.
pub(crate) fn check(settings: &Settings, findings: &mut Findings) {
    doors::check(settings, findings);
    types::check(settings, findings);
    codes::check(settings, findings);
    fallbacks::check(settings, findings);
    fatigue::check(settings, findings);
    texts::check(settings, findings);
    apps::check(settings, findings);
    providers::check(settings, findings);
    gateways::check(settings, findings);
    clients::check(settings, findings);
    callbacks::check(settings, findings);
    proxies::check(settings, findings);
    mail::check(settings, findings);
    credentials::check(settings, findings);
    master_keys::check(settings, findings);
    files::check(settings, findings);
}
