//! Tests of the pace.

use super::*;

const HEAD: Duration = Duration::from_secs(5);

/// That of an HTTP/1.1 connection.
fn pace() -> Rc<Pace> {
    let pace = Pace::new(HEAD, WRITE_TIME_MAX);
    pace.expect_heads();
    pace
}

fn due(pace: &Pace) -> (Duration, Cut) {
    let (at, cut) = pace.due().expect("a time");
    (at.saturating_duration_since(Instant::now()), cut)
}

#[test]
fn a_quiet_connection_has_longer_than_one_with_half_a_head() {
    let pace = pace();
    let (time, cut) = due(&pace);
    assert!(cut == Cut::Quiet && time > HEAD && time <= KEEP_ALIVE, "{time:?}");
    pace.read_some();
    let (time, cut) = due(&pace);
    assert!(cut == Cut::SlowHead && time <= HEAD, "{time:?}");
}

#[test]
fn bytes_that_drip_do_not_lengthen_the_time_of_a_head() {
    let pace = pace();
    pace.read_some();
    let first = pace.due();
    let begun = Instant::now();
    while Instant::now() == begun {}
    pace.read_some();
    assert_eq!(pace.due(), first);
}

#[test]
fn a_call_may_take_its_time_and_the_next_head_has_its_own() {
    let pace = pace();
    pace.read_some();
    let (call, other) = (pace.begin(), pace.begin());
    assert_eq!(pace.due(), None);
    drop(call);
    assert_eq!((pace.due(), pace.has_answered()), (None, false), "one is open still");
    drop(other);
    assert!(pace.has_answered());
    assert_eq!(due(&pace).1, Cut::Quiet);
    pace.read_some();
    assert_eq!(due(&pace).1, Cut::SlowHead);
}

#[test]
fn http2_has_no_time_at_which_a_head_begins() {
    let pace = Pace::new(HEAD, WRITE_TIME_MAX);
    pace.read_some();
    assert_eq!(due(&pace).1, Cut::Quiet);
}

#[test]
fn a_reply_that_is_not_read_is_cut_also_in_the_midst_of_a_call() {
    let pace = pace();
    let _call = pace.begin();
    pace.wrote(true);
    let first = pace.due();
    assert_eq!(first.map(|(_, cut)| cut), Some(Cut::SlowReader));
    pace.wrote(true);
    assert_eq!(pace.due(), first, "no progress");
    pace.wrote(false);
    assert_eq!(pace.due(), None);
}

#[test]
fn a_reply_is_due_only_while_a_piece_of_it_waits() {
    let pace = pace();
    let (_held, reply) = (pace.begin(), pace.begin().reply());
    assert_eq!(pace.due(), None, "it has nothing to say yet");
    reply.offer();
    let first = pace.due().expect("a time");
    assert_eq!(first.1, Cut::SlowReader);
    reply.offer();
    assert_eq!(pace.due(), Some(first), "more to take is no progress");
    while Instant::now() + WRITE_TIME_MAX == first.0 {}
    reply.took_some();
    assert!(pace.due().expect("a time").0 > first.0);
    reply.is_rid_of();
    assert!(pace.due().is_some(), "one piece is left");
    reply.is_rid_of();
    assert_eq!(pace.due(), None);
}

#[test]
fn of_several_replies_the_one_that_waits_longest_counts() {
    let pace = pace();
    let (first, second) = (pace.begin().reply(), pace.begin().reply());
    first.offer();
    let due = pace.due();
    while Instant::now() + WRITE_TIME_MAX == due.expect("a time").0 {}
    second.offer();
    second.took_some();
    assert_eq!(pace.due(), due);
    first.is_rid_of();
    assert!(pace.due().expect("a time").0 > due.expect("a time").0);
}

#[tokio::test]
async fn the_watch_rings_when_time_is_over_although_it_was_wound_for_later() {
    let head = Duration::from_millis(20);
    let pace = Pace::new(head, WRITE_TIME_MAX);
    pace.expect_heads();
    let mut watch =
        Watch { pace: Rc::clone(&pace), timer: Box::pin(sleep_until(Instant::now() + KEEP_ALIVE)) };
    let begun = Instant::now();
    pace.read_some();
    assert_eq!((&mut watch).await, Cut::SlowHead);
    assert!(begun.elapsed() >= head);
}
