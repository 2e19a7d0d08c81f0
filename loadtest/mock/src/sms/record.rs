//! What came: a bounded record of text messages, and waits on it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::request::Parts;
use tokio::sync::watch;

use crate::MockError;
use crate::sync::lock;
use crate::wire::{Call, ConnectionNumber};

/// One message as a gateway was given it.
#[derive(Clone)]
pub struct SmsRecord {
    /// Counts all records of a server from 1.
    pub sequence: u64,
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
            sequence: 0,
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
            .field("sequence", &self.sequence)
            .field("fault", &self.fault)
            .field("answered", &self.answered)
            .field("is_taken", &self.is_taken)
            .finish_non_exhaustive()
    }
}

/// The messages of one gateway.
pub struct SmsLog {
    records_max: usize,
    records: Mutex<VecDeque<Arc<SmsRecord>>>,
    sequence: watch::Sender<u64>,
}

impl SmsLog {
    pub(super) fn new(records_max: usize) -> Self {
        Self { records_max, records: Mutex::default(), sequence: watch::Sender::new(0) }
    }

    /// The messages still on record, oldest first, refused ones included.
    pub fn records(&self) -> Vec<Arc<SmsRecord>> {
        lock(&self.records).iter().cloned().collect()
    }

    /// The messages that the gateway sends on.
    pub fn taken(&self) -> Vec<Arc<SmsRecord>> {
        let mut records = self.records();
        records.retain(|record| record.is_taken);
        records
    }

    /// Waits until `count` messages on record fit `wanted`, and returns those, oldest first.
    ///
    /// Fails with [`MockError::Deadline`] when they did not come within `deadline`.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&SmsRecord) -> bool,
        deadline: Duration,
    ) -> Result<Vec<Arc<SmsRecord>>, MockError> {
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

    pub(super) fn keep(&self, mut record: SmsRecord) {
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

impl fmt::Debug for SmsLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmsLog").field("records", &lock(&self.records).len()).finish()
    }
}
