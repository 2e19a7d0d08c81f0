//! Credential and certificate files are there and can be read. What is in them is read by who uses them.

use std::fs::File;
use std::path::Path;

use crate::findings::Findings;
use crate::place::one_line;
use crate::settings::Settings;
use crate::shape::Shape;

/// Permission bits of a file that every user may read.
const OTHERS_READ: u32 = 0o004;
/// Permission bits that a secret file must not have.
const MODE_FORBIDDEN: u32 = 0o077;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    None,
    Advised,
    Demanded,
}

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for (path, setting) in settings.values() {
        let secrecy = match setting.key.shape {
            Shape::File => Secrecy::None,
            Shape::CredentialFile => Secrecy::Advised,
            Shape::SecretFile => Secrecy::Demanded,
            _ => continue,
        };
        let Some(file) = settings.file(path) else {
            continue;
        };
        let name = one_line(&file.to_string_lossy());
        match look(file) {
            Ok(mode) if secrecy == Secrecy::Demanded && mode & MODE_FORBIDDEN != 0 => {
                let message = format!(
                    "others than its owner may use {name} (mode {:03o}); if nobody has read it, run chmod 600 on it",
                    mode & 0o777
                );
                findings.fault(setting.place.clone(), path, message);
            }
            Ok(mode) if secrecy == Secrecy::Advised && mode & OTHERS_READ != 0 => {
                let message =
                    format!("every user of this machine may read {name}; take that right away (chmod o-rwx)");
                findings.warn(setting.place.clone(), path, message);
            }
            Ok(_) => {}
            Err(why) => findings.fault(setting.place.clone(), path, format!("cannot read {name}: {why}")),
        }
    }
}

/// The permission bits of the file, or why we may not read it. A pipe or device is not opened, which could hang.
fn look(file: &Path) -> Result<u32, String> {
    let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.len() == 0 {
        return Err("it is empty".to_owned());
    }
    File::open(file).map_err(|error| error.to_string())?;
    Ok(mode(&metadata))
}

/// Whether there is something to read in the file.
pub(super) fn is_readable(file: &Path) -> bool {
    look(file).is_ok()
}

/// Whether every user of the machine may read the file.
pub(super) fn others_may_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| mode(&metadata) & OTHERS_READ != 0)
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode()
}

#[cfg(not(unix))]
fn mode(_metadata: &std::fs::Metadata) -> u32 {
    0
}
