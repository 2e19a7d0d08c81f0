//! The audit trail.

use tocsin_model::{AuditActor, AuditEvent, AuditKind, AuditRow, DurationMs, State};
use tocsin_storage::{
    AuditChecked, AuditCheckpoint, AuditCut, AuditQuery, AuditSummary, Ended, PushTargetVerdict,
};

use super::Bench;
use crate::fixture::*;

const DAY: DurationMs = DurationMs::from_seconds(86_400);

fn all() -> AuditQuery {
    AuditQuery { limit: 1_000, ..AuditQuery::default() }
}

impl Bench {
    /// Every row, oldest first.
    async fn trail(&self) -> Vec<AuditRow> {
        let mut rows = self.store.audit(all()).await.expect("read").rows;
        rows.reverse();
        rows
    }

    async fn kinds(&self) -> Vec<&'static str> {
        self.trail().await.iter().map(|row| row.event.kind.as_str()).collect()
    }

    async fn note(&self, filter: &str) {
        let event = AuditEvent::new(AuditKind::LogLevelSet, AuditActor::Console).detail(filter);
        self.store.note(event).await.expect("stored");
    }

    async fn notes(&self, count: u64) {
        for number in 1..=count {
            self.note(&number.to_string()).await;
        }
    }

    /// Checks the whole trail, which must be sound.
    async fn checked(&self) -> AuditSummary {
        let mut checkpoint = AuditCheckpoint::default();
        loop {
            match self.store.check_audit(checkpoint).await.expect("read") {
                AuditChecked::More(next) => checkpoint = next,
                AuditChecked::Sound(summary) => return summary,
                AuditChecked::Broken(fault) => panic!("{fault:?}"),
            }
        }
    }
}

pub async fn every_change_leaves_its_row(bench: Bench) {
    bench.enrolled(1).await;
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.attempt(tried(transaction(1)), 0).await.expect("stored");
    let _ = bench.store.end(answered(tried(transaction(1)), device_id(1), START)).await.expect("stored");
    let _ = bench.store.open_enrollment(new_enrollment(2)).await.expect("stored");
    let _ = bench.store.cancel_enrollment(enrollment(2).id).await.expect("stored");
    let dead = PushTargetVerdict::Dead { since: None };
    let _ =
        bench.store.judge_push_target(tocsin_model::PushKind::Apns, token(1), dead).await.expect("stored");
    let operator = AuditActor::Operator("console".parse().expect("a name"));
    let _ = bench.store.revoke_device(device_id(1), operator.clone(), START).await.expect("stored");

    let client = || AuditActor::Client("portal".parse().expect("a name"));
    let about = |kind, actor| AuditEvent::new(kind, actor).user(&user(1));
    let phone = || AuditActor::Device(device_id(1));
    let of_enrollment = |kind, actor| about(kind, actor).enrollment(enrollment(1).id);
    let of_second = |kind| AuditEvent::new(kind, client()).user(&user(2)).enrollment(enrollment(2).id);
    let of_transaction = |kind, actor| about(kind, actor).transaction(&transaction(1));
    let expected = [
        of_enrollment(AuditKind::EnrollmentOpened, client()),
        of_enrollment(AuditKind::DeviceEnrolled, phone()).device(device_id(1)),
        of_enrollment(AuditKind::EnrollmentEnded, phone()).device(device_id(1)).detail("completed"),
        of_transaction(AuditKind::TransactionStarted, client()),
        of_transaction(AuditKind::WrongTry, client()).detail("1"),
        of_transaction(AuditKind::TransactionEnded, phone())
            .device(device_id(1))
            .detail("accepted biometric"),
        of_second(AuditKind::EnrollmentOpened),
        of_second(AuditKind::EnrollmentEnded).detail("failed"),
        about(AuditKind::DeviceChanged, AuditActor::Server).device(device_id(1)).detail("unreachable"),
        about(AuditKind::DeviceRevoked, operator).device(device_id(1)),
    ];
    let trail = bench.trail().await;
    let found: Vec<&AuditEvent> = trail.iter().map(|row| &row.event).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
    assert!(trail.iter().all(|row| row.at == START));
}

pub async fn what_loses_or_is_refused_leaves_none(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.create(new_transaction(1)).await.expect("answered");
    let _ = bench.store.end(ended(transaction(1), State::Timeout)).await.expect("stored");
    let lost = bench.store.end(ended(transaction(1), State::Cancelled)).await.expect("answered");
    assert!(matches!(lost, Ended::Lost(_)));
    let _ = bench.store.attempt(tried(transaction(1)), 0).await.expect("answered");
    let _ = bench.store.enrol(code_hash(9), device(9), RULES, START).await.expect("answered");
    let _ = bench.store.revoke_device(device_id(9), AuditActor::Server, START).await.expect("answered");
    bench.store.mark(marked(transaction(1), 9, tocsin_model::DeliveryStatus::Sent)).await.expect("answered");
    assert_eq!(bench.kinds().await, ["transaction_started", "transaction_ended"]);
}

pub async fn rows_are_numbered_and_chained(bench: Bench) {
    let empty = bench.checked().await;
    assert_eq!((empty.rows, empty.last), (0, 0));
    // Submitted before any is answered, so that some are stored together.
    let pending: Vec<_> = (1..=40).map(|salt| bench.store.create(new_transaction(salt))).collect();
    for created in pending {
        let _ = created.await.expect("stored");
    }
    let trail = bench.trail().await;
    let numbers: Vec<u64> = trail.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    let summary = bench.checked().await;
    assert_eq!((summary.first, summary.last, summary.rows), (1, 40, 40));
    assert_eq!(Some(summary.hash), trail.last().map(|row| row.hash));
}

