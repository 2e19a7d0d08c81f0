//! The way from texts and variables to a [`Config`]: default, file, environment, then the checks.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::assemble::assemble;
use crate::check::check;
use crate::complete::complete;
use crate::fault::{Fault, Faults, Warning};
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::place::{Origin, Place, Source};
use crate::settings::Settings;
use crate::types::Config;
use crate::{document, environment};

/// The built-in layer: every key with its comment, as `default.toml`.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// Largest configuration file in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration without faults.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed but worth a word, in the order of the sources and their lines.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Loads the defaults, the file if there is one, and the `TOCSIN_` variables among `variables`.
    ///
    /// Relative paths in the file are relative to its folder, those in variables and the default of
    /// `storage.path` to the working folder. Every fault of every layer is in the error.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, Faults> {
        let mut findings = Findings::default();
        let Some(path) = file else {
            return load_layers(None, variables, findings);
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let source = Source::File(path.to_owned());
        match read_file(path) {
            Ok(text) => load_layers(Some(Origin::document(source, &text, folder)), variables, findings),
            Err(why) => {
                findings.is_partial = true;
                findings.fault(Place::whole(source), &KeyPath::default(), why);
                load_layers(None, variables, findings)
            }
        }
    }

    /// Loads `text` as if it were the file `tocsin.toml` in `folder`, without any variable.
    pub fn load_str(text: &str, folder: &Path) -> Result<Loaded, Faults> {
        let source = Source::File(folder.join("tocsin.toml"));
        load_layers(Some(Origin::document(source, text, folder)), [], Findings::default())
    }
}

fn load_layers(
    file: Option<Origin<'_>>,
    variables: impl IntoIterator<Item = (String, String)>,
    mut findings: Findings,
) -> Result<Loaded, Faults> {
    let mut settings = Settings::default();
    let built_in = Origin::document(Source::Default, DEFAULT_TOML, Path::new(""));
    document::read(&built_in, &mut settings, &mut findings);
    if let Some(file) = file {
        document::read(&file, &mut settings, &mut findings);
    }
    environment::read(variables, &mut settings, &mut findings);
    complete(&mut settings, &mut findings);
    check(&settings, &mut findings);
    let (faults, warnings) = findings.into_faults_and_warnings();
    if !faults.is_empty() {
        return Err(Faults::new(faults));
    }
    match assemble(&settings) {
        Ok(config) => Ok(Loaded { config, warnings }),
        Err(unfit) => {
            let message = "has no fitting value although none of the checks refused it: a defect of Tocsin";
            Err(Faults::new(vec![Fault::new(settings.place(&unfit.0), &unfit.0, message)]))
        }
    }
}

/// The text of a file, or why it has none. The bound holds also for what grows while it is read.
fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a folder; it must be a TOML file".to_owned());
    }
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        format!("is not UTF-8, first in line {line}")
    })
}
