//! What meters count.

use std::time::Duration;

use super::{FinishedMeter, Latencies, Outcome, RunMeter, Stage, WorkerMeter};

const MS: Duration = Duration::from_millis(1);

fn merged(workers: impl IntoIterator<Item = FinishedMeter>) -> RunMeter {
    let mut run = RunMeter::new();
    workers.into_iter().for_each(|worker| run.finish(worker));
    run
}

/// One flow: arrives at `at`, ends well after `took`.
fn flow(meter: &mut WorkerMeter, at: Duration, took: Duration) {
    meter.arrived(at);
    meter.record(Stage::Flow, at, at, at + took, Outcome::Done);
}

#[test]
fn a_stall_shows_in_latencies_from_the_intended_time_and_hides_in_those_from_the_sending() {
    // 1,000 flows a second for 10 s, each served within 0.5 ms, but for the second from 5 s on, in which the one
    // that was sent gets no reply and the others are not even sent.
    let (service, stall_ends_at) = (Duration::from_micros(500), Duration::from_secs(6));
    let mut meter = WorkerMeter::new();
    for number in 0..10_000_u32 {
        let intended = MS * number;
        let is_stalled = intended.as_secs() == 5;
        let sent = if is_stalled && number != 5_000 { stall_ends_at } else { intended };
        let ends_at = if is_stalled { stall_ends_at + service } else { intended + service };
        meter.record(Stage::Create, intended, sent, ends_at, Outcome::Done);
    }
    let run = merged([meter.finish()]);
    let (intended, sent) = (run.from_intended(Stage::Create), run.from_sent(Stage::Create));
    assert!((499..=501).contains(&sent.p99_us), "{sent:?}");
    assert!(intended.p99_us > 850_000, "{intended:?}");
    assert_eq!(intended.p50_us, sent.p50_us);
    assert!(sent.max_us >= 1_000_000, "the one that was sent into the stall is seen by both");
}

#[test]
fn percentiles_of_a_known_distribution_are_right_to_three_digits() {
    let latencies = Latencies::of((1..=10_000).map(Duration::from_micros));
    let near = |seen: u64, wanted: u64| seen.abs_diff(wanted) * 1_000 <= wanted;
    assert_eq!((latencies.count, latencies.min_us), (10_000, 1));
    for (seen, wanted) in [
        (latencies.p50_us, 5_000),
        (latencies.p90_us, 9_000),
        (latencies.p99_us, 9_900),
        (latencies.p999_us, 9_990),
        (latencies.p9999_us, 9_999),
        (latencies.max_us, 10_000),
        (latencies.mean_us as u64, 5_000),
    ] {
        assert!(near(seen, wanted), "{seen} instead of {wanted}");
    }
    assert_eq!(latencies.at(99.0), latencies.p99_us);
    assert!(near(latencies.at(75.0), 7_500), "{}", latencies.at(75.0));
    assert!(latencies.at(97.0) >= 9_700, "a percentile between the curve's points is not told too low");
    assert_eq!(latencies.at(100.0), latencies.max_us);
    assert!(latencies.curve.windows(2).all(|pair| pair[0].latency_us <= pair[1].latency_us));
    assert_eq!(latencies.curve.last().map(|point| point.percentile), Some(100.0));
}

#[test]
fn nothing_timed_is_zero_everywhere() {
    assert_eq!(Latencies::of([]), Latencies::default());
    assert_eq!(RunMeter::new().from_sent(Stage::Answer), Latencies::default());
    assert!(RunMeter::new().series().is_empty());
}

#[test]
fn latencies_beyond_the_histogram_count_as_its_end_and_zero_as_its_begin() {
    let latencies = Latencies::of([Duration::ZERO, Duration::from_secs(1_000_000)]);
    assert_eq!((latencies.count, latencies.min_us), (2, 1));
    assert!(latencies.max_us >= 1_199_000_000, "{}", latencies.max_us);
}

#[test]
fn only_what_went_well_in_its_own_time_is_timed() {
    let mut meter = WorkerMeter::new();
    let now = 20 * MS;
    meter.record(Stage::Create, MS, MS, now, Outcome::Done);
    meter.record(Stage::Create, MS, MS, now, Outcome::Untimed);
    meter.record(Stage::Create, MS, MS, now, Outcome::Refused("queue_full"));
    meter.record(Stage::Create, MS, MS, now, Outcome::Failed("no_reply"));
    let run = merged([meter.finish()]);
    assert_eq!((run.done(Stage::Create), run.from_intended(Stage::Create).count), (2, 1));
    assert_eq!(run.refusals(Stage::Create).get("queue_full"), Some(&1));
    assert_eq!(run.errors(Stage::Create).get("no_reply"), Some(&1));
    let row = &run.series()[0];
    assert_eq!(row.errors.values().sum::<u64>(), 2);
    assert_eq!((row.finished, row.failed), (0, 0), "a create is no flow");
}

