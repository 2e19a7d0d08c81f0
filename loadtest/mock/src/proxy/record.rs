//! What was asked of the proxy: a bounded record, and waits on it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use crate::MockError;
use crate::sync::lock;

/// One CONNECT, or what came in place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRecord {
    /// Counts all records of a proxy from 1.
    pub sequence: u64,
    /// `host:port` as asked; empty where the request is none.
    pub target: String,
    /// Whether it came with user name and password, right or wrong.
    pub has_credentials: bool,
    /// The rule that the request breaks; `None` for a good one.
    pub fault: Option<&'static str>,
    /// The status that it was answered with; `None` when it was not answered.
    pub answered: Option<u16>,
}

impl ProxyRecord {
    /// Whether the proxy let it through.
    pub fn is_let_through(&self) -> bool {
        self.answered == Some(200)
    }
}

/// What was asked of one proxy.
pub struct ProxyLog {
    records_max: usize,
    records: Mutex<VecDeque<ProxyRecord>>,
    sequence: watch::Sender<u64>,
}

impl ProxyLog {
    pub(super) fn new(records_max: usize) -> Self {
        Self { records_max, records: Mutex::default(), sequence: watch::Sender::new(0) }
    }

    /// What is still on record, oldest first.
    pub fn records(&self) -> Vec<ProxyRecord> {
        lock(&self.records).iter().cloned().collect()
    }

    /// Waits until `count` requests on record fit `wanted`, and returns those, oldest first.
    ///
    /// Fails with [`MockError::Deadline`] when they did not come within `deadline`.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&ProxyRecord) -> bool,
        deadline: Duration,
    ) -> Result<Vec<ProxyRecord>, MockError> {
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

    /// Keeps a record; its number is given here.
    pub(super) fn keep(&self, mut record: ProxyRecord) {
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

impl fmt::Debug for ProxyLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProxyLog").field("records", &lock(&self.records).len()).finish()
    }
}
