//! What files mean, and what is said about wrong ones.

use std::time::Duration;

use super::{AnswerDelay, Doors, Limit, Pattern, ProviderBehaviour, ProviderNetwork, Scenario, Shape};
use crate::load::meter::Stage;

const LEAST: &str = "title = \"Least\"\n[[phase]]\nshape = \"steady\"\nrate_per_s = 10\nduration_s = 2\n";

fn faults(text: &str) -> Vec<String> {
    let faults = Scenario::parse("test", text).expect_err("a fault");
    faults.iter().map(ToString::to_string).collect()
}

fn parsed(text: &str) -> Scenario {
    Scenario::parse("test", text).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn all_named_scenarios_can_be_read_and_judge_something() {
    let names: Vec<_> = Scenario::names().collect();
    assert_eq!(names.len(), 12);
    for name in names {
        let scenario =
            Scenario::named(name).expect("it is named").unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert_eq!(scenario.name, name);
        assert!(!scenario.about.is_empty(), "{name} says nothing of itself");
        assert_eq!(scenario.thresholds.dropped_max, Some(0), "{name}");
        // A user's transactions must not be more than his bank allows; so nobody is asked twice at once.
        let drops_out = f64::from(scenario.phones.count) >= scenario.arrivals_expected().min(10_000.0);
        assert!(drops_out, "{name} has too few phones");
    }
    assert!(Scenario::named("nobody").is_none());
}

#[test]
fn what_is_absent_has_its_default() {
    let scenario = parsed(LEAST);
    let phase = &scenario.phases[0];
    assert_eq!((phase.name.as_str(), phase.pattern), ("phase 1", Pattern::Poisson));
    assert_eq!(phase.shape, Shape::Steady { rate_per_s: 10.0 });
    assert_eq!((scenario.seed, scenario.flows.ttl), (1, Duration::from_secs(120)));
    assert_eq!((scenario.portals.mix.long_poll, scenario.portals.mix.total()), (1, 1));
    assert_eq!((scenario.phones.count, scenario.phones.answer_delay), (10_000, AnswerDelay::Zero));
    assert_eq!(scenario.portals.retries.tries_max, 0);
    assert!(scenario.provider_phases.is_empty() && scenario.thresholds.latencies.is_empty());
}

#[test]
fn every_key_is_read() {
    let scenario = parsed(&format!(
        "doors = \"tls\"\n{LEAST}[[provider_phase]]\nnetwork = \"sms\"\nfrom_s = 1\nduration_s = 0.5\nbehaviour = \"too_many\"\n\
         retry_after_s = 2\nshare = 0.5\n[portals]\nsync = 2\nretries_max = 3\nretry_pause_ms = 20\n\
         honours_retry_after = false\nabsent = 1\nconnections_max = 40\nheld_max = 30\n[[thresholds.latency]]\nstage = \"waiter_told\"\npercentile = 99.9\n\
         max_ms = 1.5\n"
    ));
    let provider = &scenario.provider_phases[0];
    assert_eq!(provider.network, ProviderNetwork::Sms);
    assert_eq!(provider.behaviour, ProviderBehaviour::TooMany { retry_after: Some(Duration::from_secs(2)) });
    assert!(provider.is_on(Duration::from_millis(1_499)) && !provider.is_on(Duration::from_millis(1_500)));
    assert_eq!(scenario.doors, Doors::Tls);
    assert_eq!((scenario.portals.connections_max, scenario.portals.held_max), (Some(40), Some(30)));
    assert_eq!(
        (scenario.portals.mix.long_poll, scenario.portals.mix.absent),
        (0, 1),
        "no default beside a weight"
    );
    assert_eq!(scenario.portals.retries.pause, Duration::from_millis(20));
    let latency = scenario.thresholds.latencies[0];
    assert_eq!((latency.stage, latency.percentile.percent()), (Stage::WaiterTold, 99.9));
    assert_eq!(latency.limit, Limit::Time(Duration::from_micros(1_500)));
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_lines() {
    let text = "title = 3\n\
                seeds = 1\n\
                [[phase]]\n\
                shape = \"ramp\"\n\
                from_per_s = -1\n\
                duration_s = 5\n\
                [phones]\n\
                refuse_share = 0.7\n\
                ignore_share = 0.7\n";
    let told = faults(text);
    assert_eq!(
        told,
        [
            "line 1: title: must be a text in quotation marks",
            "line 2: seeds: unknown key; allowed here are title, about, seed, doors, phase, flows, portals, phones, \
             provider_phase, thresholds",
            "line 3: phase[1].to_per_s: is missing; it is needed for shape = \"ramp\"",
            "line 5: phase[1].from_per_s: must be a number from 0 to 1000000",
            "line 9: phones.ignore_share: together with refuse_share it is more than 1; lower one of them",
        ]
    );
}

#[test]
fn each_fault_says_where_it_is_and_what_to_do() {
    let cases: [(&str, &str); 17] = [
        ("[flows\n", "line 6: not TOML: "),
        (
            "[[phase]]\nshape = \"wave\"\nduration_s = 1\n",
            "line 7: phase[2].shape: must be one of \"steady\", \"ramp\", \"burst\"",
        ),
        ("flows = 3\n", "line 6: phase[1].flows: means nothing for shape = \"steady\"; leave it out"),
        ("flows_per_s = 3\n", "line 6: phase[1].flows_per_s: unknown key; allowed here are name, shape"),
        ("arrivals = true\n", "line 6: phase[1].arrivals: must be one of \"poisson\", \"even\""),
        ("[flows]\nttl_s = 0\n", "line 7: flows.ttl_s: must be a number from 1 to 3600"),
        (
            "[flows]\nttl_s = 10\nsms_fallback_after_s = 10\n",
            "line 8: flows.sms_fallback_after_s: must be shorter than ttl_s (10 s)",
        ),
        ("[flows]\nsms_share = 1.01\n", "line 7: flows.sms_share: must be a number from 0 to 1"),
        ("[portals]\nsync = 0\nsse = 0\n", "line 6: portals.long_poll: all weights are 0; give one of"),
        (
            "[portals]\nretry_pause_ms = 5\n",
            "line 7: portals.retry_pause_ms: means nothing without retries_max",
        ),
        ("[phones]\ncount = 1.5\n", "line 7: phones.count: must be a whole number from 1 to 10000000"),
        (
            "[phones]\nanswer_delay = \"log_normal\"\n",
            "line 6: phones.median_ms: is missing; half of the people",
        ),
        (
            "[phones]\nsigma = 0.5\n",
            "line 7: phones.sigma: means nothing unless answer_delay = \"log_normal\"",
        ),
        ("[phones]\nhpke = \"yes\"\n", "line 7: phones.hpke: must be true or false"),
        (
            "[[provider_phase]]\nfrom_s = 1\nduration_s = 1\nbehaviour = \"slow\"\nnetwork = \"push\"\n",
            "line 6: provider_phase[1].delay_ms: is missing",
        ),
        (
            "[[thresholds.latency]]\nstage = \"create\"\npercentile = 99\n",
            "line 6: thresholds.latency[1].max_ms: give either max_ms or max_disk_syncs",
        ),
        (
            "phones = 5\n[thresholds]\nlatency = 3\n",
            "line 8: thresholds.latency: must be a list of tables; write [[thresholds.latency]]",
        ),
    ];
    for (rest, wanted) in cases {
        let told = faults(&format!("{LEAST}{rest}"));
        assert!(told.iter().any(|fault| fault.starts_with(wanted)), "{rest}: {told:#?}");
    }
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    assert_eq!(
        faults(""),
        [
            "line 1: phase: is missing; write [[phase]] and say when flows arrive",
            "line 1: title: is missing; say what the run is in a few words",
        ]
    );
}

#[test]
fn numbers_that_are_none_are_refused() {
    for number in ["nan", "inf", "-0.1", "\"10\""] {
        let text = LEAST.replace("rate_per_s = 10", &format!("rate_per_s = {number}"));
        assert_eq!(
            faults(&text),
            ["line 4: phase[1].rate_per_s: must be a number from 0 to 1000000"],
            "{number}"
        );
    }
}

#[test]
fn the_parameters_of_a_report_have_units_in_their_names() {
    let parameters = serde_json::to_value(parsed(LEAST)).expect("it serialises");
    assert_eq!(parameters["phases"][0]["duration_s"], 2.0);
    assert_eq!(parameters["phases"][0]["shape"]["steady"]["rate_per_s"], 10.0);
    assert_eq!(parameters["portals"]["retries"]["pause_ms"], 500.0);
    assert_eq!(parameters["flows"]["ttl_s"], 120.0);
}
