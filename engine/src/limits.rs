//! Bounds of the engine that no operator needs to change; those that one may are in `[engine]`.

use std::time::Duration;

use tocsin_model::DurationMs;

/// How often rows of the audit trail whose retention is over are cut.
pub(crate) const AUDIT_CUT_INTERVAL: Duration = Duration::from_secs(600);

/// Cuts in a row; each takes a bounded number of rows, and the rest waits for the next time.
pub(crate) const AUDIT_CUTS_IN_A_ROW_MAX: usize = 1_000;

/// How long a network may keep the notice that another phone was enrolled.
pub(crate) const NOTICE_LIFE: DurationMs = DurationMs::from_seconds(3_600);

/// Messages waiting in the mailbox of one transaction.
pub(crate) const TRANSACTION_MAILBOX_MAX: usize = 32;

/// How often a call is asked again after the transaction's actor fell while it had it.
pub(crate) const ASK_AGAIN_MAX: usize = 2;

/// Open transactions read in one go at the start.
pub(crate) const RECOVERY_PAGE: usize = 1_000;

/// Such reads that are under way at once.
pub(crate) const RECOVERY_READS: usize = 3;

/// Ids of open transactions listed in one go at the start.
pub(crate) const RECOVERY_IDS: usize = 10_000;

/// Phones of open transactions that are looked at in one go after the start.
pub(crate) const RECOVERY_DEVICES: usize = 1_000;

/// Longest wait before a lost write is read back.
pub(crate) const READ_BACK_DELAY: Duration = Duration::from_millis(50);

/// Faults of one transaction after which it is revived only when it is asked for, and at its deadline.
pub(crate) const REVIVALS_MAX: u32 = 5;

/// Faults of one transaction after which not even its deadline revives it; the next start of the process does.
pub(crate) const LAST_REVIVALS_MAX: u32 = 2 * REVIVALS_MAX;

/// How often a fallen transaction is looked for in the storage before it counts as never stored.
pub(crate) const REVIVAL_LOOKS_MAX: usize = 30;

/// Longest wait between two such looks; all of them together come to more than half a minute.
pub(crate) const REVIVAL_WAIT_MAX: Duration = Duration::from_millis(1_500);

/// Final transactions whose actors stay for repeated calls; one more stops at once and is read from the storage.
pub(crate) const LINGERING_MAX: usize = 50_000;

/// Starts for one user that run or wait at once; one more is told so.
pub(crate) const TURNS_OF_A_USER_MAX: usize = 1_000;

/// Ended transactions that are being cleared from phones at once; the phones of one more keep its prompt.
pub(crate) const CLOSINGS_AT_ONCE_MAX: usize = 1_000;

/// How long a network keeps a closing push for a phone that is off.
pub(crate) const CLOSING_LIFE: DurationMs = DurationMs::from_seconds(300);

/// Telephone numbers whose codes of the last hour are counted; about 70 bytes each.
pub(crate) const SMS_NUMBERS_MAX: usize = 1_000_000;

/// Closing pushes are taken while a provider has less than this part of its queue in hand.
pub(crate) const CLOSING_SHARE_OF_QUEUE: usize = 4;

/// Wait before the first revival after a fault; doubles with each further one.
pub(crate) const REVIVAL_BACKOFF: Duration = Duration::from_millis(20);

/// Wait before a provider actor restarts after its first fault; doubles up to the next bound.
pub(crate) const PROVIDER_RESTART_MIN: Duration = Duration::from_millis(100);

/// Longest wait before a provider actor restarts.
pub(crate) const PROVIDER_RESTART_MAX: Duration = Duration::from_secs(30);

/// Wait before the callback actor restarts after its first fault; doubles up to the next bound.
pub(crate) const CALLBACK_RESTART_MIN: Duration = Duration::from_millis(100);

/// Longest wait before the callback actor restarts.
pub(crate) const CALLBACK_RESTART_MAX: Duration = Duration::from_secs(30);

/// How often the system clock is compared with ours.
pub(crate) const CLOCK_FOLLOW_INTERVAL: Duration = Duration::from_secs(5);

/// An arbiter that has not answered for this long is not healthy.
pub(crate) const HEALTHY_WITHIN: Duration = Duration::from_secs(5);

/// How often an arbiter shows that it lives.
pub(crate) const ARBITER_TICK: Duration = Duration::from_secs(1);

/// How often a drain looks whether the last held call has returned.
pub(crate) const DRAIN_POLL: Duration = Duration::from_millis(10);
