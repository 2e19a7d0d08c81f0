//! base64url without padding (RFC 4648, section 5) and the wire forms made of it.
//!
//! Decoding is strict: one value has one spelling, so padding, other alphabets and stray low bits are refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tocsin_model::{KeyId, Nonce};

/// `bytes` in base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The wire form of a `kid`: 22 characters of base64url.
pub fn key_id_text(kid: &KeyId) -> String {
    base64url(kid.as_bytes())
}

/// The wire form of a nonce: 22 characters of base64url.
pub fn nonce_text(nonce: &Nonce) -> String {
    base64url(nonce.as_bytes())
}

/// The bytes whose only spelling is `text`.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The `LENGTH` bytes whose only spelling is `text`.
pub(crate) fn decode_array<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    // The length is known before decoding, so that a long text costs nothing.
    if text.len() != (LENGTH * 4).div_ceil(3) {
        return None;
    }
    decode(text)?.try_into().ok()
}

/// The `kid` whose wire form is `text`.
pub(crate) fn parse_key_id(text: &str) -> Option<KeyId> {
    decode_array(text).map(KeyId::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_has_one_spelling() {
        let kid = KeyId::from_bytes([0xff; 16]);
        let text = key_id_text(&kid);
        assert_eq!(text, "_____________________w");
        assert_eq!(parse_key_id(&text), Some(kid));
        for other in
            ["_____________________w==", "/////////////////////w", "_____________________x", "", "_w"]
        {
            assert_eq!(parse_key_id(other), None, "{other}");
        }
    }
}
