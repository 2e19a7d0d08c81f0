//! Failures are told, and not over and over: each kind once in a while, with the number of those that were not told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tocsin_model::{AuditActor, AuditEvent, AuditKind};
use tokio::time::Instant;

use super::LocationFault;

/// Time between two lines of the log about the same kind of failure, and between two rows of the audit trail.
const LOG_GAP: Duration = Duration::from_secs(1);
const AUDIT_GAP: Duration = Duration::from_secs(60);

/// What was told when, to the log and to the trail.
#[derive(Debug, Default)]
pub(super) struct Reports {
    log: Told,
    audit: Told,
}

/// At most one entry for each kind.
#[derive(Debug, Default)]
struct Told(Mutex<BTreeMap<LocationFault, Last>>);

#[derive(Debug)]
struct Last {
    at: Instant,
    untold: u64,
}

impl Reports {
    /// Says in the log that a place is not known, and answers with what the audit trail is to be told. The address stands
    /// in neither.
    pub(super) fn tell(
        &self,
        fault: LocationFault,
        source: &'static str,
        now: Instant,
    ) -> Option<AuditEvent> {
        let word = fault.as_str();
        if let Some(untold) = self.log.due(fault, LOG_GAP, now) {
            tracing::warn!(
                source,
                fault = word,
                untold,
                "a place is not known; the message is shown without the origin"
            );
        }
        let untold = self.audit.due(fault, AUDIT_GAP, now)?;
        let detail = format!("{source} {word}, {untold} more since the last row");
        Some(AuditEvent::new(AuditKind::PlaceUnknown, AuditActor::Server).detail(&detail))
    }
}

impl Told {
    /// How many were not told since the last time, where it is time for another.
    fn due(&self, fault: LocationFault, gap: Duration, now: Instant) -> Option<u64> {
        // A panic of another holder cannot leave half an entry.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(&fault) {
            Some(last) if now.saturating_duration_since(last.at) < gap => {
                last.untold += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.untold))
            }
            None => {
                told.insert(fault, Last { at: now, untold: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_told_once_in_a_while_with_the_number_of_the_others() {
        let (told, gap, now) = (Told::default(), LOG_GAP, Instant::now());
        assert_eq!(told.due(LocationFault::Timeout, gap, now), Some(0));
        assert_eq!(told.due(LocationFault::Status, gap, now), Some(0));
        for _ in 0..3 {
            assert_eq!(told.due(LocationFault::Timeout, gap, now + gap / 2), None);
        }
        assert_eq!(told.due(LocationFault::Timeout, gap, now + gap), Some(3));
        assert_eq!(told.due(LocationFault::Timeout, gap, now + 2 * gap), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_trail_is_told_the_first_and_then_one_a_minute() {
        let (reports, now) = (Reports::default(), Instant::now());
        let event = reports.tell(LocationFault::Timeout, "service", now).expect("the first");
        assert_eq!(event.kind, AuditKind::PlaceUnknown);
        assert_eq!(event.detail.as_deref(), Some("service timeout, 0 more since the last row"));
        for second in 1..60 {
            let at = now + Duration::from_secs(second);
            assert_eq!(reports.tell(LocationFault::Timeout, "service", at), None);
        }
        let event = reports.tell(LocationFault::Timeout, "service", now + AUDIT_GAP).expect("a minute later");
        assert_eq!(event.detail.as_deref(), Some("service timeout, 59 more since the last row"));
    }
}
