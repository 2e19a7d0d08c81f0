//! What came: a bounded record of pushes, waits on it, and the phones that listen.
//!
//! The record forgets its oldest entries, a listener that does not keep up loses pushes; both are
//! counted. `Debug` shows neither targets, headers nor payloads.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::sync::lock;
use crate::{ConnectionNumber, MockError};

/// Pushes that a listener may leave unread.
const SUBSCRIPTION_DEPTH: usize = 64;
/// Most listeners at a time.
const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// Taken; the id is what the provider answered with (`apns-id`, or FCM's message name).
    Accepted {
        /// The provider's id of the message.
        message_id: String,
    },
    /// Valid, but only a dry run (`validate_only`): no phone gets it.
    Validated,
    /// Refused with this status and reason (APNs `reason`, FCM `errorCode` or else `status`).
    Refused {
        /// HTTP status.
        status: u16,
        /// The provider's word for it.
        reason: String,
    },
    /// Read but, by script, neither processed nor answered.
    Unprocessed,
}

/// One push as it came over the wire.
pub struct PushRecord {
    /// Counts all records of a server from 1.
    pub sequence: u64,
    /// The connection it came over.
    pub connection: ConnectionNumber,
    /// What became of it.
    pub outcome: PushOutcome,
    /// When its headers had been read.
    pub arrived_at: Instant,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl PushRecord {
    /// The device token, registration token or installation id; empty if the request named none.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// A header as sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as sent.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The body as JSON, if it is JSON.
    pub fn payload_json(&self) -> Option<Value> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// Whether the provider took it for delivery.
    pub fn is_accepted(&self) -> bool {
        matches!(self.outcome, PushOutcome::Accepted { .. })
    }
}

impl fmt::Debug for PushRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PushRecord")
            .field("sequence", &self.sequence)
            .field("connection", &self.connection)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// The record of one server and the listeners to it.
pub struct PushLog {
    keep: bool,
    records_max: usize,
    records: Mutex<VecDeque<Arc<PushRecord>>>,
    sequence: watch::Sender<u64>,
    phones: Mutex<Phones>,
    phone_count: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    unprocessed: AtomicU64,
    overflowed: AtomicU64,
}

#[derive(Default)]
struct Phones {
    by_target: HashMap<String, mpsc::Sender<Arc<PushRecord>>>,
    to_all: Vec<mpsc::Sender<Arc<PushRecord>>>,
}

impl PushLog {
    /// A log that keeps the last `records_max` pushes if `keep` is set, else none.
    pub(crate) fn new(keep: bool, records_max: usize) -> Self {
        Self {
            keep,
            records_max,
            records: Mutex::new(VecDeque::new()),
            sequence: watch::Sender::new(0),
            phones: Mutex::new(Phones::default()),
            phone_count: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unprocessed: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
        }
    }

    /// The pushes still on record, oldest first.
    pub fn records(&self) -> Vec<Arc<PushRecord>> {
        lock(&self.records).iter().cloned().collect()
    }

    /// Waits until a push on record, old or new, fits `wanted`, and returns the oldest that does.
    ///
    /// Fails with [`MockError::Deadline`] when none came within `deadline`.
    pub async fn wait_for_push(
        &self,
        wanted: impl Fn(&PushRecord) -> bool,
        deadline: Duration,
    ) -> Result<Arc<PushRecord>, MockError> {
        let mut news = self.sequence.subscribe();
        let mut seen = 0;
        let search = async {
            loop {
                let newest = *news.borrow_and_update();
                if let Some(found) = self.find_after(seen, &wanted) {
                    return Ok(found);
                }
                seen = newest;
                news.changed().await.map_err(|_| MockError::Stopped)?;
            }
        };
        tokio::time::timeout(deadline, search).await.unwrap_or(Err(MockError::Deadline { waited: deadline }))
    }

    /// What one phone receives: each accepted push for `target` from now on. A second listener for the
    /// same target takes the place of the first.
    pub fn subscribe(&self, target: &str) -> Result<mpsc::Receiver<Arc<PushRecord>>, MockError> {
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION_DEPTH);
        let mut phones = lock(&self.phones);
        if phones.by_target.len() >= SUBSCRIPTIONS_MAX {
            phones.by_target.retain(|_, listener| !listener.is_closed());
        }
        if phones.by_target.len() >= SUBSCRIPTIONS_MAX {
            return Err(MockError::Full { what: "the table of listeners", max: SUBSCRIPTIONS_MAX });
        }
        phones.by_target.insert(target.to_owned(), sender);
        self.phone_count.store(phones.count(), Ordering::Release);
        Ok(receiver)
    }

    /// Each accepted push from now on, for a crowd of phones behind one listener that may leave `depth`
    /// pushes unread.
    pub fn subscribe_all(&self, depth: usize) -> mpsc::Receiver<Arc<PushRecord>> {
        let (sender, receiver) = mpsc::channel(depth.max(1));
        let mut phones = lock(&self.phones);
        phones.to_all.retain(|listener| !listener.is_closed());
        phones.to_all.push(sender);
        self.phone_count.store(phones.count(), Ordering::Release);
        receiver
    }

    /// Pushes taken, dry runs included.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// Pushes refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Requests that by script were neither processed nor answered.
    pub fn unprocessed(&self) -> u64 {
        self.unprocessed.load(Ordering::Acquire)
    }

    /// Pushes that a listener lost because it did not keep up.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Acquire)
    }

    /// Whether anybody would see a record; if not, none needs to be made.
    pub(crate) fn is_watched(&self) -> bool {
        self.keep || self.phone_count.load(Ordering::Acquire) > 0
    }

    /// Counts an outcome of which no record is made.
    pub(crate) fn count(&self, outcome: &PushOutcome) {
        let counter = match outcome {
            PushOutcome::Accepted { .. } | PushOutcome::Validated => &self.accepted,
            PushOutcome::Refused { .. } => &self.refused,
            PushOutcome::Unprocessed => &self.unprocessed,
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts, keeps and hands on one push; the record's sequence is set here.
    pub(crate) fn record(&self, mut record: PushRecord) {
        self.count(&record.outcome);
        if !self.keep {
            return self.hand_on(&Arc::new(record));
        }
        let mut records = lock(&self.records);
        record.sequence = *self.sequence.borrow() + 1;
        let record = Arc::new(record);
        if records.len() >= self.records_max {
            records.pop_front();
        }
        records.push_back(Arc::clone(&record));
        self.sequence.send_replace(record.sequence);
        drop(records);
        self.hand_on(&record);
    }

    fn hand_on(&self, record: &Arc<PushRecord>) {
        if !record.is_accepted() || self.phone_count.load(Ordering::Acquire) == 0 {
            return;
        }
        let phones = lock(&self.phones);
        for listener in phones.by_target.get(&record.target).into_iter().chain(&phones.to_all) {
            if matches!(listener.try_send(Arc::clone(record)), Err(mpsc::error::TrySendError::Full(_))) {
                self.overflowed.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn find_after(&self, sequence: u64, wanted: impl Fn(&PushRecord) -> bool) -> Option<Arc<PushRecord>> {
        let records = lock(&self.records);
        records.iter().find(|record| record.sequence > sequence && wanted(record)).cloned()
    }
}

impl Phones {
    fn count(&self) -> usize {
        self.by_target.len() + self.to_all.len()
    }
}

impl fmt::Debug for PushLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PushLog")
            .field("accepted", &self.accepted())
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}
