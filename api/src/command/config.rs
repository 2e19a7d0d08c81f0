//! `tocsin config`

use std::io::Write as _;

use tocsin_config::Loaded;

use crate::Exit;

/// Prints what came of all layers.
pub(super) fn print(loaded: &Loaded) -> Exit {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    match write!(std::io::stdout(), "{}", loaded.config.effective) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("cannot print: {error}");
            Exit::Failed
        }
    }
}
