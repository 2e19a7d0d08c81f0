//! What reading and checking found, gathered from all layers.

use crate::fault::{Fault, Warning};
use crate::hint;
use crate::path::{KeyPath, quoted};
use crate::place::Place;
use crate::settings::Settings;

/// All findings so far.
#[derive(Default)]
pub(crate) struct Findings {
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// What was looked for and not found.
    absences: Vec<Fault>,
    /// What is allowed but worth a word.
    pub(crate) warnings: Vec<Warning>,
    /// Whether a part of a document could not be read. What is missing may stand there, so absences are no
    /// faults then: nobody shall look for a mistake that he did not make.
    pub(crate) is_partial: bool,
}

impl Findings {
    /// Something is wrong.
    pub(crate) fn fault(&mut self, place: Place, path: &KeyPath, message: impl Into<String>) {
        self.faults.push(Fault::new(place, path, message));
    }

    /// Something is missing.
    pub(crate) fn absence(&mut self, place: Place, path: &KeyPath, message: impl Into<String>) {
        self.absences.push(Fault::new(place, path, message));
    }

    /// Something is allowed but worth a word.
    pub(crate) fn warn(&mut self, place: Place, path: &KeyPath, message: impl Into<String>) {
        self.warnings.push(Warning::new(place, path, message));
    }

    /// The table that a name stands for is missing, unless it is there.
    pub(crate) fn reference(
        &mut self,
        settings: &Settings,
        section: &str,
        name: &str,
        place: Place,
        path: &KeyPath,
    ) {
        if !settings.has_named(section, name) {
            let hint = hint::or_list(name, &settings.names(section), "there are");
            self.absence(place, path, format!("there is no [{section}.{}]{hint}", quoted(name)));
        }
    }

    /// Everything that keeps the configuration from being used.
    pub(crate) fn into_faults_and_warnings(self) -> (Vec<Fault>, Vec<Warning>) {
        let Self { mut faults, absences, mut warnings, is_partial } = self;
        if !is_partial {
            faults.extend(absences);
        }
        warnings.sort();
        (faults, warnings)
    }
}
