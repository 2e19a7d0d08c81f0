//! What came: a bounded record of callbacks, and waits on it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::watch;

use crate::MockError;
use crate::sync::lock;

/// One callback as it came over the wire.
pub struct CallbackRecord {
    /// Counts all records of a server from 1.
    pub sequence: u64,
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
            .field("sequence", &self.sequence)
            .field("fault", &self.fault)
            .field("answered", &self.answered)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The callbacks of one server.
pub struct CallbackLog {
    records_max: usize,
    records: Mutex<VecDeque<Arc<CallbackRecord>>>,
    sequence: watch::Sender<u64>,
}

impl CallbackLog {
    pub(super) fn new(records_max: usize) -> Self {
        Self { records_max, records: Mutex::default(), sequence: watch::Sender::new(0) }
    }

    /// The callbacks still on record, oldest first.
    pub fn records(&self) -> Vec<Arc<CallbackRecord>> {
        lock(&self.records).iter().cloned().collect()
    }

    /// Waits until `count` callbacks on record fit `wanted`, and returns those, oldest first.
    ///
    /// Fails with [`MockError::Deadline`] when they did not come within `deadline`.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&CallbackRecord) -> bool,
        deadline: Duration,
    ) -> Result<Vec<Arc<CallbackRecord>>, MockError> {
        let mut news = self.sequence.subscribe();
        let search = async {
            loop {
                news.borrow_and_update();
                let mut found = self.records();
                found.retain(|record| wanted(record));
                if found.len() >= count {
                    return Ok(found);
                }
                news.changed().await.map_err(|_| MockError::Stopped)?;
            }
        };
        tokio::time::timeout(deadline, search).await.unwrap_or(Err(MockError::Deadline { waited: deadline }))
    }

    pub(super) fn keep(&self, mut record: CallbackRecord) {
        let mut records = lock(&self.records);
        record.sequence = *self.sequence.borrow() + 1;
        if records.len() >= self.records_max {
            records.pop_front();
        }
        let sequence = record.sequence;
        records.push_back(Arc::new(record));
        drop(records);
        self.sequence.send_replace(sequence);
    }
}

impl fmt::Debug for CallbackLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CallbackLog").field("records", &lock(&self.records).len()).finish()
    }
}
