//! A run that never took place: a server that serves within milliseconds, but stands still for one second.

use std::time::Duration;

use tocsin_loadtest::load::meter::{Latencies, Outcome, RunMeter, Stage, WorkerMeter};
use tocsin_loadtest::load::report::{
    BareRates, Build, DiskReport, Facts, Machine, Report, ResourceRow, Target,
};
use tocsin_loadtest::load::scenario::Scenario;

/// Flows that are under way when it stands still wait until then.
const STALL: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(7));

/// The scenario of the sample, to which thresholds can be added.
pub const SCENARIO: &str = r#"
title = "Login <burst> & more"
about = "A made-up run with \"quotes\" and a stall."
seed = 9

[[phase]]
name = "quiet"
shape = "steady"
rate_per_s = 100
duration_s = 4

[[phase]]
name = "burst"
shape = "burst"
flows = 2000
duration_s = 2

[[phase]]
name = "falling"
shape = "ramp"
from_per_s = 300
to_per_s = 0
duration_s = 6

[[provider_phase]]
network = "push"
from_s = 8
duration_s = 2
behaviour = "slow"
delay_ms = 100

[phones]
count = 5000
refuse_share = 0.02
"#;

/// The sample with these lines added to its scenario.
pub fn report(thresholds: &str) -> Report {
    let text = format!("{SCENARIO}{thresholds}");
    let scenario = Scenario::parse("sample", &text).unwrap_or_else(|faults| panic!("{faults}"));
    Report::new(&scenario, &meter(&scenario), facts())
}

/// What the sample was measured on.
pub fn facts() -> Facts {
    Facts {
        started_at: "2026-11-22T17:00:00Z".to_owned(),
        took: Duration::from_secs(14),
        machine: Machine {
            cpu_model: "Made-up processor with a rather long name @ 2.50GHz".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "Linux 6.1.0".to_owned(),
        },
        build: Build {
            version: "0.1.0".to_owned(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            profile: "release".to_owned(),
        },
        target: Target { url: "http://127.0.0.1:8440".to_owned(), is_own: true },
        machine_limits: Vec::new(),
        resources: (0..=14).map(resource_row).collect(),
        disk: Some(DiskReport { before: disk_syncs(1), after: disk_syncs(2) }),
        bare: Some(BareRates {
            ecdsa_sign_per_s: 45_000.0,
            ecdsa_verify_per_s: 17_000.0,
            actix_echo_per_s: 90_000.5,
        }),
    }
}

/// A hundred syncs of up to this many milliseconds.
fn disk_syncs(longest_ms: u64) -> Latencies {
    Latencies::of((1..=100).map(|sync| Duration::from_micros(sync * longest_ms * 10)))
}

fn resource_row(second: u32) -> ResourceRow {
    let at_s = f64::from(second);
    ResourceRow {
        at_s,
        server_cpu_s: at_s * 0.4,
        server_resident_bytes: (50 + u64::from(second)) << 20,
        generator_cpu_s: at_s * 0.6,
    }
}

fn meter(scenario: &Scenario) -> RunMeter {
    let (mut meter, mut run) = (WorkerMeter::new(), RunMeter::new());
    for arrival in scenario.arrivals() {
        meter.arrived(arrival.at);
        if arrival.number.is_multiple_of(97) {
            refuse(&mut meter, arrival.at);
        } else {
            serve(&mut meter, arrival.number, arrival.at);
        }
    }
    run.finish(meter.finish());
    run
}

fn refuse(meter: &mut WorkerMeter, at: Duration) {
    let ends_at = at + Duration::from_micros(300);
    meter.record(Stage::Create, at, at, ends_at, Outcome::Refused("too_many_requests"));
    meter.record(Stage::Flow, at, at, ends_at, Outcome::Refused("too_many_requests"));
}

fn serve(meter: &mut WorkerMeter, number: u64, intended: Duration) {
    let is_stalled = intended >= STALL.0 && intended < STALL.1;
    let sent = if is_stalled { STALL.1 } else { intended };
    // Some are slower than others, in no order.
    let step = Duration::from_micros(400 + number.wrapping_mul(0x9e37_79b9) % 1_000);
    let mut now = sent;
    for stage in [Stage::Create, Stage::PushRelayed, Stage::Challenge, Stage::Answer, Stage::WaiterTold] {
        let (intended, sent) = if stage == Stage::Create { (intended, sent) } else { (now, now) };
        now += step;
        meter.record(stage, intended, sent, now, Outcome::Done);
    }
    if number.is_multiple_of(501) {
        meter.record(Stage::Flow, intended, sent, now, Outcome::Failed("no_reply"));
    } else {
        meter.record(Stage::Flow, intended, sent, now, Outcome::Done);
        meter.reached(if number.is_multiple_of(50) { "declined" } else { "accepted" });
    }
}
