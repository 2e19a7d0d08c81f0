//! Passwords for somebody else's server, read where the configuration says they are.

use std::path::PathBuf;

use tocsin_config::PasswordSource;
use tocsin_model::Secret;
use zeroize::Zeroizing;

/// Most bytes of a password.
const PASSWORD_BYTES_MAX: usize = 500;

/// Why there is no password; what is in the file is not told.
#[derive(Debug)]
pub(crate) enum PasswordFault {
    /// The file cannot be read.
    Unreadable { path: PathBuf, reason: std::io::Error },
    /// It is not a password of 1 to 500 bytes in one line.
    NotAPassword { path: PathBuf },
}

/// The password.
pub(crate) fn read(source: &PasswordSource) -> Result<Secret<String>, PasswordFault> {
    let path = match source {
        PasswordSource::Value(value) => return Ok(value.clone()),
        PasswordSource::File(path) => path,
    };
    let unreadable = |reason| PasswordFault::Unreadable { path: path.clone(), reason };
    let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let text = std::str::from_utf8(&bytes).ok().map(|text| text.trim_end_matches(['\r', '\n']));
    let fits =
        |text: &&str| (1..=PASSWORD_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    let text = text.filter(fits).ok_or_else(|| PasswordFault::NotAPassword { path: path.clone() })?;
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_of_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let source = PasswordSource::File(path.clone());
        assert!(matches!(read(&source), Err(PasswordFault::Unreadable { .. })));
        for (text, expected) in [("pass word: ü\r\n", "pass word: ü"), ("x", "x"), (" x ", " x ")] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(read(&source).expect("a password").expose(), expected);
        }
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        std::fs::write(&path, &longest).expect("written");
        assert!(read(&source).is_ok());
        for wrong in ["", "\n", "two\nlines", "a\tb", &(longest + "x")] {
            std::fs::write(&path, wrong).expect("written");
            assert!(matches!(read(&source), Err(PasswordFault::NotAPassword { .. })), "{wrong:?}");
        }
        std::fs::write(&path, b"\xff").expect("written");
        assert!(matches!(read(&source), Err(PasswordFault::NotAPassword { .. })));
    }
}