#[test]
fn two_workers_together_are_the_same_as_one() {
    let (mut left, mut right, mut both) = (WorkerMeter::new(), WorkerMeter::new(), WorkerMeter::new());
    for number in 0..5_000_u32 {
        let (at, took) = (MS * number, Duration::from_micros(u64::from(number) * 37 % 9_000));
        flow(if number.is_multiple_of(3) { &mut left } else { &mut right }, at, took);
        flow(&mut both, at, took);
    }
    left.reached("accepted");
    right.reached("accepted");
    both.reached("accepted");
    both.reached("accepted");
    let (two, one) = (merged([left.finish(), right.finish()]), merged([both.finish()]));
    assert_eq!(two.from_intended(Stage::Flow), one.from_intended(Stage::Flow));
    assert_eq!(two.series(), one.series());
    assert_eq!(two.final_states(), one.final_states());
}

#[test]
fn seconds_that_are_handed_out_early_are_not_counted_twice() {
    let (mut meter, mut whole, mut run) = (WorkerMeter::new(), WorkerMeter::new(), RunMeter::new());
    for number in 0..4_000_u32 {
        flow(&mut meter, MS * number, 700 * MS);
        flow(&mut whole, MS * number, 700 * MS);
        if number.is_multiple_of(500) {
            run.absorb(meter.take_slices(MS * number));
        }
    }
    run.finish(meter.finish());
    let at_once = merged([whole.finish()]);
    assert_eq!(run.series(), at_once.series());
    assert_eq!(run.from_intended(Stage::Flow), at_once.from_intended(Stage::Flow));
}

#[test]
fn a_series_counts_each_second_and_what_is_under_way_at_its_end() {
    let mut meter = WorkerMeter::new();
    for number in 0..30 {
        flow(&mut meter, MS * 100 * number, 1_050 * MS);
    }
    meter.dropped(2_500 * MS);
    meter.retried(500 * MS);
    let series = merged([meter.finish()]).series();
    let counted: Vec<_> = series.iter().map(|row| (row.arrived, row.finished, row.in_flight)).collect();
    assert_eq!(counted, [(10, 0, 10), (10, 10, 10), (10, 10, 10), (0, 10, 0)]);
    assert_eq!((series[2].dropped, series[0].retried), (1, 1));
    let latency = &series[1].stages[0];
    assert_eq!((latency.stage, latency.count), (Stage::Flow, 10));
    assert!(latency.p50_us.abs_diff(1_050_000) < 10_500, "{latency:?}");
}

#[test]
fn a_long_series_has_longer_rows_and_loses_nothing() {
    let mut meter = WorkerMeter::new();
    for second in 0..2_000_u32 {
        flow(&mut meter, MS * 1_000 * second, MS);
    }
    let series = merged([meter.finish()]).series();
    assert!(series.len() <= 600, "{}", series.len());
    assert!(series.iter().all(|row| row.length_s == 4));
    assert_eq!(series.iter().map(|row| row.finished).sum::<u64>(), 2_000);
    assert_eq!((series[1].from_s, series[1].arrived), (4, 4));
}

#[test]
fn seconds_without_anything_are_rows_too() {
    let mut meter = WorkerMeter::new();
    flow(&mut meter, Duration::ZERO, MS);
    flow(&mut meter, Duration::from_secs(3), MS);
    let arrived: Vec<u64> = merged([meter.finish()]).series().iter().map(|row| row.arrived).collect();
    assert_eq!(arrived, [1, 0, 0, 1]);
}

#[test]
fn whoever_watches_sees_the_newest_second() {
    let (mut meter, mut run) = (WorkerMeter::new(), RunMeter::new());
    for number in 0..2_500_u32 {
        flow(&mut meter, MS * number, 2 * MS);
    }
    run.absorb(meter.take_slices(Duration::from_secs(2)));
    let live = run.live();
    assert_eq!((live.arrived, live.finished, live.in_flight()), (2_000, 1_998, 2));
    assert_eq!(live.finished_per_s, 1_000);
    assert!(live.flow_p50_us.abs_diff(2_000) < 30 && live.flow_p99_us >= live.flow_p50_us, "{live:?}");
}

#[test]
fn different_codes_are_bounded() {
    let mut meter = WorkerMeter::new();
    for number in 0..1_000 {
        meter.record(Stage::Create, MS, MS, MS, Outcome::Failed(&format!("code_{number}")));
    }
    let errors = merged([meter.finish()]).errors(Stage::Create);
    assert_eq!((errors.len(), errors.values().sum::<u64>()), (65, 1_000));
    assert_eq!(errors.get("other"), Some(&936));
}
