use super::*;
use DeliveryOutcome::{Failed, Relayed, Unknown};
use DeliveryReason as Reason;

use crate::transport::Interruption;

const MINUTE: Duration = Duration::from_secs(60);
const MOVE: Treatment = Treatment::MoveConnection { otherwise: Reason::Unavailable };
const RENEW: Treatment = Treatment::RenewToken { retires_connection: true };
const RETRY: Treatment = Treatment::QuickRetry { after: None };

fn answered(progress: &mut Progress, treatment: Treatment) -> Step {
    progress.answered(treatment, MINUTE, Duration::from_secs(1), 0.5)
}

fn cut() -> SendError {
    let connection = crate::transport::ConnectionNumber::for_tests(1);
    SendError::Unknown(Interruption::Cut { connection })
}

fn report(step: Step) -> DriverReport {
    match step {
        Step::Done(report) => report,
        Step::Again(again) => panic!("not done: {again:?}"),
    }
}

fn again(step: Step) -> Again {
    match step {
        Step::Again(again) => again,
        Step::Done(report) => panic!("done: {report:?}"),
    }
}

fn after_cut() -> Progress {
    let mut progress = Progress::new();
    again(progress.unanswered(cut(), MINUTE));
    progress
}

#[test]
fn answers_that_settle_a_push() {
    let since = Some(UnixMs::new(7));
    for (treatment, outcome, verdict, healthy) in [
        (Treatment::Relayed, Relayed, Some(PushVerdict::Good), Some(true)),
        (
            Treatment::TokenDead { since },
            Failed(Reason::TokenDead),
            Some(PushVerdict::Dead { since }),
            Some(true),
        ),
        (Treatment::TokenSuspect, Failed(Reason::TokenSuspect), Some(PushVerdict::Suspect), Some(true)),
        (Treatment::RequestRefused, Failed(Reason::RequestRefused), None, Some(true)),
        (Treatment::CredentialRefused, Failed(Reason::CredentialRefused), None, Some(false)),
    ] {
        let expected = DriverReport { outcome, verdict, healthy };
        assert_eq!(report(answered(&mut Progress::new(), treatment)), expected, "{treatment:?}");
    }
}

#[test]
fn a_refused_provider_token_is_renewed_once() {
    let mut progress = Progress::new();
    let step = again(answered(&mut progress, RENEW));
    assert!(step.renews_token && step.retires_connection && step.wait.is_zero());
    let end = report(answered(&mut progress, RENEW));
    assert_eq!((end.outcome, end.healthy), (Failed(Reason::CredentialRefused), Some(false)));
}

#[test]
fn a_useless_connection_is_left_twice_at_most() {
    let mut progress = Progress::new();
    for _ in 0..2 {
        let step = again(answered(&mut progress, MOVE));
        assert!(step.retires_connection && !step.renews_token);
    }
    assert_eq!(report(answered(&mut progress, MOVE)).outcome, Failed(Reason::Unavailable));
}

#[test]
fn a_fault_of_the_network_gets_one_quick_repetition() {
    let mut progress = Progress::new();
    let step = again(answered(&mut progress, RETRY));
    assert_eq!(step.wait, Duration::from_millis(200));
    assert!(!step.retires_connection);
    let end = report(answered(&mut progress, RETRY));
    assert_eq!((end.outcome, end.healthy), (Failed(Reason::Unavailable), Some(false)));
}

#[test]
fn the_networks_own_time_is_honoured_or_the_push_ends() {
    let soon = Treatment::QuickRetry { after: Some(Duration::from_secs(5)) };
    assert_eq!(again(answered(&mut Progress::new(), soon)).wait, Duration::from_secs(5));
    let late = Treatment::QuickRetry { after: Some(MINUTE) };
    assert_eq!(report(answered(&mut Progress::new(), late)).outcome, Failed(Reason::Unavailable));
    let late = Treatment::ProviderThrottled { after: MINUTE };
    let end = report(answered(&mut Progress::new(), late));
    assert_eq!((end.outcome, end.healthy), (Failed(Reason::Throttled), None));
}

#[test]
fn a_throttled_address_waits_its_hold_and_then_gives_up() {
    let throttled = Treatment::TargetThrottled { after: None };
    let mut progress = Progress::new();
    for _ in 0..2 {
        assert_eq!(again(answered(&mut progress, throttled)).wait, Duration::from_secs(1));
    }
    let end = report(answered(&mut progress, throttled));
    assert_eq!((end.outcome, end.healthy), (Failed(Reason::Throttled), Some(true)));
}

#[test]
fn what_was_not_sent_has_failed() {
    for (unsent, reason, healthy) in [
        (Unsent::Busy, Reason::Busy, None),
        (Unsent::Late, Reason::Late, None),
        (Unsent::Unavailable, Reason::Unavailable, Some(false)),
        (Unsent::Closed, Reason::Unavailable, None),
        (Unsent::Malformed, Reason::RequestRefused, None),
    ] {
        let end = report(Progress::new().unanswered(SendError::Unsent(unsent), MINUTE));
        assert_eq!((end.outcome, end.healthy, end.verdict), (Failed(reason), healthy, None));
    }
}

