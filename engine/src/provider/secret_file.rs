//! A secret that a gateway gave us, from its file: one line, kept out of every text.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tocsin_model::Secret;
use zeroize::Zeroizing;

use super::error::ProviderFault;

/// Longest secret in bytes.
const SECRET_BYTES_MAX: usize = 4_096;

/// Reads a secret; blanks and line ends around it do not belong to it.
pub(super) fn read_secret(key: &'static str, path: &Path) -> Result<Secret<String>, ProviderFault> {
    let unreadable = |reason| ProviderFault::Unreadable { key, path: path.to_owned(), reason };
    let text = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let secret = std::str::from_utf8(&text).map(str::trim).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_graphic();
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || !secret.bytes().all(fits) {
        return Err(ProviderFault::NotACredential {
            key,
            path: path.to_owned(),
            expected: "a secret on one line, without blanks in it",
            remedy: "put the secret as the gateway shows it into the file, and nothing else",
        });
    }
    Ok(Secret::new(secret.to_owned()))
}

/// The value of `Authorization` by HTTP Basic (RFC 7617).
pub(super) fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    sensitive(&Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair))))
}

/// The value of a header that holds a secret.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "  s3cret-of-the-account\r\n").expect("writable");
        let secret = read_secret("auth_token_file", &path).expect("a secret");
        assert_eq!(secret.expose(), "s3cret-of-the-account");
        let longest = "x".repeat(SECRET_BYTES_MAX + 1);
        for wrong in ["", "\n", "two words", "two\nlines", "ü", &longest] {
            std::fs::write(&path, wrong).expect("writable");
            let fault = read_secret("auth_token_file", &path).expect_err("refused").to_string();
            assert!(fault.contains("on one line") && !fault.contains("two"), "{fault}");
        }
        let gone = read_secret("auth_token_file", &folder.path().join("gone")).expect_err("gone").to_string();
        assert!(gone.contains("cannot read"), "{gone}");
    }

    #[test]
    fn a_password_is_sent_as_rfc_7617_says_and_not_shown() {
        let value = basic("Aladdin", "open sesame").expect("a header");
        assert_eq!(value.to_str().expect("ascii"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
