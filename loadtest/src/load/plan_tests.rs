//! Shares of plans.

use std::collections::BTreeMap;

use super::{FlowPlan, PlannedAnswer, Waiting};
use crate::load::scenario::Scenario;

/// Flows that are drawn; a share of them lies within 2 % of the scenario's.
const FLOWS: u64 = 20_000;

fn scenario(rest: &str) -> Scenario {
    let head = "title = \"t\"\n[[phase]]\nshape = \"burst\"\nflows = 1\nduration_s = 1\n";
    Scenario::parse("test", &format!("{head}{rest}")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn plans(scenario: &Scenario) -> Vec<FlowPlan> {
    (0..FLOWS).map(|number| scenario.plan(number)).collect()
}

fn share(plans: &[FlowPlan], holds: impl Fn(&FlowPlan) -> bool) -> f64 {
    plans.iter().filter(|plan| holds(plan)).count() as f64 / plans.len() as f64
}

#[test]
fn portals_phones_and_people_come_in_the_shares_of_the_scenario() {
    let scenario = scenario(
        "[flows]\nsms_share = 0.3\n[portals]\nsync = 1\nlong_poll = 2\nsse = 3\ncallback = 4\n\
         [phones]\nrefuse_share = 0.2\nignore_share = 0.1\n",
    );
    let plans = plans(&scenario);
    let expected: [(&str, f64, f64); 7] = [
        ("sync", 0.1, share(&plans, |plan| plan.waiting == Waiting::Sync)),
        ("long poll", 0.2, share(&plans, |plan| plan.waiting == Waiting::LongPoll)),
        ("events", 0.3, share(&plans, |plan| plan.waiting == Waiting::Events)),
        ("callback", 0.4, share(&plans, |plan| plan.waiting == Waiting::Callback)),
        ("by SMS", 0.3, share(&plans, |plan| plan.by_sms)),
        ("refuse", 0.2, share(&plans, |plan| plan.answer == PlannedAnswer::Refuse)),
        ("ignore", 0.1, share(&plans, |plan| plan.answer == PlannedAnswer::Ignore)),
    ];
    for (what, wanted, seen) in expected {
        assert!((wanted - seen).abs() < 0.02, "{what}: {seen} instead of {wanted}");
    }
}

#[test]
fn shares_of_nothing_and_of_all_are_exact() {
    let nothing = plans(&scenario(""));
    assert!(nothing.iter().all(|plan| !plan.by_sms && plan.answer == PlannedAnswer::Accept));
    assert!(nothing.iter().all(|plan| plan.waiting == Waiting::LongPoll && plan.delay.is_zero()));
    let all = plans(&scenario("[flows]\nsms_share = 1\n[phones]\nignore_share = 1\n"));
    assert!(all.iter().all(|plan| plan.by_sms && plan.answer == PlannedAnswer::Ignore));
}

#[test]
fn every_phone_is_asked_equally_often_and_never_twice_in_a_row() {
    let plans = plans(&scenario("[phones]\ncount = 100\n"));
    let mut asked = BTreeMap::new();
    plans.iter().for_each(|plan| *asked.entry(plan.phone).or_insert(0) += 1);
    assert!(asked.len() == 100 && asked.values().all(|times| *times == 200), "{asked:?}");
    assert!(plans.windows(2).all(|pair| pair[0].phone != pair[1].phone));
}

#[test]
fn delays_of_people_have_the_median_and_the_spread_that_are_asked_for() {
    let scenario = scenario("[phones]\nanswer_delay = \"log_normal\"\nmedian_ms = 4000\nsigma = 0.5\n");
    let mut delays_s: Vec<f64> = plans(&scenario).iter().map(|plan| plan.delay.as_secs_f64()).collect();
    delays_s.sort_by(f64::total_cmp);
    let at = |percent: usize| delays_s[delays_s.len() * percent / 100];
    assert!((at(50) - 4.0).abs() < 0.1, "{}", at(50));
    // One standard deviation above the median is at 84.13 %: e^0.5 times the median.
    assert!((at(84) - 4.0 * 0.5_f64.exp()).abs() < 0.25, "{}", at(84));
}

#[test]
fn the_plan_of_a_flow_does_not_depend_on_who_asks_when() {
    let scenario = scenario("[phones]\nanswer_delay = \"log_normal\"\nmedian_ms = 100\n");
    assert_eq!(scenario.plan(77), scenario.clone().plan(77));
    assert_ne!(scenario.plan(77).delay, scenario.plan(78).delay);
}
