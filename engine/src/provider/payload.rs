//! Writing a payload from fixed parts and escaped texts, within a network's limit. Pure.

use bytes::Bytes;
use serde_json::Value;
use tocsin_model::SealedChallenge;

use crate::device::base64url;

/// Longest payload of APNs, and longest data of FCM, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4_096;

/// A sealed challenge as the members `enc` and `ct` carry it; both need no escape.
pub(super) struct SealedText {
    pub(super) enc: String,
    pub(super) ct: String,
}

impl SealedText {
    /// The text of a seal.
    pub(super) fn of(sealed: &SealedChallenge) -> Self {
        Self { enc: base64url(&sealed.encapsulated), ct: base64url(&sealed.ciphertext) }
    }
}

/// A JSON text in the making.
#[derive(Clone)]
pub(super) struct PayloadWriter(String);

impl PayloadWriter {
    /// Starts with `first` as it stands.
    pub(super) fn new(first: &str) -> Self {
        let mut text = String::with_capacity(512);
        text.push_str(first);
        Self(text)
    }

    /// JSON as it stands.
    pub(super) fn raw(mut self, json: &str) -> Self {
        self.0.push_str(json);
        self
    }

    /// `text` as a JSON string with its quotes.
    pub(super) fn string(mut self, text: &str) -> Self {
        self.0.push_str(&Value::from(text).to_string());
        self
    }

    /// A value whose text needs no escape, such as an id or a number, as a JSON string with its quotes.
    pub(super) fn plain(mut self, value: impl std::fmt::Display) -> Self {
        use std::fmt::Write as _;
        let written = write!(self.0, "\"{value}\"");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        self
    }

    /// The finished text.
    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_parts_stay_as_they_are() {
        let payload =
            PayloadWriter::new("{\"a\":").string("\"\n<ü>").raw(",\"b\":").plain(7).raw("}").finish();
        let parsed: Value = serde_json::from_slice(&payload).expect("json");
        assert_eq!(parsed, serde_json::json!({"a": "\"\n<ü>", "b": "7"}));
    }
}
