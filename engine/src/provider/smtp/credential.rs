//! User name and password for a mail server, and whom it is spoken to as.

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use tocsin_config::Login;

use crate::password::{self, PasswordFault};
use crate::provider::error::ProviderFault;

/// The mechanisms that we have, the better one first. Both send the password, so they are for TLS only.
pub(super) const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

/// Reads the password, where it is in a file.
pub(super) fn read(login: &Login) -> Result<Credentials, ProviderFault> {
    let password = password::read(&login.password).map_err(|fault| match fault {
        PasswordFault::Unreadable { path, reason } => {
            ProviderFault::Unreadable { key: "password_file", path, reason }
        }
        PasswordFault::NotAPassword { path } => ProviderFault::NotACredential {
            key: "password_file",
            path,
            expected: "a password of 1 to 500 bytes in one line",
            remedy: "put the password into the file, and nothing else",
        },
    })?;
    Ok(Credentials::new(login.username.clone(), password.expose().clone()))
}