#[test]
fn a_cut_push_that_can_be_no_request_any_more_is_unknown() {
    let mut progress = Progress::new();
    assert_eq!(again(progress.unanswered(cut(), MINUTE)), AT_ONCE);
    let end = report(progress.unanswered(SendError::Unsent(Unsent::Malformed), MINUTE));
    assert_eq!((end.outcome, end.healthy), (Unknown(Reason::Cut), None));
}

#[test]
fn a_cut_push_is_repeated_once_and_then_unknown() {
    let mut progress = Progress::new();
    assert_eq!(again(progress.unanswered(cut(), MINUTE)), AT_ONCE);
    let end = report(progress.unanswered(cut(), MINUTE));
    assert_eq!((end.outcome, end.healthy), (Unknown(Reason::Cut), Some(false)));
}

#[test]
fn a_cut_push_without_time_is_unknown_at_once() {
    let too_short = ANSWER_TIME_MIN - Duration::from_millis(1);
    assert_eq!(report(Progress::new().unanswered(cut(), too_short)).outcome, Unknown(Reason::Cut));
    assert_eq!(again(Progress::new().unanswered(cut(), ANSWER_TIME_MIN)), AT_ONCE);
}

#[test]
fn after_a_cut_a_transient_fault_leaves_it_unknown() {
    assert_eq!(report(after_cut().ended(Reason::Busy, None)).outcome, Unknown(Reason::Cut));
    let unavailable = SendError::Unsent(Unsent::Unavailable);
    let end = report(after_cut().unanswered(unavailable, MINUTE));
    assert_eq!((end.outcome, end.healthy), (Unknown(Reason::Cut), Some(false)));
    assert_eq!(
        report(answered(&mut after_cut(), Treatment::CredentialRefused)).outcome,
        Unknown(Reason::Cut)
    );
}

#[test]
fn after_a_cut_an_answer_about_the_address_still_settles_it() {
    assert_eq!(report(answered(&mut after_cut(), Treatment::Relayed)).outcome, Relayed);
    assert_eq!(
        report(answered(&mut after_cut(), Treatment::TokenDead { since: None })).outcome,
        Failed(Reason::TokenDead)
    );
    assert_eq!(
        report(answered(&mut after_cut(), Treatment::TokenSuspect)).outcome,
        Failed(Reason::TokenSuspect)
    );
}

mod any_answers {
    use super::*;
    use proptest::prelude::*;

    fn treatment() -> impl Strategy<Value = Option<Treatment>> {
        prop_oneof![
            Just(None),
            Just(Some(MOVE)),
            Just(Some(RENEW)),
            Just(Some(RETRY)),
            Just(Some(Treatment::TargetThrottled { after: None })),
            Just(Some(Treatment::ProviderThrottled { after: Duration::from_secs(1) })),
        ]
    }

    proptest! {
        #[test]
        fn a_push_ends_after_few_tries(treatments in prop::collection::vec(treatment(), 8)) {
            let mut progress = Progress::new();
            let ends = treatments.into_iter().any(|treatment| {
                let step = match treatment {
                    None => progress.unanswered(cut(), MINUTE),
                    Some(treatment) => answered(&mut progress, treatment),
                };
                matches!(step, Step::Done(_))
            });
            prop_assert!(ends, "more than eight tries");
        }
    }
}

#[test]
fn a_message_is_sent_once_unless_its_outcome_is_known_or_the_configuration_asks() {
    let unknown = Unknown(Reason::Cut);
    let mut progress = Progress::of_gateway(false);
    assert_eq!(report(progress.unanswered(cut(), MINUTE)).outcome, unknown);
    assert_eq!(report(answered(&mut Progress::of_gateway(false), Treatment::Unclear)).outcome, unknown);
    let mut asked = Progress::of_gateway(true);
    again(answered(&mut asked, Treatment::Unclear));
    assert_eq!(report(asked.unanswered(cut(), MINUTE)).outcome, unknown);
    let mut refused = Progress::of_gateway(false);
    again(answered(&mut refused, RETRY));
    assert_eq!(report(answered(&mut refused, RETRY)).outcome, Failed(Reason::Unavailable));
}

#[test]
fn a_refused_number_is_told_unless_an_earlier_try_may_have_arrived() {
    let refusal = report(answered(&mut Progress::of_gateway(true), Treatment::AddressRefused));
    let expected =
        DriverReport { outcome: Failed(Reason::AddressRefused), verdict: None, healthy: Some(true) };
    assert_eq!(refusal, expected);
    let mut progress = Progress::of_gateway(true);
    again(answered(&mut progress, Treatment::Unclear));
    let refusal = report(answered(&mut progress, Treatment::AddressRefused));
    assert_eq!(refusal.outcome, Unknown(Reason::Cut));
}
