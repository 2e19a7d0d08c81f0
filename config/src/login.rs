//! A user name with a password for somebody else's server. Part of the typed configuration.

use std::fmt;
use std::path::PathBuf;

use tocsin_model::Secret;

/// A user name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password, or where it is.
    pub password: PasswordSource,
}

/// A password, or where it is.
#[derive(Clone)]
pub enum PasswordSource {
    /// The password itself.
    Value(Secret<String>),
    /// A file that holds it; a line's end behind it does not count.
    File(PathBuf),
}

impl PasswordSource {
    /// The file, where it is in one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Value(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

impl PartialEq for PasswordSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one.expose() == other.expose(),
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Value(_), Self::File(_)) | (Self::File(_), Self::Value(_)) => false,
        }
    }
}

impl Eq for PasswordSource {}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => formatter.write_str("Value([redacted])"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let value = PasswordSource::Value(Secret::new("hunter2".to_owned()));
        assert_eq!(format!("{value:?}"), "Value([redacted])");
        assert_eq!(value, value.clone());
        assert_ne!(value, PasswordSource::File("hunter2".into()));
    }
}