pub async fn a_list_begins_with_the_newest_and_goes_on_behind_its_cursor(bench: Bench) {
    bench.notes(5).await;
    let page = |before, limit| bench.store.audit(AuditQuery { before, limit, ..AuditQuery::default() });
    let numbers = |rows: &[AuditRow]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    let first = page(None, 2).await.expect("read");
    assert_eq!((numbers(&first.rows), first.next), (vec![5, 4], Some(4)));
    bench.note("6").await;
    let second = page(first.next, 2).await.expect("read");
    assert_eq!((numbers(&second.rows), second.next), (vec![3, 2], Some(2)));
    let last = page(second.next, 2).await.expect("read");
    assert_eq!((numbers(&last.rows), last.next), (vec![1], None));
    assert_eq!(page(Some(1), 2).await.expect("read").rows, []);
    assert_eq!(page(Some(2), 1).await.expect("read").next, None, "nothing comes before the first");
}

pub async fn a_list_is_narrowed_by_user_transaction_type_kind_and_time(bench: Bench) {
    for salt in 1..=3 {
        let mut new = new_transaction(salt);
        if salt == 3 {
            new.transaction.type_name = "payment".parse().expect("a name");
        }
        let _ = bench.store.create(new).await.expect("stored");
        bench.clock.advance(MINUTE);
    }
    let _ = bench.store.end(ended(transaction(1), State::Timeout)).await.expect("stored");
    let numbers = async |query: AuditQuery| -> Vec<u64> {
        bench.store.audit(query).await.expect("read").rows.iter().map(|row| row.number).collect()
    };
    assert_eq!(numbers(AuditQuery { user: Some(user(1)), ..all() }).await, [4, 1]);
    assert_eq!(numbers(AuditQuery { transaction: Some(transaction_id(2)), ..all() }).await, [2]);
    let payment = "payment".parse().expect("a name");
    assert_eq!(numbers(AuditQuery { type_name: Some(payment), ..all() }).await, [3]);
    assert_eq!(numbers(AuditQuery { kind: Some(AuditKind::TransactionEnded), ..all() }).await, [4]);
    let second = START.plus(MINUTE);
    assert_eq!(numbers(AuditQuery { from: Some(second), ..all() }).await, [4, 3, 2]);
    assert_eq!(numbers(AuditQuery { to: Some(second), ..all() }).await, [1]);
    let millisecond = DurationMs::new(1);
    assert_eq!(
        numbers(AuditQuery { from: Some(second), to: Some(second.plus(millisecond)), ..all() }).await,
        [2]
    );
    assert_eq!(numbers(AuditQuery { from: Some(START.plus(DAY)), ..all() }).await, [0; 0]);
    assert_eq!(numbers(AuditQuery { to: Some(START), ..all() }).await, [0; 0]);
}

pub async fn a_list_says_where_to_go_on_though_it_found_nothing(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let note = || AuditEvent::new(AuditKind::LogLevelSet, AuditActor::Console);
    for _ in 0..41 {
        let pending: Vec<_> = (0..500).map(|_| bench.store.note(note())).collect();
        for stored in pending {
            stored.await.expect("stored");
        }
    }
    let mut query = AuditQuery { user: Some(user(1)), ..all() };
    let first = bench.store.audit(query.clone()).await.expect("read");
    assert!(first.rows.is_empty());
    query.before = first.next;
    let second = bench.store.audit(query).await.expect("read");
    assert_eq!((second.rows.len(), second.next), (1, None));
    assert_eq!(bench.checked().await.rows, 20_501);
}

pub async fn a_cut_takes_a_whole_prefix_and_says_so(bench: Bench) {
    bench.notes(3).await;
    assert_eq!(bench.store.cut_audit(START).await.expect("answered"), AuditCut { cut: 0, more: false });
    bench.clock.advance(DAY);
    bench.notes(2).await;
    let cut = bench.store.cut_audit(START.plus(DAY)).await.expect("stored");
    assert_eq!(cut, AuditCut { cut: 3, more: false });
    let trail = bench.trail().await;
    assert_eq!(trail.iter().map(|row| row.number).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(trail[2].event.kind, AuditKind::TrailCut);
    assert!(trail[2].event.detail.as_deref().is_some_and(|detail| detail.starts_with("3 ")), "{trail:?}");
    let summary = bench.checked().await;
    assert_eq!((summary.first, summary.last, summary.rows), (4, 6, 3));

    bench.clock.advance(DAY);
    let everything = bench.store.cut_audit(bench.clock.now()).await.expect("stored");
    assert_eq!(everything, AuditCut { cut: 3, more: false });
    assert_eq!(bench.kinds().await, ["trail_cut"]);
    assert_eq!(bench.checked().await.first, 7);
}

pub async fn the_time_of_the_trail_never_runs_back(bench: Bench) {
    bench.notes(1).await;
    bench.clock.set_back(MINUTE);
    bench.notes(1).await;
    bench.clock.advance(DAY);
    bench.notes(1).await;
    let times: Vec<_> = bench.trail().await.iter().map(|row| row.at).collect();
    assert_eq!(times[..2], [START, START]);
    assert!(times[2] > START);
}
