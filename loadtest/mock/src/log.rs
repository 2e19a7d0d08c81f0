//! What came to a double: a bounded record, and waits on it. It forgets its oldest entries.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::MockError;
use crate::sync::lock;

/// What came to one double, in the order in which it came.
pub struct Log<R> {
    records_max: usize,
    records: Mutex<VecDeque<Arc<R>>>,
    news: watch::Sender<()>,
}

impl<R> Log<R> {
    pub(crate) fn new(records_max: usize) -> Self {
        Self { records_max, records: Mutex::default(), news: watch::Sender::new(()) }
    }

    /// What is still on record, oldest first, refused ones included.
    pub fn records(&self) -> Vec<Arc<R>> {
        lock(&self.records).iter().cloned().collect()
    }

    /// Waits until `count` of those on record fit `wanted`, and returns these, oldest first.
    ///
    /// Fails with [`MockError::Deadline`] when they did not come within `deadline`.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&R) -> bool,
        deadline: Duration,
    ) -> Result<Vec<Arc<R>>, MockError> {
        let mut news = self.news.subscribe();
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

    pub(crate) fn keep(&self, record: R) {
        let mut records = lock(&self.records);
        if records.len() >= self.records_max {
            records.pop_front();
        }
        records.push_back(Arc::new(record));
        drop(records);
        self.news.send_replace(());
    }
}

/// Says how many there are: what is in them is nobody's business.
impl<R> fmt::Debug for Log<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Log").field("records", &lock(&self.records).len()).finish()
    }
}
