//! `tocsin-loadtest run` as people and scripts use it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tocsin_loadtest::HttpClient;
use tocsin_loadtest::load::report::Report;

use super::super::ALONE;

const BINARY: &str = env!("CARGO_BIN_EXE_tocsin-loadtest");

/// Longest wait for anything here.
const SOON: Duration = Duration::from_secs(60);

fn scenario(folder: &Path, text: &str) -> String {
    let file = folder.join("short.toml");
    fs::write(&file, text).expect("a scenario");
    file.to_string_lossy().into_owned()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("run").args(arguments).output().expect("the tool runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn an_address_off_this_machine_is_refused_unless_it_is_said_to_be_ones_own() {
    let folder = TempDir::new().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret").expect("a secret");
    let secret = secret.to_string_lossy();
    let target =
        ["--url", "http://192.0.2.1:8440", "--device-url", "http://192.0.2.1:8441", "--secret-file", &secret];
    let output = run(&[&["steady"][..], &target].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--i-own-this-target"), "{}", said(&output));
}

#[test]
fn a_scenario_with_faults_is_refused_with_their_lines() {
    let folder = TempDir::new().expect("a folder");
    let file = scenario(folder.path(), "title = \"T\"\nspeed = 7\n[[phase]]\nshape = \"steady\"\n");
    let output = run(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("line 2: speed: unknown key"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_threshold_is_the_exit_code_and_both_reports_are_written() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let text = "title = \"Missed\"\n[[phase]]\nshape = \"steady\"\nrate_per_s = 20\nduration_s = 1\n\
                [phones]\ncount = 10\n[thresholds]\ncreated_min = 1000000\nunfinished_max = 0\n";
    let file = scenario(folder.path(), text);
    let [json, html] = ["r.json", "r.html"].map(|name| folder.path().join(name));
    let paths = [&json, &html].map(|path| path.to_string_lossy());
    let output = run(&[&file, "--report", &paths[0], "--html", &paths[1], "--seed", "5"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("MISSED: transactions started"), "{}", said(&output));
    let report = Report::read(&json).expect("a report");
    assert_eq!((report.parameters["seed"].as_u64(), report.verdict.exit_code()), (Some(5), 3));
    assert!(fs::read_to_string(&html).expect("a page").contains("Missed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_file_descriptors_are_told_as_the_limit() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let text = "title = \"Narrow\"\n[[phase]]\nshape = \"burst\"\nflows = 400\nduration_s = 1\n\
                [flows]\ndrain_s = 60\n[phones]\ncount = 20\nanswer_delay = \"log_normal\"\nmedian_ms = 500\n";
    let file = scenario(folder.path(), text);
    let command = format!("ulimit -n 320; exec '{BINARY}' run '{file}'");
    let output = Command::new("sh").arg("-c").arg(command).output().expect("a shell");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("limit of the machine:") && said.contains("320 file descriptors"), "{said}");
}

/// Waits until the server in this folder has started a transaction.
async fn until_started(folder: &Path) {
    let (deadline, http) = (Instant::now() + SOON, HttpClient::new());
    loop {
        let ports = fs::read_to_string(folder.join("ports")).unwrap_or_default();
        if let Some(ops) = ports.split_whitespace().nth(2) {
            let request = Request::get(format!("http://127.0.0.1:{ops}/metrics")).body(Bytes::new());
            let reply = http.call(request.expect("a request"), SOON).await;
            let text =
                reply.map(|reply| String::from_utf8_lossy(&reply.body).into_owned()).unwrap_or_default();
            let mut lines =
                text.lines().filter(|line| line.starts_with("tocsin_transactions_started_total{"));
            if lines.any(|line| !line.ends_with(" 0")) {
                return;
            }
        }
        assert!(Instant::now() < deadline, "nothing was started");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_still_writes_its_report_and_the_next_one_finds_its_phones() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let long = "title = \"Long\"\n[[phase]]\nshape = \"steady\"\nrate_per_s = 20\nduration_s = 600\n\
                [phones]\ncount = 10\n";
    let file = scenario(folder.path(), long);
    let (json, kept) = (folder.path().join("r.json"), folder.path().join("kept"));
    let child = Command::new(BINARY)
        .args(["run", &file, "--report"])
        .arg(&json)
        .arg("--folder")
        .arg(&kept)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    until_started(&kept).await;
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("it lives");
    let output = child.wait_with_output().expect("it ends");
    assert!(said(&output).contains("Interrupted"), "{}", said(&output));
    let report = Report::read(&json).expect("a report");
    assert!(report.counts.arrived > 0 && report.took_s < 600.0, "{:?}", report.counts);

    let crowd = fs::read(kept.join("crowd.json")).expect("phones");
    let short = scenario(folder.path(), &long.replace("duration_s = 600", "duration_s = 1"));
    let output = run(&[&short, "--folder", &kept.to_string_lossy(), "--report", &json.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = Report::read(&json).expect("a report");
    assert_eq!(report.counts.finished, report.counts.arrived, "{:?}", report.stages);
    assert!(report.counts.finished > 0 && fs::read(kept.join("crowd.json")).expect("phones") == crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_terminated_takes_its_server_along() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let long = "title = \"Long\"\n[[phase]]\nshape = \"steady\"\nrate_per_s = 20\nduration_s = 600\n\
                [phones]\ncount = 10\n";
    let (file, kept) = (scenario(folder.path(), long), folder.path().join("kept"));
    let child = Command::new(BINARY)
        .args(["run", &file, "--folder"])
        .arg(&kept)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    until_started(&kept).await;
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGTERM).expect("it lives");
    let output = child.wait_with_output().expect("it ends");
    assert!(said(&output).contains("Interrupted"), "{}", said(&output));
    let ports = fs::read_to_string(kept.join("ports")).expect("ports");
    for port in ports.split_whitespace() {
        let address = format!("127.0.0.1:{port}");
        assert!(std::net::TcpStream::connect(&address).is_err(), "a server still listens on {address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_told_by_how_much_it_failed_and_kept_with_the_others() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let [kept, page] = ["proved.json", "RESULTS.md"].map(|name| folder.path().join(name));
    fs::write(&page, "# Results\n\nOf others.\n").expect("a page");
    let output = Command::new(BINARY)
        .args([
            "prove",
            "full-flow",
            "--runs",
            "1",
            "--rate",
            "40",
            "--seconds",
            "2",
            "--phones",
            "50",
            "--plain-only",
        ])
        .args(["--keep", &kept.to_string_lossy(), "--page", &page.to_string_lossy()])
        .output()
        .expect("the tool runs");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("full flow, sustained") && said.contains("× the target"), "{said}");
    let page = fs::read_to_string(&page).expect("a page");
    assert!(page.starts_with("# Results\n\nOf others.\n") && page.contains("<!-- prove:end -->"), "{page}");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&kept).expect("kept")).expect("JSON");
    let measured = &kept["targets"]["full-flow"];
    assert!(measured["figures"]["server_cpu_us_per_flow"][0].as_f64().is_some_and(|time| time > 0.0));
    assert!(measured["bare"]["actix_echo_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{measured}");
}

/// The figures of a target, proved once in small.
fn proved(arguments: &[&str]) -> serde_json::Value {
    proved_in(1, arguments)
}

/// The same of so many runs.
fn proved_in(runs: u32, arguments: &[&str]) -> serde_json::Value {
    let folder = TempDir::new().expect("a folder");
    let kept = folder.path().join("proved.json");
    let output = Command::new(BINARY)
        .arg("prove")
        .args(arguments)
        .args(["--runs", &runs.to_string(), "--seconds", "1", "--keep", &kept.to_string_lossy()])
        .output()
        .expect("the tool runs");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&kept).expect("kept")).expect("JSON");
    kept["targets"][arguments[0]]["figures"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_flows_are_told_over_tls_and_from_the_push_too() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let kept = folder.path().to_string_lossy();
    let figures = proved(&["full-flow", "--rate", "30", "--phones", "50", "--folder", &kept]);
    // Each form's phones know a server of their own.
    for part in ["full-flow/crowd.json", "full-flow-tls/crowd.json", "full-flow-hpke/data"] {
        assert!(folder.path().join(part).exists(), "{part}");
    }
    for key in ["server_cpu_us_per_flow_tls", "server_cpu_us_per_flow_hpke", "create_p99_syncs"] {
        assert!(figures[key][0].as_f64().is_some_and(|figure| figure > 0.0), "{key}: {figures}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_transactions_are_weighed_and_outlive_a_restart() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let kept = folder.path().to_string_lossy();
    let figures =
        proved(&["pending", "--pending", "1200", "--rate", "30", "--phones", "50", "--folder", &kept]);
    assert!(folder.path().join("enrolled/crowd.json").exists() && folder.path().join("filled/data").exists());
    for key in ["restart_s", "recovered_s", "cpu_many_over_few"] {
        assert!(figures[key][0].as_f64().is_some_and(|figure| figure > 0.0), "{key}: {figures}");
    }
    assert!(figures["bytes_per_pending"][0].is_number(), "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_answers_of_every_kind_are_refused() {
    let _alone = ALONE.lock().await;
    let figures = proved_in(2, &["refusals", "--phones", "20"]);
    for key in ["unknown_id", "unknown_kid", "wrong_nonce", "wrong_dh", "late", "forged"] {
        assert!(figures[key][0].is_number() && figures[key][1].is_number(), "{key}: {figures}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_accepted_whole_before_anybody_answers() {
    let _alone = ALONE.lock().await;
    let figures = proved(&["burst-acceptance", "--phones", "200"]);
    for key in ["accepted_per_s", "accepted_beside_fetches_per_s"] {
        assert!(figures[key][0].as_f64().is_some_and(|rate| rate > 0.0), "{key}: {figures}");
    }
}
