//! What came: a bounded record of letters, and waits on it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use super::letter::{Letter, decoded};
use crate::MockError;
use crate::sync::lock;

/// One letter as it was submitted.
#[derive(Clone)]
pub struct MailRecord {
    /// Counts all records of a server from 1.
    pub sequence: u64,
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
            .field("sequence", &self.sequence)
            .field("session", &self.session)
            .field("fault", &self.fault)
            .field("is_taken", &self.is_taken)
            .finish_non_exhaustive()
    }
}

/// The letters of one server.
pub struct MailLog {
    records_max: usize,
    records: Mutex<VecDeque<MailRecord>>,
    sequence: watch::Sender<u64>,
}

impl MailLog {
    pub(super) fn new(records_max: usize) -> Self {
        Self { records_max, records: Mutex::default(), sequence: watch::Sender::new(0) }
    }

    /// The letters still on record, oldest first.
    pub fn records(&self) -> Vec<MailRecord> {
        lock(&self.records).iter().cloned().collect()
    }

    /// Waits until `count` letters on record fit `wanted`, and returns those, oldest first.
    ///
    /// Fails with [`MockError::Deadline`] when they did not come within `deadline`.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&MailRecord) -> bool,
        deadline: Duration,
    ) -> Result<Vec<MailRecord>, MockError> {
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

    pub(super) fn keep(&self, mut record: MailRecord) {
        let mut records = lock(&self.records);
        record.sequence = *self.sequence.borrow() + 1;
        if records.len() >= self.records_max {
            records.pop_front();
        }
        let sequence = record.sequence;
        records.push_back(record);
        drop(records);
        self.sequence.send_replace(sequence);
    }
}

impl fmt::Debug for MailLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MailLog").field("records", &lock(&self.records).len()).finish()
    }
}
