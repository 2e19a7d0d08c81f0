//! Credential and certificate files are there and can be read. What is in them is read by who uses them.

use std::fs::File;
use std::path::Path;

use crate::findings::Findings;
use crate::place::one_line;
use crate::settings::Settings;
use crate::shape::Shape;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (path, setting) in settings.values() {
        let is_credential = match setting.key.shape {
            Shape::File => false,
            Shape::CredentialFile => true,
            _ => continue,
        };
        let Some(file) = settings.file(path) else {
            continue;
        };
        let name = one_line(&file.to_string_lossy());
        match look(file) {
            Ok(others_may_read) if is_credential && others_may_read => {
                let message =
                    format!("every user of this machine may read {name}; take that right away (chmod o-rwx)");
                findings.warn(setting.place.clone(), path, message);
            }
            Ok(_) => {}
            Err(why) => findings.fault(setting.place.clone(), path, format!("cannot read {name}: {why}")),
        }
    }
}

/// Whether everybody may read the file, or why we may not. A pipe or device is not opened, which could hang.
fn look(file: &Path) -> Result<bool, String> {
    let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.len() == 0 {
        return Err("it is empty".to_owned());
    }
    File::open(file).map_err(|error| error.to_string())?;
    Ok(others_may_read(&metadata))
}

#[cfg(unix)]
fn others_may_read(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn others_may_read(_metadata: &std::fs::Metadata) -> bool {
    false
}
