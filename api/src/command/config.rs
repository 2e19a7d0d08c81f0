//! `tocsin config`

use tocsin_config::Loaded;

use crate::Exit;

/// Prints what came of all layers.
pub(super) fn print(loaded: &Loaded) -> Exit {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    super::print(&loaded.config.effective.to_string())
}
