//! Short load runs against a real server: what the report says is what happened.

use std::collections::BTreeMap;

use tocsin_loadtest::load::meter::Stage;
use tocsin_loadtest::load::report::Report;
use tocsin_loadtest::load::scenario::Scenario;
use tocsin_loadtest::load::{self, ForeignTarget, Ran, RunOptions, TargetChoice};
use tocsin_loadtest::{Installation, PortalCredentials, Server, ServerOptions};

use super::super::ALONE;

/// A rate that a debug server on a busy machine bears.
const STEADY: &str = r#"
title = "Short"
[[phase]]
shape = "steady"
rate_per_s = 100
duration_s = 3
[phones]
count = 40
"#;

fn options(text: &str) -> RunOptions {
    RunOptions {
        scenario: Scenario::parse("short", text).unwrap_or_else(|faults| panic!("{faults}")),
        target: TargetChoice::Own { binary: None, folder: None },
        checks_challenges: true,
        measures_bare: false,
        shows_progress: false,
        commit: String::new(),
    }
}

async fn run(options: RunOptions) -> Ran {
    let ran = load::run(options, std::future::pending()).await;
    let ran = ran.unwrap_or_else(|error| panic!("{error}"));
    assert!(ran.server_fault.is_none(), "{:?}", ran.server_fault);
    ran
}

/// The sum of a counter over all its series that have these words.
fn counted(metrics: &str, name: &str, words: &[&str]) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let fitting = lines.filter(|line| words.iter().all(|word| line.contains(word)));
    fitting.map(|line| line.rsplit_once(' ').expect("a value").1.parse::<u64>().expect("a count")).sum()
}

/// Nothing is lost between the flows that arrived and the ends that were told, and the server counted the same.
fn agrees(ran: &Ran) {
    let (report, counts) = (&ran.report, ran.report.counts);
    assert!(counts.arrived > 0 && counts.dropped == 0, "{counts:?}");
    assert_eq!(counts.unfinished, 0, "{counts:?} {:?}", report.final_states);
    assert_eq!(counts.finished + counts.refused + counts.failed, counts.arrived, "{counts:?}");
    let metrics = ran.server_metrics.as_deref().expect("metrics");
    assert_eq!(counted(metrics, "tocsin_transactions_started_total", &[]), counts.created, "{counts:?}");
    let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
    for (state, count) in &report.final_states {
        *ended.entry(state.split('/').next().expect("a word")).or_default() += count;
    }
    for (state, count) in ended {
        let state = format!("state=\"{state}\"");
        assert_eq!(counted(metrics, "tocsin_transactions_ended_total", &[&state]), count, "{state}");
    }
}

fn errors(report: &Report, stage: Stage) -> &BTreeMap<String, u64> {
    &report.stage(stage).expect("a stage").errors
}

