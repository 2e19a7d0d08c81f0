//! The disk form of what the end of a transaction does to its user, and of what it takes the place of.

use minicbor::{Decode, Encode};
use tocsin_model::{BlockRule, DurationMs, Guard, ReportLock, TransactionId};

use super::is_unset;

/// What the end of a transaction does to its user.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct GuardRecord {
    #[cbor(n(0), skip_if = "is_unset")]
    counts: bool,
    #[n(1)]
    block_after: Option<u32>,
    #[n(2)]
    block_ms: Option<u64>,
    /// Zero stands for a lock without an end.
    #[n(3)]
    report_lock_ms: Option<u64>,
}

impl GuardRecord {
    pub(super) fn new(guard: Guard) -> Self {
        let Guard { counts, block, report_lock } = guard;
        Self {
            counts,
            block_after: block.map(|block| block.after),
            block_ms: block.map(|block| block.length.get()),
            report_lock_ms: report_lock.map(|lock| match lock {
                ReportLock::UntilRemoved => 0,
                ReportLock::For(length) => length.get(),
            }),
        }
    }

    pub(super) fn into_model(self) -> Guard {
        let Self { counts, block_after, block_ms, report_lock_ms } = self;
        let block = block_after.zip(block_ms);
        Guard {
            counts,
            block: block.map(|(after, length)| BlockRule { after, length: DurationMs::new(length) }),
            report_lock: report_lock_ms.map(|length| match length {
                0 => ReportLock::UntilRemoved,
                length => ReportLock::For(DurationMs::new(length)),
            }),
        }
    }
}

/// The id of another transaction.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct IdRecord(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl IdRecord {
    pub(super) fn new(id: &TransactionId) -> Self {
        Self(*id.as_bytes())
    }

    pub(super) fn to_model(&self) -> TransactionId {
        TransactionId::from_bytes(self.0)
    }
}
