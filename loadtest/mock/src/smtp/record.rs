//! What came to a mail server.

use std::fmt;

use super::letter::{Letter, decoded};
use crate::log::Log;

/// One letter as it was submitted.
pub struct MailRecord {
    /// The session that it came in, counted from 1.
    pub session: u64,
    /// The rule that it breaks; `None` for a good one.
    pub fault: Option<&'static str>,
    /// Whether the server took it, whatever the client was told.
    pub is_taken: bool,
    /// The sender of the envelope.
    pub from: String,
    /// The recipient of the envelope.
    pub to: String,
    pub(super) letter: Letter,
}

impl MailRecord {
    /// A header field by its name in any case, unfolded.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.letter.header(name)
    }

    /// The names of all header fields as sent.
    pub fn header_names(&self) -> Vec<&str> {
        self.letter.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The subject, decoded.
    pub fn subject(&self) -> String {
        decoded(self.letter.header("subject").unwrap_or_default())
    }

    /// The text, decoded.
    pub fn text(&self) -> &str {
        &self.letter.text
    }
}

/// Neither address nor text: there is a code in it.
impl fmt::Debug for MailRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MailRecord")
            .field("session", &self.session)
            .field("fault", &self.fault)
            .field("is_taken", &self.is_taken)
            .finish_non_exhaustive()
    }
}

/// The letters of one server.
pub type MailLog = Log<MailRecord>;
