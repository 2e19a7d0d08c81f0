//! What came to a gateway.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

use crate::log::Log;
use crate::wire::{Call, ConnectionNumber};

/// One message as a gateway was given it.
pub struct SmsRecord {
    /// The connection that it came on.
    pub connection: ConnectionNumber,
    /// What is wrong with it; `None` for a good one.
    pub fault: Option<&'static str>,
    /// The status that it was answered with; `None` when it was not answered.
    pub answered: Option<u16>,
    /// Whether the gateway took it upon itself to send it, whatever the caller was told.
    pub is_taken: bool,
    /// The gateway's id of it, where it was taken.
    pub sid: Option<String>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) head: Parts,
    pub(super) body: String,
}

impl SmsRecord {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            connection: call.connection,
            fault: None,
            answered: None,
            is_taken: false,
            sid: None,
            fields: Vec::new(),
            head: call.head.clone(),
            body: String::from_utf8_lossy(&call.body).into_owned(),
        }
    }

    /// A field of the message by its own name, such as `To` or `to`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The number that it goes to.
    pub fn to(&self) -> &str {
        self.field("To").or_else(|| self.field("to")).unwrap_or_default()
    }

    /// What the user reads.
    pub fn text(&self) -> &str {
        self.field("Body").or_else(|| self.field("text")).unwrap_or_default()
    }

    /// A header as sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Method, path and query.
    pub fn request_line(&self) -> String {
        let target = self.head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        format!("{} {target}", self.head.method)
    }

    /// The body as it came.
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl fmt::Debug for SmsRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SmsRecord")
            .field("fault", &self.fault)
            .field("answered", &self.answered)
            .field("is_taken", &self.is_taken)
            .finish_non_exhaustive()
    }
}

/// The messages of one gateway.
pub type SmsLog = Log<SmsRecord>;

impl SmsLog {
    /// The messages that the gateway sends on.
    pub fn taken(&self) -> Vec<Arc<SmsRecord>> {
        let mut records = self.records();
        records.retain(|record| record.is_taken);
        records
    }
}
