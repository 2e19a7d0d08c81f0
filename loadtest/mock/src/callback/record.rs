//! What came to a portal.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::log::Log;

/// One callback as it came over the wire.
pub struct CallbackRecord {
    /// What is wrong with it; `None` for a good one.
    pub fault: Option<&'static str>,
    /// The status that it was answered with; `None` when it was not answered.
    pub answered: Option<u16>,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl CallbackRecord {
    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A header as sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the portal took it.
    pub fn is_taken(&self) -> bool {
        self.answered.is_some_and(|status| (200..300).contains(&status))
    }
}

impl fmt::Debug for CallbackRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CallbackRecord")
            .field("fault", &self.fault)
            .field("answered", &self.answered)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The callbacks of one server.
pub type CallbackLog = Log<CallbackRecord>;