fn done(report: &Report, stage: Stage) -> u64 {
    report.stage(stage).expect("a stage").done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_of_every_kind_of_portal_ends_and_the_server_counted_the_same() {
    let _alone = ALONE.lock().await;
    let mix = "refuse_share = 0.1\n[portals]\nsync = 1\nlong_poll = 1\nsse = 1\ncallback = 1\nwait_s = 1\n";
    let ran = run(options(&format!("{STEADY}{mix}"))).await;
    agrees(&ran);
    let report = &ran.report;
    assert_eq!(report.counts.finished, report.counts.arrived, "{:?}", report.stages);
    assert!(report.final_states["accepted"] > 0 && report.final_states["declined"] > 0);
    for stage in [Stage::PushRelayed, Stage::Challenge, Stage::Answer, Stage::WaiterTold, Stage::Flow] {
        assert_eq!(done(report, stage), report.counts.finished, "{stage}: {:?}", errors(report, stage));
    }
    let server = report.server.expect("its own server");
    assert!(server.cpu_s > 0.0 && server.resident_max_bytes > 0);
    assert!(report.disk.as_ref().is_some_and(|disk| disk.before.count > 0 && disk.after.count > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_with_sealed_challenges_fetch_nothing() {
    let _alone = ALONE.lock().await;
    let ran =
        run(options(&format!("{STEADY}hpke = true\nanswer_delay = \"log_normal\"\nmedian_ms = 50\n"))).await;
    agrees(&ran);
    assert_eq!(done(&ran.report, Stage::Challenge), 0);
    assert_eq!(ran.report.counts.finished, ran.report.counts.arrived, "{:?}", ran.report.stages);
    let flow = ran.report.stage(Stage::Flow).expect("flows");
    assert_eq!(flow.from_intended.count, 0, "a person's time is not the server's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_that_are_opened_too_late_find_no_challenge_to_fetch() {
    let _alone = ALONE.lock().await;
    let late = "answer_delay = \"log_normal\"\nmedian_ms = 4000\nsigma = 0\nfetch = \"when_opened\"\n[flows]\nttl_s = 2\n";
    let ran = run(options(&format!("{STEADY}{late}"))).await;
    assert_eq!(done(&ran.report, Stage::Challenge), 0);
    let in_vain: u64 = errors(&ran.report, Stage::Challenge).values().sum();
    assert_eq!(in_vain, ran.report.counts.arrived, "{:?}", ran.report.stages);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_providers_ends_transactions_and_is_told() {
    let _alone = ALONE.lock().await;
    let outage = "[flows]\nttl_s = 8\n[[provider_phase]]\nnetwork = \"push\"\nfrom_s = 1\nduration_s = 1.5\n\
                  behaviour = \"outage\"\n[portals]\nlong_poll = 1\ncallback = 1\n";
    let ran = run(options(&format!("{STEADY}{outage}"))).await;
    agrees(&ran);
    assert!(ran.report.final_states["accepted"] > 0, "{:?}", ran.report.final_states);
    let metrics = ran.server_metrics.as_deref().expect("metrics");
    assert!(metrics.contains("tocsin_"), "{metrics}");
    assert!(ran.report.marks.iter().any(|mark| mark.is_trouble));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_by_sms_are_typed_at_the_portal_from_the_start_and_when_pushes_fail() {
    let _alone = ALONE.lock().await;
    let sms = "[flows]\nttl_s = 20\nsms_share = 0.3\nsms_fallback_after_s = 5\n[[provider_phase]]\n\
               network = \"push\"\nfrom_s = 0\nduration_s = 60\nbehaviour = \"outage\"\n";
    let text = STEADY.replace("rate_per_s = 100", "rate_per_s = 30");
    let ran = run(options(&format!("{text}{sms}"))).await;
    agrees(&ran);
    assert_eq!(ran.report.counts.finished, ran.report.counts.arrived, "{:?}", ran.report.stages);
    assert_eq!(ran.report.final_states["accepted"], ran.report.counts.arrived);
    assert_eq!(done(&ran.report, Stage::PushRelayed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_is_loaded_by_its_url() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let world = tocsin_mock::World::start(tocsin_mock::WorldOptions::default()).await.expect("a world");
    let settings = ServerOptions { transactions_per_user_max: 100, ..ServerOptions::default() };
    let installation = Installation::prepare(folder.path(), &world, &settings).expect("an installation");
    let server = Server::start(&installation).await.expect("a server");
    let mut options = options(&format!("{STEADY}[portals]\nlong_poll = 1\nsse = 1\n"));
    options.target = TargetChoice::Foreign(ForeignTarget {
        portal_url: installation.portal_url().to_owned(),
        device_url: installation.device_url().to_owned(),
        credentials: PortalCredentials {
            client_id: installation.credentials().client_id.clone(),
            secret: installation.credentials().secret.clone(),
        },
        push_type: "login".to_owned(),
        app: "bank".to_owned(),
        is_owned: false,
    });
    let ran = run(options).await;
    assert_eq!(ran.report.counts.finished, ran.report.counts.arrived, "{:?}", ran.report.stages);
    assert!(ran.report.server.is_none() && ran.report.disk.is_none() && !ran.report.target.is_own);
    server.stop().await.expect("it ends in order");
}
