//! `tocsin check`

use tocsin_config::Loaded;

use crate::{Exit, log, master_key, serve};

/// Looks at all that can be looked at without starting: the configuration, the log filter, the credential files, the
/// source of places.
pub(super) fn check(loaded: &Loaded) -> Exit {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let mut faults: Vec<String> = Vec::new();
    faults.extend(log::check(&loaded.config.log).err().map(|error| error.to_string()));
    faults.extend(master_key::check(&loaded.config).iter().map(ToString::to_string));
    faults.extend(serve::check_providers(&loaded.config).iter().map(ToString::to_string));
    faults.extend(serve::check_origins(&loaded.config));
    if faults.is_empty() {
        return super::print("The configuration is in order.\n");
    }
    for fault in faults {
        eprintln!("{fault}");
    }
    Exit::Configuration
}
